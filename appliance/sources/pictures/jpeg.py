"""Strict JPEG decoding: a truncated picture is an error, never a half-grey frame.

Stray bytes before a marker, which many webcams write, are no damage: nothing of the picture is
lost by them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg

from appliance.errors import FrameError
from appliance.sources.pictures.jpeg_layout import END, intervals, segments, tidied
from appliance.values import reduced

if TYPE_CHECKING:
    from appliance.values import Pixels

MOST_STRAY_BYTES = 64
"""Padding of a sloppy camera; where more is left over, something was lost before it."""
_STRAY = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_OF_THE_SCAN = range(0xD0, END + 1)
_EXIF = b"Exif\x00\x00"
_ORIENTATION, _SHORT = 0x0112, 3


def size_of(content: bytes | memoryview, name: str) -> tuple[int, int]:
    """Return width and height of a JPEG, as it is stored.

    Raises:
        FrameError: not a JPEG, or its head is damaged.
    """
    try:
        return _size(bytes(content))
    except ValueError as error:
        raise FrameError(f"{name}: damaged JPEG: {error}") from error


def decode(content: bytes | memoryview, name: str, reduction: int = 1) -> Pixels:
    """Return a JPEG as uint8 BGR (height, width, 3), as it is stored.

    Args:
        content: the JPEG.
        name: of it, for errors.
        reduction: 1, 2, 4 or 8: one pixel for so many each way, in less time. All of the content is
            read all the same, so damage is found as it is without.

    Raises:
        FrameError: not a JPEG, truncated, or damaged where the decoder can tell.
    """
    try:
        return _decoded(bytes(content), reduction)
    except (ValueError, OverflowError, MemoryError) as error:
        raise FrameError(f"{name}: damaged JPEG: {error}") from error


def _size(content: bytes) -> tuple[int, int]:
    # Not strict: stray bytes are judged when it is decoded.
    try:
        height, width = simplejpeg.decode_jpeg_header(content, strict=False)[:2]
    except KeyError as error:  # simplejpeg looks up what a damaged head does not say
        raise ValueError("its head is damaged") from error
    return width, height


def _decoded(content: bytes, reduction: int) -> Pixels:
    width, height = reduced(*_size(content), reduction)
    least = {"min_width": width, "min_height": height}
    picture = np.empty((height, width, 3), np.uint8)
    try:
        simplejpeg.decode_jpeg(content, colorspace="BGR", strict=True, buffer=picture, **least)
    except ValueError as error:
        stray = _STRAY.search(str(error))
        if stray is None or int(stray[1]) > MOST_STRAY_BYTES:
            raise
        marker = int(stray[2], 16)
        if marker == END:
            return picture  # it was complete before they came
        tidy = content if marker in _OF_THE_SCAN else tidied(content)
        if tidy != content:
            return _decoded(tidy, reduction)
        if not _whole(content):
            raise
        loose = simplejpeg.decode_jpeg(content, colorspace="BGR", strict=False, **least)
        return np.asarray(loose, np.uint8)
    return picture


def _whole(content: bytes) -> bool:
    """Say whether no restart interval has lost anything."""
    pieces = intervals(content)
    return bool(pieces) and all(map(_sound, pieces))


def _sound(piece: bytes) -> bool:
    try:
        simplejpeg.decode_jpeg(piece, colorspace="GRAY", strict=True)
    except ValueError as error:
        stray = _STRAY.search(str(error))
        return stray is not None and int(stray[2], 16) == END and int(stray[1]) <= MOST_STRAY_BYTES
    return True


def orientation(content: bytes) -> int:
    """Return how a JPEG has to be turned to stand upright, 1 to 8 as in EXIF; 1 if unsaid."""
    for segment, _ in segments(content):
        if segment.marker == 0xE1 and segment.content.startswith(_EXIF):
            return _orientation(segment.content[len(_EXIF) :])
    return 1


def _orientation(tiff: bytes) -> int:
    order = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order not in {"little", "big"}:
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)  # type: ignore[arg-type]

    first = number(4, 4)
    for at in range(first + 2, first + 2 + 12 * number(first, 2), 12):
        if (number(at, 2), number(at + 2, 2)) == (_ORIENTATION, _SHORT):
            found = number(at + 8, 2)
            return found if 1 <= found <= 8 else 1
    return 1
