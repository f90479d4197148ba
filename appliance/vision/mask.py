"""Parts of the picture that nobody may see: blanked before anything looks at a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from appliance.values import PixelFormat
from appliance.vision.preprocess import to_raw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from appliance.values import Frame, Pixels
    from appliance.vision.preprocess import View

_NEAR = 1.0
"""A pixel whose middle is no farther from an edge is blank: what it touches lies within 0.71."""
_GREY = 128
"""U and V of no colour."""


Reals: TypeAlias = "NDArray[np.float64]"


@dataclass(frozen=True, slots=True)
class _Plane:
    """What becomes of a plane: ``(pixels & keep) | fill``."""

    keep: Pixels
    fill: Pixels | None


class Mask:
    """Blanks parts of one camera's frames. Not thread-safe.

    The pixels are copied: a driver's buffer may not be ours to write, and a decoder still predicts
    from its own. Every pixel that a part touches is blank, and so is each colour sample over one.

    Args:
        polygons: each its corners x, y in 0..1 of the upright picture.
        view: how the camera looks at the world.
    """

    def __init__(self, polygons: Sequence[Sequence[tuple[float, float]]], view: View) -> None:
        self._polygons = [
            np.array([to_raw(view, (x, y, 0.0, 0.0))[:2] for x, y in polygon])
            for polygon in polygons
        ]
        self._key: tuple[PixelFormat, tuple[int, int]] | None = None
        self._planes: tuple[_Plane, ...] = ()

    def apply(self, frame: Frame) -> Frame:
        """Return the frame with pixels of its own, some blank; the one given is released."""
        key = frame.format, frame.decoded_size
        if key != self._key:
            self._planes = self._prepare(*key)
            self._key = key
        planes = tuple(_blanked(*pair) for pair in zip(frame.planes, self._planes, strict=True))
        frame.release()
        return frame.with_planes(planes)

    def _prepare(self, pixel_format: PixelFormat, size: tuple[int, int]) -> tuple[_Plane, ...]:
        bits = self._bits(*size)
        if pixel_format in {PixelFormat.BGR24, PixelFormat.RGB24}:
            return (_Plane(_repeated(~bits, 3), None),)
        both = pixel_format is PixelFormat.NV12
        half = _repeated(_halved(bits), 2) if both else _halved(bits)
        colour = _Plane(~half, np.bitwise_and(half, np.uint8(_GREY)))
        return (_Plane(~bits, None), *((colour,) if both else (colour, colour)))

    def _bits(self, width: int, height: int) -> Pixels:
        """Return 255 where a pixel is masked, else 0."""
        bits = np.zeros((height, width), np.uint8)
        for polygon in self._polygons:
            bits[_touched(polygon * (width, height), width, height)] = 255
        return bits


def _touched(corners: Reals, width: int, height: int) -> NDArray[np.bool_]:
    """Say which pixels, by their middles, a polygon covers or comes near to.

    Worked out, not drawn: what draws polygons (OpenCV's ``fillPoly``) leaves out parts of thin ones
    at the picture's edge. Of each edge only the rows and columns are looked at that it concerns.
    """
    inside = np.zeros((height, width), bool)
    near = np.zeros((height, width), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        rows, columns = _reach(y0, y1, height), _reach(x0, x1, width)
        y = np.arange(rows.start, rows.stop)[:, None] + 0.5
        across = (y0 > y) != (y1 > y)  # the edge crosses the pixel's row
        if across.any():
            crossing = x0 + (x1 - x0) * (y - y0) / (y1 - y0)
            inside[rows] ^= across & (np.arange(width) + 0.5 < crossing)
        x = np.arange(columns.start, columns.stop) + 0.5
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / (length or 1.0)
        along = np.clip(along, 0, 1)
        off_x, off_y = x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)
        near[rows, columns] |= off_x**2 + off_y**2 <= _NEAR**2
    return inside | near


def _reach(one: float, other: float, size: int) -> slice:
    """Return the rows, or columns, that an edge between two places comes near to."""
    low, high = sorted((one, other))
    first = min(max(math.floor(low - _NEAR - 0.5), 0), size)
    return slice(first, min(max(math.ceil(high + _NEAR + 0.5), first), size))


def _halved(bits: Pixels) -> Pixels:
    """Return which samples of half the size cover a masked pixel."""
    height, width = bits.shape
    even = np.pad(bits, ((0, height % 2), (0, width % 2)))
    return np.asarray(even.reshape(even.shape[0] // 2, 2, -1, 2).max(axis=(1, 3)), np.uint8)


def _repeated(bits: Pixels, channels: int) -> Pixels:
    return np.ascontiguousarray(np.repeat(bits[..., None], channels, axis=2))


def _blanked(plane: Pixels, wanted: _Plane) -> Pixels:
    pixels = cv2.bitwise_and(plane, wanted.keep)
    if wanted.fill is not None:
        cv2.bitwise_or(pixels, wanted.fill, dst=pixels)
    return np.asarray(pixels, np.uint8)
