"""A network camera by RTSP or HTTP (MJPEG, HLS), through OpenCV's FFmpeg with deadlines.

Frames are stamped when reading begins: what happens inside the camera and on the network before
is not measured, and the origin says so (``read``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import cv2
import msgspec
import numpy as np

from appliance.addresses import endpoint_of, without_secrets
from appliance.clock import NS_PER_SECOND
from appliance.errors import SourceLostError, SourceUnavailableError
from appliance.sources.reach import why_no_video
from appliance.values import ClockOrigin, Frame, PixelFormat

if TYPE_CHECKING:
    from appliance.sources import SourceRequest


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a network camera."""

    open_timeout_seconds: Annotated[
        float, msgspec.Meta(gt=0, le=10, description="Give up connecting after this.")
    ] = 5.0
    read_timeout_seconds: Annotated[
        float, msgspec.Meta(gt=0, le=10, description="No frame for this long means lost.")
    ] = 5.0


class StreamSource:
    """See the module's description."""

    live = True
    repeats_seconds = 30.0
    """Where nothing moves, cameras repeat a picture until the next key frame. OpenCV does not tell
    how far these are apart; 15 s is long, and the picture changes with each."""

    def __init__(self, request: SourceRequest) -> None:
        self._url = request.target
        self._options: Options = request.options
        self._silence_ns = round(request.options.read_timeout_seconds * NS_PER_SECOND)
        self._clock = request.clock
        self._capture: cv2.VideoCapture | None = None
        self._seq = 0

    @property
    def name(self) -> str:
        """Return the address without user and password, for messages."""
        return without_secrets(self._url)

    def open(self) -> None:
        """Connect.

        Raises:
            SourceUnavailableError: refused, unknown, or no video within the time-out.
        """
        timeouts = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            round(self._options.open_timeout_seconds * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            round(self._options.read_timeout_seconds * 1000),
        ]
        began_ns = self._clock.monotonic_ns()
        capture = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, timeouts)
        if not capture.isOpened():
            capture.release()
            raise SourceUnavailableError(
                f"stream {self.name}: cannot be opened",
                hint=self._why_not(self._clock.monotonic_ns() - began_ns),
            )
        self._capture = capture

    def _why_not(self, took_ns: int) -> str:
        """Return what there is to know of a failure to open; asks only while there is time."""
        seconds = self._options.open_timeout_seconds
        left = seconds - took_ns / NS_PER_SECOND
        if left <= 0:
            return f"no video within {seconds:g} s: check the address, and that the camera is on"
        endpoint = endpoint_of(self._url)
        if endpoint is None or left < seconds / 2:
            return "check address, user and password, and that the camera is on"
        return why_no_video(endpoint, left / 2)

    def read(self) -> Frame | None:
        """Return the next frame.

        Raises:
            SourceLostError: the stream ended or was silent for the time-out.
        """
        if self._capture is None:
            raise SourceLostError(f"stream {self.name}: is closed")
        captured_ns = self._clock.monotonic_ns()
        ok, pixels = self._capture.read()
        # After a time-out OpenCV still returns what its decoder held back, from before the silence.
        silent = self._clock.monotonic_ns() - captured_ns >= self._silence_ns
        if not ok or silent:
            raise SourceLostError(f"stream {self.name}: ended or went silent")
        seq, self._seq = self._seq, self._seq + 1
        height, width = pixels.shape[:2]
        return Frame(
            planes=(np.asarray(pixels, np.uint8),),
            format=PixelFormat.BGR24,
            width=width,
            height=height,
            captured_ns=captured_ns,
            seq=seq,
            origin=ClockOrigin.READ,
        )

    def close(self) -> None:
        """Disconnect."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def create(request: SourceRequest) -> StreamSource:
    """Return a source that reads a network stream."""
    return StreamSource(request)
