"""Encoded video through PyAV: read, decoded, and judged whole or not, packet by packet.

One thread opens, reads, decodes and closes, and the decoder has no thread of its own: libavformat
crashes otherwise, and a decoder that works on several pictures at once does not say which broke.
Imported only when such a source opens: FFmpeg costs 16 MB of memory.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import av
import av.error
import av.logging

from appliance.clock import NS_PER_MS, NS_PER_SECOND
from appliance.errors import FrameError
from appliance.sources.encoded.decoded import Decoded, ReadError, picture_of, picture_of_jpeg
from appliance.sources.encoded.opening import open_video
from appliance.sources.encoded.said import DecoderWords, missing
from appliance.sources.encoded.soundness import Soundness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from appliance.clock import Clock

_REMEMBERED = 64
"""Packets whose arrival is known: more than a decoder holds back."""
_WAITED_NS = 5 * NS_PER_MS
"""A packet that had been read before is there at once."""
_WHOLE = ("mov", "matroska", "avi", "flv")
"""Formats that keep each picture as one packet; a parser puts those of the others together."""


class EncodedVideo:
    """The first video stream of a file or an address.

    Args:
        address: a path behind ``file:``, or a URL.
        clock: stamps what arrives.
        options: of the demuxer and the protocol, in FFmpeg's words.
        reduction: how much smaller a JPEG of some width and height may be decoded.
        timeouts: seconds for opening (each of its two steps) and for each reading; None waits.

    Attributes:
        codec: name of the video's codec.
        format: name of the container's or the protocol's format.
        duration_seconds, fps: as announced; None if unsaid.
        key_frame_seconds: longest time between two key frames so far; None before there were two.

    Raises:
        NoVideoError: opened, but there is no video in it, or of an unknown codec.
        NotOpenedError: it cannot be opened.
    """

    def __init__(
        self,
        address: str,
        clock: Clock,
        *,
        options: Mapping[str, str],
        reduction: Callable[[int, int], int],
        timeouts: tuple[float, float] | None = None,
    ) -> None:
        self._clock = clock
        self._reduction = reduction
        self._owner = threading.get_ident()
        self._opened_ns = clock.monotonic_ns()
        self._close_asked = threading.Event()
        self._container, self._stream = open_video(address, options, timeouts)
        self._whole_packets = self._container.format.name.startswith(_WHOLE)
        self._decodes_jpegs = self._stream.codec_context.name == "mjpeg"
        self.codec = self._stream.codec_context.name
        self.format = self._container.format.name
        self.fps = float(self._stream.average_rate or 0) or None
        self.duration_seconds = self._announced_seconds()
        self._start_seconds = (self._container.start_time or 0) / av.time_base
        self.key_frame_seconds: float | None = None
        self._begin()

    def _announced_seconds(self) -> float | None:
        """Return the longest that the head says: of a cut file, FFmpeg guesses one of them."""
        stream = self._stream
        said = [
            (self._container.duration or 0) / av.time_base,
            float((stream.duration or 0) * (stream.time_base or 0)),
            stream.frames / self.fps if self.fps else 0.0,
        ]
        return max(said) or None

    def _begin(self) -> None:
        """Forget what was read before: reading goes on at another place."""
        self._packets: Iterator[Packet[VideoStream]] | None = None
        self._ready: deque[Decoded] = deque()
        self._soundness = Soundness()
        self._words = DecoderWords()
        self._arrived: dict[int, int] = {}
        self._number = -1
        self._missing = ""
        self._ended = False
        self._key_seconds: float | None = None

    def read(self) -> Decoded | None:
        """Return what came of the next packet that the decoder answers; None at the end.

        Raises:
            ReadError: reading failed, or another thread closed it.
        """
        while not self._ready and not self._ended and not self._close_asked.is_set():
            self._step()
        if self._close_asked.is_set():
            self.close()
            raise ReadError("was closed")
        return self._ready.popleft() if self._ready else None

    def catch_up(self) -> None:
        """Decode what was read while opening, and show only the last of it: the rest is old.

        FFmpeg reads on for a second or two to learn the rate, and keeps what it reads. The later
        pictures need it, nobody else does. It ends where reading has to wait, or where the stream
        is longer than opening took.

        Raises:
            ReadError: reading failed.
        """
        opening_seconds = (self._clock.monotonic_ns() - self._opened_ns) / NS_PER_SECOND
        first: float | None = None
        while not self._ended and not self._close_asked.is_set():
            before_ns = self._clock.monotonic_ns()
            self._step()
            waited_ns = self._arrived.get(self._number, before_ns) - before_ns
            while len(self._ready) > 1:
                self._ready.popleft()
            shown = self._ready[-1].seconds if self._ready else None
            first = shown if first is None else first
            old = shown is None or first is None or shown - first < opening_seconds
            if waited_ns >= _WAITED_NS or not old:
                return

    def rewind(self) -> None:
        """Begin at the start again.

        Raises:
            ReadError: what is read cannot go back.
        """
        self._begin()
        try:
            with av.logging.Capture():
                self._container.seek(0)
        except av.error.FFmpegError as error:
            raise ReadError(error.strerror) from None

    def close(self) -> None:
        """Close it. Asked by another thread, the next ``read`` does it, or the one that goes on."""
        if threading.get_ident() != self._owner:
            self._close_asked.set()
            return
        self._packets = None  # before its container: it holds pointers into it
        with av.logging.Capture():
            self._container.close()

    def _step(self) -> None:
        """Read one packet and decode it."""
        with av.logging.Capture() as said:
            packet = self._next_packet()
        arrived_ns = self._clock.monotonic_ns()
        if packet is None:
            self._ended = True
            return
        number = self._number = self._number + 1
        lost = missing(said, self.format)
        if lost:
            self._note_missing(lost, packet, arrived_ns)
        if packet.is_corrupt:
            self._missing = "a packet is damaged"
            self._soundness.lost(number)
        self._soundness.packet(number, key=packet.is_keyframe, shown_at=packet.pts)
        self._note_key(packet)
        self._arrived[number] = arrived_ns
        self._arrived.pop(number - _REMEMBERED, None)
        if self._decodes_jpegs and packet.size:
            self._take_jpeg(packet, number)
        else:
            self._decode(packet, number, lossless=not lost)

    def _next_packet(self) -> Packet[VideoStream] | None:
        packets = self._packets or self._container.demux(self._stream)
        self._packets = packets
        try:
            return next(packets, None)
        except av.error.FFmpegError as error:
            self._packets = None  # an exception ends a generator; the file may go on
            raise ReadError(error.strerror) from None

    def skip_damage(self) -> None:
        """Note that something could not be read, and that reading is to go on behind it."""
        self._missing = "a part could not be read"
        self._soundness.lost(self._number + 1)

    def _note_missing(self, lost: str, packet: Packet[VideoStream], arrived_ns: int) -> None:
        """Note what a demuxer missed before a packet."""
        self._missing = lost
        if packet.is_corrupt or not self._whole_packets:
            self._soundness.lost_before(self._number)
            return
        self._soundness.lost_between(self._number, key=packet.is_keyframe)
        self._ready.append(Decoded(None, arrived_ns, None, f"cannot be read: {lost}"))

    def _note_key(self, packet: Packet[VideoStream]) -> None:
        """Keep the longest time between two key frames."""
        seconds = self._seconds(packet.pts)
        if not packet.is_keyframe or seconds is None:
            return
        if self._key_seconds is not None:
            apart = seconds - self._key_seconds
            self.key_frame_seconds = max(apart, self.key_frame_seconds or 0.0)
        self._key_seconds = seconds

    def _decode(self, packet: Packet[VideoStream], number: int, *, lossless: bool) -> None:
        packet.opaque = number
        frames: list[VideoFrame] = []
        fault = ""
        with av.logging.Capture() as said:
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                fault = f"cannot be decoded: {error.strerror}"
        marked = any(frame.is_corrupt for frame in frames)
        words = self._words.damage(said, key=packet.is_keyframe, marked=marked, lossless=lossless)
        if fault or words:
            self._missing = fault or words
            self._soundness.lost(number)
        for frame in frames:
            if frame.is_corrupt:
                self._missing = words or "the decoder says so"
                self._soundness.lost(_number_of(frame, number))
        if fault:
            self._ready.append(Decoded(None, self._arrived[number], None, fault))
        self._ready.extend(self._judged(frame, _number_of(frame, number)) for frame in frames)

    def _judged(self, frame: VideoFrame, number: int) -> Decoded:
        """Return a picture if it is whole, or why it is not."""
        arrived_ns = self._arrived.get(number, self._arrived[self._number])
        seconds = self._seconds(frame.pts)
        if self._soundness.sound(number, frame.pts):
            return Decoded(picture_of(frame), arrived_ns, seconds)
        why = f"damaged since something was lost ({self._missing}): waits for a key frame"
        return Decoded(None, arrived_ns, seconds, why)

    def _seconds(self, shown_at: int | None) -> float | None:
        """Return a time of the stream in seconds from its start."""
        if shown_at is None:
            return None
        return float(shown_at * (self._stream.time_base or 0)) - self._start_seconds

    def _take_jpeg(self, packet: Packet[VideoStream], number: int) -> None:
        """Decode a packet that is a JPEG, strictly: FFmpeg shows a cut one as whole."""
        seconds = self._seconds(packet.pts)
        arrived_ns = self._arrived[number]
        try:
            picture = picture_of_jpeg(bytes(packet), f"packet {number}", self._reduction)
        except FrameError as error:
            self._ready.append(Decoded(None, arrived_ns, seconds, str(error)))
        else:
            self._ready.append(Decoded(picture, arrived_ns, seconds))


def _number_of(frame: VideoFrame, latest: int) -> int:
    """Return the number of the packet that a frame was made from."""
    return frame.opaque if isinstance(frame.opaque, int) else latest
