"""Open a container with PyAV, and choose the video in it; imports FFmpeg."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import av.error
import av.logging
from av.stream import Discard, Disposition

from appliance.sources.encoded.decoded import NotOpenedError, NoVideoError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.container import InputContainer
    from av.video.stream import VideoStream

_SHOW_DAMAGE = "+output_corrupt"
"""Decoders would leave out what they cannot make whole, and nobody would count it."""


def open_video(
    address: str, options: Mapping[str, str], timeouts: tuple[float, float] | None
) -> tuple[InputContainer, VideoStream]:
    """Return an open container and its video, set up for decoding in this thread alone.

    Args:
        address: a path behind ``file:``, or a URL.
        options: of the demuxer and the protocol, in FFmpeg's words.
        timeouts: seconds for opening (each of its two steps) and for each reading; None waits.

    Raises:
        NoVideoError: opened, but there is no video in it, or of an unknown codec.
        NotOpenedError: it cannot be opened.
    """
    av.logging.set_level(av.logging.WARNING)
    av.logging.set_skip_repeated(False)
    with av.logging.Capture() as said:
        try:
            container: InputContainer = av.open(address, options=dict(options), timeout=timeouts)
        except av.error.FFmpegError as error:
            raise NotOpenedError(error, tuple(words for _, _, words in said)) from None
        try:
            return container, _stream_of(container)
        except NoVideoError:
            container.close()
            raise


def _stream_of(container: InputContainer) -> VideoStream:
    """Return the stream to decode; the others are not even read.

    Raises:
        NoVideoError: there is none.
    """
    videos = container.streams.video
    known = [one for one in videos if one.codec_context is not None]
    if not known:
        if videos:
            raise NoVideoError(
                "its video is in a format that FFmpeg here cannot decode",
                "H.264, H.265, MJPEG and many others are fine: can it be set to one?",
            )
        raise NoVideoError("it has no video", "is it sound alone? check which one it is")
    moving = [one for one in known if not one.disposition & Disposition.attached_pic]
    chosen = max(moving or known, key=lambda one: one.width * one.height)
    for stream in container.streams:
        if stream.index != chosen.index:
            stream.discard = Discard.all
    decoder = chosen.codec_context
    decoder.thread_count = 1
    decoder.thread_type = "SLICE"
    decoder.copy_opaque = True
    decoder.options = {"flags": _SHOW_DAMAGE}
    return chosen
