"""Pictures out of a camera's memory, where rows are longer than the picture is wide.

An image processor begins each row at a multiple of some number of bytes. The distance from row to
row is the stride; what lies between the picture's last pixel and the next row is anything.
Everything here is a view of the memory: it is another picture once the camera has it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpy.lib.stride_tricks import as_strided

from appliance.errors import FrameError

if TYPE_CHECKING:
    from appliance.values import Pixels


def interleaved(
    memory: Pixels, *, width: int, height: int, stride: int, bytes_a_pixel: int = 3
) -> Pixels:
    """Return a view (height, width, 3) of colour pixels; a fourth byte of each is left out."""
    return _view(memory, (height, width, 3), (stride, bytes_a_pixel, 1))


def i420(memory: Pixels, *, width: int, height: int, stride: int) -> tuple[Pixels, ...]:
    """Return Y, U and V, which follow each other; rows of U and V are half a stride apart."""
    if stride % 2:
        raise FrameError(f"i420 in rows of {stride} bytes: needs an even number")
    half = {"width": (width + 1) // 2, "height": (height + 1) // 2, "stride": stride // 2}
    u_begins = height * stride
    v_begins = u_begins + half["height"] * half["stride"]
    return (
        plane(memory, width=width, height=height, stride=stride),
        plane(memory[u_begins:], **half),
        plane(memory[v_begins:], **half),
    )


def nv12(memory: Pixels, *, width: int, height: int, stride: int) -> tuple[Pixels, ...]:
    """Return Y, then U and V by turns, which follow each other in rows of one stride."""
    size = {"width": width, "height": height, "stride": stride}
    return plane(memory, **size), chroma_by_turns(memory[height * stride :], **size)


def plane(memory: Pixels, *, width: int, height: int, stride: int) -> Pixels:
    """Return a view (height, width) of rows of single bytes."""
    return _view(memory, (height, width), (stride, 1))


def chroma_by_turns(memory: Pixels, *, width: int, height: int, stride: int) -> Pixels:
    """Return a view of the U and V by turns that belong to a picture of that size."""
    return _view(memory, ((height + 1) // 2, (width + 1) // 2, 2), (stride, 2, 1))


def _view(memory: Pixels, shape: tuple[int, ...], strides: tuple[int, ...]) -> Pixels:
    """Return a view that ends inside the memory; the last row may end with its last pixel."""
    height, width = shape[:2]
    stride, needed = strides[0], (width - 1) * strides[1] + _last(shape, strides)
    if stride < needed:
        raise FrameError(f"rows of {stride} bytes cannot hold {needed}")
    if memory.size < (height - 1) * stride + needed:
        raise FrameError(f"{memory.size} bytes are too few for {height} rows of {stride}")
    return as_strided(memory, shape, strides, writeable=False)


def _last(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Return how many bytes a row's last pixel has."""
    return shape[2] * strides[2] if len(shape) == 3 else 1
