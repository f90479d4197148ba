"""A video file, read as fast as the pipeline takes it, or at its own pace as a camera would."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from appliance.clock import NS_PER_SECOND
from appliance.errors import FrameError, MediaError
from appliance.sources.encoded.decoded import NotOpenedError, NoVideoError, ReadError
from appliance.values import ClockOrigin

if TYPE_CHECKING:
    from appliance.sources import SourceRequest
    from appliance.sources.encoded.decoded import Decoded
    from appliance.sources.encoded.encoded_video import EncodedVideo
    from appliance.values import Frame

log = logging.getLogger(__name__)

_ATTEMPTS = 50
"""Parts in a row that cannot be read: behind so many there is nothing more."""
_JUMP_SECONDS = 5.0
"""A gap in the file's times is played as it is, up to this: nobody may wait longer for a frame."""
_SHORT_FRAMES, _SHORT_SHARE = 3, 0.02
"""What a sound file may lack of its announced length: frames, or a share of it."""


SCHEMES = ("file",)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a video file."""

    loop: Annotated[bool, msgspec.Meta(description="Start again at the end.")] = False
    real_time: Annotated[
        bool, msgspec.Meta(description="Play at the file's own pace and drop frames, as if live.")
    ] = False


class VideoSource:
    """A video file, read as fast as the pipeline takes it, or at its own pace as a camera would."""

    repeats_seconds = 0.0  # a file is as it is, also where it shows the same for long

    def __init__(self, request: SourceRequest) -> None:
        self._path = Path(request.target)
        self._options: Options = request.options
        self._fps = request.camera.fps
        self._clock = request.clock
        self._reduction = request.reduction
        self.live = self._options.real_time
        self._video: EncodedVideo | None = None
        self._closed = threading.Event()
        self._seq = 0
        self._began_ns: int | None = None
        self._delivered = False
        self._reached_seconds = 0.0
        self._told_short = False

    def open(self) -> None:
        """Open the file.

        Raises:
            MediaError: missing, or not a video that FFmpeg can read.
        """
        from appliance.sources.encoded.encoded_video import EncodedVideo  # noqa: PLC0415 - loads FFmpeg

        if not self._path.is_file():
            raise MediaError(f"video {self._path}: no such file")
        try:
            self._video = EncodedVideo(
                f"file:{self._path}",
                self._clock,
                options={"protocol_whitelist": "file,crypto,data"},
                reduction=self._reduction,
            )
        except NoVideoError as error:
            raise MediaError(f"video {self._path}: {error}", hint=error.hint) from None
        except NotOpenedError as error:
            raise MediaError(
                f"video {self._path}: cannot be read: {error}", hint="is it a video, and complete?"
            ) from None
        self._began_ns = None
        self._closed.clear()

    def read(self) -> Frame | None:
        """Decode the next frame; None after the last.

        Raises:
            FrameError: it is damaged, or predicted from one that is.
            MediaError: there is no frame that can be decoded.
        """
        if self._video is None:
            return None
        captured_ns = self._clock.monotonic_ns()
        decoded = self._next(self._video)
        if decoded is None and self._options.loop and self._delivered:
            decoded = self._from_the_start()
        if decoded is None:
            self._nothing_more(self._video)
            return None
        seq, self._seq = self._seq, self._seq + 1
        if self.live:
            captured_ns = self._due(decoded, captured_ns)
        if decoded.picture is None:
            raise FrameError(f"frame {seq} of video {self._path}: {decoded.fault}")
        self._delivered = True
        return decoded.picture.frame(captured_ns, seq, ClockOrigin.READ)

    def _due(self, decoded: Decoded, now_ns: int) -> int:
        """Wait until the frame is to be shown, and return when that is."""
        seconds = self._seq / self._fps if decoded.seconds is None else decoded.seconds
        if self._began_ns is None:
            self._began_ns = now_ns - round(seconds * NS_PER_SECOND)
        wait_seconds = (self._began_ns - now_ns) / NS_PER_SECOND + seconds
        if abs(wait_seconds) > _JUMP_SECONDS:
            self._began_ns = now_ns - round(seconds * NS_PER_SECOND)
            return now_ns
        self._clock.wait(self._closed, wait_seconds)
        return self._clock.monotonic_ns()

    def _next(self, video: EncodedVideo) -> Decoded | None:
        """Read on behind what cannot be read, as long as there is hope."""
        for _ in range(_ATTEMPTS):
            try:
                decoded = video.read()
            except ReadError:
                video.skip_damage()
                continue
            if decoded is not None and decoded.seconds is not None:
                self._reached_seconds = max(self._reached_seconds, decoded.seconds)
            return decoded
        return None

    def _from_the_start(self) -> Decoded | None:
        """Begin anew: by seeking, or by opening again what cannot seek."""
        if self._video is None:
            return None
        self._tell_if_short(self._video)
        self._began_ns = None
        try:
            self._video.rewind()
        except ReadError:
            found = None
        else:
            found = self._next(self._video)
        if found is None:
            self._video.close()
            self.open()
            found = self._next(self._video)
        return found

    def _nothing_more(self, video: EncodedVideo) -> None:
        """Say what is missing, or that there never was anything."""
        if not self._delivered:
            raise MediaError(
                f"video {self._path}: holds no readable frame",
                hint=f"its codec is {video.codec}",
            )
        self._tell_if_short(video)

    def _tell_if_short(self, video: EncodedVideo) -> None:
        """Say, once, that the file ended before what its head announces."""
        fps, announced = video.fps, video.duration_seconds
        if self._told_short or not fps or not announced:
            return
        reached = self._reached_seconds + 1 / fps
        if announced - reached > max(_SHORT_FRAMES / fps, _SHORT_SHARE * announced):
            self._told_short = True
            log.warning(
                "video %s: ends after %.1f s of %.1f s: it is cut short, or damaged at its end",
                self._path,
                reached,
                announced,
            )

    def close(self) -> None:
        self._closed.set()
        video, self._video = self._video, None
        if video is not None:
            video.close()


def create(request: SourceRequest) -> VideoSource:
    """Return a source that reads a video file."""
    return VideoSource(request)
