"""Pictures out of a camera's memory, where rows are longer than the picture is wide.

An image processor begins each row at a multiple of some number of bytes. The distance from row to
row is the stride; what lies between the picture's last pixel and the next row is anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import FrameError

if TYPE_CHECKING:
    from appliance.values import Pixels


def interleaved(
    memory: Pixels, *, width: int, height: int, stride: int, bytes_a_pixel: int = 3
) -> Pixels:
    """Return a view (height, width, 3) of colour pixels; a fourth byte of each is left out."""
    rows = _rows(memory, height, stride, width * bytes_a_pixel)
    return np.lib.stride_tricks.as_strided(
        rows, (height, width, 3), (stride, bytes_a_pixel, 1), writeable=False
    )


def i420(memory: Pixels, *, width: int, height: int, stride: int) -> Pixels:
    """Return (height * 3 / 2, width): Y, then U and V, whose rows are half a stride apart."""
    if stride % 2 or width % 2 or height % 2:
        raise FrameError(f"i420 of {width}x{height} in rows of {stride} bytes: needs even numbers")
    rows = _rows(memory, height * 3 // 2, stride, width)
    if stride == width:
        return rows
    picture = np.empty((height * 3 // 2, width), np.uint8)
    picture[:height] = rows[:height, :width]
    chroma = rows[height:].reshape(2, height // 2, stride // 2)
    picture[height:].reshape(2, height // 2, width // 2)[:] = chroma[:, :, : width // 2]
    return picture


def nv12(memory: Pixels, *, width: int, height: int, stride: int) -> Pixels:
    """Return a view (height * 3 / 2, width): Y, then U and V by turns, all rows of one stride."""
    return plane(memory, width=width, height=height * 3 // 2, stride=stride)


def plane(memory: Pixels, *, width: int, height: int, stride: int) -> Pixels:
    """Return a view (height, width) of rows of single bytes."""
    return _rows(memory, height, stride, width)[:, :width]


def _rows(memory: Pixels, rows: int, stride: int, needed: int) -> Pixels:
    """Return the memory as ``rows`` x ``stride``; the last row may end with its last pixel."""
    if stride < needed:
        raise FrameError(f"rows of {stride} bytes cannot hold {needed}")
    if memory.size < (rows - 1) * stride + needed:
        raise FrameError(f"{memory.size} bytes are too few for {rows} rows of {stride}")
    if memory.size < rows * stride:
        memory = np.pad(memory, (0, rows * stride - memory.size))
    return memory[: rows * stride].reshape(rows, stride)
