"""PyAV's pictures as ours: views of the decoder's planes, without a copy where there is none to do.

The views keep the decoder's buffer alive and are read-only: it predicts later pictures from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.sources.pictures import jpeg
from appliance.values import BT601_LIMITED, Colours, Frame, Matrix, PixelFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from av import VideoFrame
    from av.error import FFmpegError
    from av.video.plane import VideoPlane

    from appliance.values import ClockOrigin, Pixels

_FULL_RANGE = 2
"""AVCOL_RANGE_JPEG (libavutil/pixfmt.h); unspecified means limited, except for the yuvj formats."""
_MATRICES = {
    1: Matrix.BT709,
    2: Matrix.BT601,  # unsaid, and read so by FFmpeg
    5: Matrix.BT601,
    6: Matrix.BT601,
    9: Matrix.BT2020,
}
"""AVCOL_SPC_* (libavutil/pixfmt.h). FFmpeg itself converts from the others."""
_TURNS = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}


@dataclass(frozen=True, slots=True)
class _Planar:
    """A format with planes of Y, U and V.

    Attributes:
        rows, columns: take each so many-th of the chroma's, to have a quarter of the luma's.
        bits: of a sample; more than 8 are two bytes, little end first.
    """

    rows: int = 1
    columns: int = 1
    bits: int = 8


_PLANAR = {
    "yuv420p": _Planar(),
    "yuvj420p": _Planar(),
    "yuv422p": _Planar(rows=2),
    "yuvj422p": _Planar(rows=2),
    "yuv444p": _Planar(rows=2, columns=2),
    "yuvj444p": _Planar(rows=2, columns=2),
    "yuv420p10le": _Planar(bits=10),
    "yuv422p10le": _Planar(rows=2, bits=10),
    "yuv444p10le": _Planar(rows=2, columns=2, bits=10),
    "yuv420p12le": _Planar(bits=12),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture, upright.

    Attributes:
        planes, format, width, height, colours, reduction: as in a Frame.
    """

    planes: tuple[Pixels, ...]
    format: PixelFormat
    width: int
    height: int
    colours: Colours
    reduction: int = 1

    def frame(self, captured_ns: int, seq: int, origin: ClockOrigin) -> Frame:
        return Frame(
            planes=self.planes,
            format=self.format,
            width=self.width,
            height=self.height,
            captured_ns=captured_ns,
            seq=seq,
            origin=origin,
            colours=self.colours,
            reduction=self.reduction,
        )


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came of one packet.

    Attributes:
        picture: None where it could not be decoded, or is damaged.
        arrived_ns: when its last byte had been read, CLOCK_MONOTONIC.
        seconds: when it is shown, from the start of the stream; None if unsaid.
        fault: why there is no picture; empty if there is.
    """

    picture: Picture | None
    arrived_ns: int
    seconds: float | None
    fault: str = ""


class NoVideoError(Exception):
    """What was opened has no video that can be decoded; says why.

    Attributes:
        hint: what can be done about it.
    """

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.hint = hint


class NotOpenedError(Exception):
    """Opening failed.

    Attributes:
        error: FFmpeg's. Its text, not its ``strerror``, may hold user and password.
        said: what FFmpeg said meanwhile, which is more than the error tells.
    """

    def __init__(self, error: FFmpegError, said: tuple[str, ...]) -> None:
        super().__init__(error.strerror)
        self.error = error
        self.said = said


class ReadError(Exception):
    """Reading on failed; says why, without the address."""


def picture_of(frame: VideoFrame) -> Picture:
    """Return a decoded frame's planes; formats that we do not read are converted by FFmpeg."""
    name, planes, kind = frame.format.name, frame.planes, PixelFormat.BGR24
    ours_to_read = frame.colorspace in _MATRICES and all(one.line_size > 0 for one in planes)
    ours: tuple[Pixels, ...]
    if name in _PLANAR and ours_to_read:
        how, kind = _PLANAR[name], PixelFormat.I420
        luma, *chroma = (_samples(plane, how.bits) for plane in planes)
        ours = (luma, *(_thinned(one, how) for one in chroma))
    elif name == "nv12" and ours_to_read:
        kind = PixelFormat.NV12
        ours = (_samples(planes[0]), _samples(planes[1], channels=2))
    else:  # FFmpeg knows the frame's colours, too
        ours = (np.asarray(frame.to_ndarray(format="bgr24"), np.uint8),)
    width, height = frame.width, frame.height
    turn = _TURNS.get(frame.rotation % 360)
    if turn is not None:
        ours = tuple(np.asarray(cv2.rotate(plane, turn), np.uint8) for plane in ours)
        height, width = ours[0].shape[:2]
    for plane in ours:
        plane.flags.writeable = False
    return Picture(ours, kind, width, height, _colours(frame))


def picture_of_jpeg(content: bytes, name: str, reduction: Callable[[int, int], int]) -> Picture:
    """Return a JPEG's picture, decoded strictly.

    Args:
        content: the JPEG.
        name: of it, for errors.
        reduction: of a picture's width and height: as in ``jpeg.decode``.

    Raises:
        FrameError: it is cut, or damaged.
    """
    width, height = jpeg.size_of(content, name)
    by = reduction(width, height)
    pixels = jpeg.decode(content, name, by)
    return Picture((pixels,), PixelFormat.BGR24, width, height, BT601_LIMITED, by)


def _colours(frame: VideoFrame) -> Colours:
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    return Colours(_MATRICES.get(frame.colorspace, Matrix.BT601), full_range=full)


def _samples(plane: VideoPlane, bits: int = 8, channels: int = 1) -> Pixels:
    """Return (rows, columns) of 8-bit samples, or (rows, columns, channels)."""
    if bits > 8:
        deep = np.frombuffer(memoryview(plane), "<u2").reshape(-1, plane.line_size // 2)
        return np.asarray(deep[:, : plane.width] >> (bits - 8), np.uint8)
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    samples = rows[:, : plane.width * channels]
    return samples if channels == 1 else samples.reshape(len(samples), -1, channels)


def _thinned(chroma: Pixels, how: _Planar) -> Pixels:
    """Return as many of the samples as 4:2:0 has; the last axis without gaps."""
    thin = chroma[:: how.rows, :: how.columns]
    return thin if how.columns == 1 else np.ascontiguousarray(thin)
