"""The reference: pictures as image processors of a Raspberry Pi lay them into memory.

Written from the vendors' layout, not from the product's reading of it:

- raspberrypi/libpisp ``src/libpisp/common/pisp_utils.cpp`` (compute_stride_align: each plane's rows
  begin at a multiple of 64 bytes) and raspberrypi/libcamera 26bfadc6
  ``src/libcamera/pipeline/rpi/pisp/pisp.cpp`` (computeOptimalStride: of YUV420 the chroma's stride
  is aligned and the luma's is twice it; NV12's two strides are alike);
- picamera2 3e6dff0 (0.3.36) ``picamera2/picamera2.py`` align_stream (32 instead of 64 on VC4) and
  ``request.py``, whose own JPEG path reads U and V in rows of half a stride.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from appliance.values import Pixels

ALIGNMENT = {"unpadded": 1, "vc4": 32, "pisp": 64}


def up(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


def stride_of(pixel_format: str, width: int, chip: str) -> int:
    align = ALIGNMENT[chip]
    if pixel_format == "YUV420":
        return 2 * up(width // 2, align)
    if pixel_format == "NV12":
        return up(width, align)
    return up(width * (4 if pixel_format.startswith("X") else 3), align)


def planes_of(picture: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    """Return Y, U and V of a BGR picture with even sides (BT.601, limited range)."""
    height, width = picture.shape[:2]
    flat = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).reshape(-1)
    luma, quarter = height * width, height * width // 4
    small = (height // 2, width // 2)
    return (
        flat[:luma].reshape(height, width).astype(np.uint8),
        flat[luma : luma + quarter].reshape(small).astype(np.uint8),
        flat[luma + quarter :].reshape(small).astype(np.uint8),
    )


def lay(pixel_format: str, picture: Pixels, stride: int) -> bytes:
    """Return the memory of a picture, byte by byte; between its rows lies what is no picture."""
    height = picture.shape[0]
    if pixel_format in {"YUV420", "NV12"}:
        y, u, v = planes_of(picture)
        if pixel_format == "YUV420":
            return b"".join([_padded(y, stride), _padded(u, stride // 2), _padded(v, stride // 2)])
        by_turns = np.stack([u, v], axis=2).reshape(height // 2, -1)
        return _padded(y, stride) + _padded(by_turns, stride)
    ordered = picture if pixel_format in {"RGB888", "XRGB8888"} else picture[:, :, ::-1]
    if pixel_format.startswith("X"):
        alpha = np.full((*picture.shape[:2], 1), 255, np.uint8)
        ordered = np.concatenate([ordered, alpha], axis=2)
    return _padded(ordered.reshape(height, -1), stride)


def tight(pixel_format: str, picture: Pixels) -> tuple[Pixels, ...]:
    """Return the planes that a frame of that picture must hold, pixel by pixel."""
    if pixel_format == "YUV420":
        return planes_of(picture)
    if pixel_format == "NV12":
        y, u, v = planes_of(picture)
        return y, np.stack([u, v], axis=2)
    return (picture if pixel_format in {"RGB888", "XRGB8888"} else picture[:, :, ::-1],)


def same(planes: tuple[Pixels, ...], others: tuple[Pixels, ...]) -> bool:
    """Say whether two pictures are the same to the bit."""
    return len(planes) == len(others) and all(map(np.array_equal, planes, others))


def _padded(rows: Pixels, stride: int) -> bytes:
    noise = np.random.default_rng(rows.shape[0] * 7 + stride)
    gap = stride - rows.shape[1]
    return b"".join(row.tobytes() + noise.integers(0, 256, gap, np.uint8).tobytes() for row in rows)
