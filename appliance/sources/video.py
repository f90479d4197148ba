"""A video file, read as fast as the pipeline takes it, or in real time as a camera would."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cv2
import msgspec
import numpy as np

from appliance.clock import NS_PER_SECOND
from appliance.errors import MediaError
from appliance.values import ClockOrigin, Frame, PixelFormat

if TYPE_CHECKING:
    from appliance.sources import SourceRequest


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
        self._start_ns = self._clock.monotonic_ns() - round(self._seq * self._period_ns)

    @property
    def _period_ns(self) -> float:
        return NS_PER_SECOND / self._fps

    def read(self) -> Frame | None:
        """Decode the next frame; None after the last."""
        if self._capture is None:
            return None
        captured_ns = self._clock.monotonic_ns()
        if self.live:
            due_ns = self._start_ns + round(self._seq * self._period_ns)
            self._clock.wait(self._stopped, (due_ns - captured_ns) / NS_PER_SECOND)
            captured_ns = self._clock.monotonic_ns()
        ok, pixels = self._capture.read()
        if not ok and self._options.loop and self._seq:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            ok, pixels = self._capture.read()
        if not ok:
            if self._seq == 0:
                raise MediaError(f"video {self._path}: holds no readable frame")
            return None
        seq, self._seq = self._seq, self._seq + 1
        height, width = pixels.shape[:2]
        return Frame(
            pixels=np.asarray(pixels, np.uint8),
            format=PixelFormat.BGR24,
            width=width,
            height=height,
            captured_ns=captured_ns,
            seq=seq,
            origin=ClockOrigin.READ,
        )

    def close(self) -> None:
        """Close the file."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def create(request: SourceRequest) -> VideoSource:
    """Return a source that reads a video file."""
    return VideoSource(request)
