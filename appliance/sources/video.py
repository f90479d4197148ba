"""A video file, read as fast as the pipeline takes it, or in real time as a camera would."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cv2
import msgspec
import numpy as np

from appliance.clock import NS_PER_SECOND
from appliance.errors import FrameError, MediaError
from appliance.values import ClockOrigin, Frame, PixelFormat, Pixels

if TYPE_CHECKING:
    from appliance.sources import SourceRequest

    _Decoded = tuple[Pixels | None, int]
    """The next picture, or None at the end, and how many packets before it could not be decoded."""

log = logging.getLogger(__name__)

MS_PER_SECOND = 1000.0
_ATTEMPTS = 300
"""Packets in a row that cannot be decoded: ten seconds of damage. At the end, 4 ms."""
_SHORT_FRAMES, _SHORT_SHARE = 3, 0.02
"""What a sound file may lack of its announced length: frames, or a share of it."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a video file."""

    loop: Annotated[bool, msgspec.Meta(description="Start again at the end.")] = False
    real_time: Annotated[
        bool, msgspec.Meta(description="Play at the camera's fps and drop frames, as if live.")
    ] = False


class VideoSource:
    """See the module's description."""

    repeats_seconds = 0.0  # a file is as it is, also where it shows the same for long

    def __init__(self, request: SourceRequest) -> None:
        self._path = Path(request.target)
        self._options: Options = request.options
        self._fps = request.camera.fps
        self._clock = request.clock
        self.live = self._options.real_time
        self._capture: cv2.VideoCapture | None = None
        self._stopped = threading.Event()
        self._start_ns = 0
        self._seq = 0
        self._held: tuple[Pixels, int] | None = None
        self._delivered = False
        self._reached_ms = 0.0
        self._told_short = False

    def open(self) -> None:
        """Open the file.

        Raises:
            MediaError: missing, or not a video that OpenCV's FFmpeg can read.
        """
        if not self._path.is_file():
            raise MediaError(f"video {self._path}: no such file")
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise MediaError(
                f"video {self._path}: cannot be read", hint="is it a video, and complete?"
            )
        self._capture = capture
        self._held = None
        self._start_ns = self._clock.monotonic_ns() - round(self._seq * self._period_ns)

    @property
    def _period_ns(self) -> float:
        return NS_PER_SECOND / self._fps

    def read(self) -> Frame | None:
        """Decode the next frame; None after the last.

        Raises:
            FrameError: it is damaged; the next may be fine.
            MediaError: there is no frame that can be decoded.
        """
        if self._capture is None:
            return None
        captured_ns = self._clock.monotonic_ns()
        if self.live:
            due_ns = self._start_ns + round(self._seq * self._period_ns)
            self._clock.wait(self._stopped, (due_ns - captured_ns) / NS_PER_SECOND)
            captured_ns = self._clock.monotonic_ns()
        pixels, failures = self._held or self._next(self._capture)
        self._held = None
        if pixels is None and self._options.loop and self._delivered:
            pixels, failures = self._from_the_start()
        if pixels is None:
            if not self._delivered:
                raise MediaError(
                    f"video {self._path}: holds no readable frame",
                    hint=f"its codec is {_codec(self._capture)}: FFmpeg here may not know it",
                )
            self._tell_if_short(self._capture)
            return None
        seq, self._seq = self._seq, self._seq + 1
        if failures:
            self._held = pixels, failures - 1
            raise FrameError(f"frame {seq} of video {self._path}: cannot be decoded")
        self._delivered = True
        height, width = pixels.shape[:2]
        return Frame(
            planes=(pixels,),
            format=PixelFormat.BGR24,
            width=width,
            height=height,
            captured_ns=captured_ns,
            seq=seq,
            origin=ClockOrigin.READ,
        )

    def _next(self, capture: cv2.VideoCapture) -> _Decoded:
        """Decode on until there is a picture: OpenCV says the same of a bad packet and the end."""
        for failures in range(_ATTEMPTS):
            ok, pixels = capture.read()
            if ok:
                position_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
                self._reached_ms = max(self._reached_ms, position_ms)
                return np.asarray(pixels, np.uint8), failures
        return None, 0

    def _from_the_start(self) -> _Decoded:
        """Begin anew: by seeking, or by opening again what cannot seek."""
        if self._capture is None:
            return None, 0
        self._tell_if_short(self._capture)
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        found = self._next(self._capture)
        if found[0] is not None:
            return found
        self._capture.release()
        self._capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        return self._next(self._capture)

    def _tell_if_short(self, capture: cv2.VideoCapture) -> None:
        """Say, once, that the file ended before what its head announces."""
        fps, frames = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if self._told_short or fps <= 0 or frames <= 0:
            return
        announced, reached = frames / fps, self._reached_ms / MS_PER_SECOND + 1 / fps
        if announced - reached > max(_SHORT_FRAMES / fps, _SHORT_SHARE * announced):
            self._told_short = True
            log.warning(
                "video %s: ends after %.1f s of %.1f s: it is cut short, or damaged at its end",
                self._path,
                reached,
                announced,
            )

    def close(self) -> None:
        """Close the file."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def _codec(capture: cv2.VideoCapture) -> str:
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    name = code.to_bytes(4, "little").decode("latin-1").strip("\0 ")
    return name if name.isprintable() and name else "unknown"


def create(request: SourceRequest) -> VideoSource:
    """Return a source that reads a video file."""
    return VideoSource(request)
