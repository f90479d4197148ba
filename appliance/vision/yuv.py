"""Y, U and V of any size to RGB of the model's size: planes are resized, then colours are made."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.values import BT601_LIMITED, Matrix, PixelFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.values import Colours, Floats, Frame, Pixels

_WEIGHTS = {
    Matrix.BT601: (0.299, 0.114),
    Matrix.BT709: (0.2126, 0.0722),
    Matrix.BT2020: (0.2627, 0.0593),
}
"""Of red and blue in Y (Kr, Kb): Recommendations ITU-R BT.601, BT.709, BT.2020."""
_FAST = {PixelFormat.I420: cv2.COLOR_YUV2RGB_I420, PixelFormat.NV12: cv2.COLOR_YUV2RGB_NV12}


def resize(picture: Pixels, out: Pixels) -> None:
    """Resize into ``out``: bilinear, as the models were trained; a plain copy at equal size."""
    if picture.shape == out.shape:
        np.copyto(out, picture)
    else:
        cv2.resize(picture, out.shape[1::-1], dst=out, interpolation=cv2.INTER_LINEAR)


def to_rgb(
    frame: Frame,
    crop: tuple[int, int, int, int],
    rgb: Pixels,
    buffer: Callable[[str, tuple[int, ...]], Pixels],
) -> None:
    """Write a part of an I420 or NV12 frame into ``rgb``, in its size.

    Args:
        frame: of one of those formats.
        crop: x0, y0, x1, y1 in pixels of the frame; x0 and y0 even.
        rgb: uint8 (h, w, 3).
        buffer: returns scratch memory of a name and shape.
    """
    x0, y0, x1, y1 = crop
    luma = frame.planes[0][y0:y1, x0:x1]
    chroma = [plane[y0 // 2 : (y1 + 1) // 2, x0 // 2 : (x1 + 1) // 2] for plane in frame.planes[1:]]
    height, width = rgb.shape[:2]
    if frame.colours == BT601_LIMITED and not (width % 2 or height % 2):
        # One plane above the other, as OpenCV's conversion takes them: a quarter less time.
        packed = buffer("packed", (height * 3 // 2, width))
        resize(luma, packed[:height])
        halves = packed[height:].reshape(len(chroma), height // 2, width // 2, -1)
        for plane, half in zip(chroma, halves, strict=True):
            resize(plane, half if plane.ndim == 3 else half[..., 0])
        cv2.cvtColor(packed, _FAST[frame.format], dst=rgb)
        return
    parts = []
    for number, plane in enumerate((luma, *chroma)):
        parts.append(buffer(f"plane {number}", (height, width, *plane.shape[2:])))
        resize(plane, parts[-1])
    yuv = buffer("yuv", rgb.shape)
    cv2.merge(parts, dst=yuv)
    cv2.transform(yuv, matrix_of(frame.colours), dst=rgb)


@functools.cache
def matrix_of(colours: Colours) -> Floats:
    """Return the (3, 4) matrix that makes R, G, B of Y, U, V and 1, all of them 0..255."""
    red, blue = _WEIGHTS[colours.matrix]
    green = 1 - red - blue
    y, black = (1.0, 0) if colours.full_range else (255 / 219, 16)
    c = 1.0 if colours.full_range else 255 / 224
    of_v, of_u = 2 * (1 - red) * c, 2 * (1 - blue) * c
    rows = [(y, 0.0, of_v), (y, -of_u * blue / green, -of_v * red / green), (y, of_u, 0.0)]
    matrix = np.array([(*row, -row[0] * black - 128 * (row[1] + row[2])) for row in rows])
    return matrix.astype(np.float32)
