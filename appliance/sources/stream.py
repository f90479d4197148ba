"""A network camera by RTSP or HTTP (MJPEG, HLS), through PyAV with deadlines.

Frames are stamped when their last byte had been read: what happens inside the camera and on the
network before is not known, and the origin says so (``arrival``). FFmpeg hands an H.264 or H.265
picture of RTSP out when the next one begins, so up to one frame's period is not in it either.
"""

from __future__ import annotations

import errno
import ssl
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from appliance.clock import NS_PER_SECOND
from appliance.config.addresses import endpoint_of, without_secrets
from appliance.errors import FrameError, SourceLostError, SourceUnavailableError
from appliance.sources.encoded.decoded import NotOpenedError, NoVideoError, ReadError
from appliance.values import ClockOrigin

if TYPE_CHECKING:
    from appliance.sources import SourceRequest
    from appliance.sources.encoded.decoded import Decoded
    from appliance.sources.encoded.encoded_video import EncodedVideo
    from appliance.values import Frame

UNKNOWN_REPEATS_SECONDS = 30.0
"""Where nothing moves, cameras repeat a picture until the next key frame. Until two of these have
come, nobody knows how far they are apart; 15 s is long."""
_LEAST_REPEATS_SECONDS = 5.0
"""Where every picture is a key frame; as for cameras whose pictures are never alike."""
_DAMAGED_SECONDS = 60.0
"""So long without a whole picture: a camera that sends no key frames gives one when asked anew."""
_QUEUE = "2"
"""Packets that may overtake each other over TCP: none can, but FFmpeg tells of a gap in their
numbers only where it has a queue (libavformat/rtpdec.c: queue_size > 1)."""
_PROTOCOLS = "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,crypto"
_CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
"""Of Debian; Python may have been built to look elsewhere."""
_SINGLE = ("image2", "_pipe")
"""Names, or their ends, of FFmpeg's formats for a single picture."""


SCHEMES = ("rtsp", "rtsps", "http", "https")
TAKES_ADDRESSES = True


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a network camera."""

    open_timeout_seconds: Annotated[
        float, msgspec.Meta(gt=0, le=10, description="Give up connecting after this.")
    ] = 5.0
    read_timeout_seconds: Annotated[
        float, msgspec.Meta(gt=0, le=10, description="No frame for this long means lost.")
    ] = 5.0
    transport: Annotated[
        Literal["auto", "tcp", "udp"],
        msgspec.Meta(description="Of RTSP. `auto` takes UDP where the camera refuses TCP."),
    ] = "auto"
    tls_verify: Annotated[
        bool, msgspec.Meta(description="Refuse a camera whose certificate is not trusted.")
    ] = True
    tls_ca_file: Annotated[
        str, msgspec.Meta(description="Certificates to trust (PEM). Empty: the system's.")
    ] = ""


class StreamSource:
    """A network camera by RTSP or HTTP (MJPEG, HLS), through PyAV with deadlines."""

    live = True

    def __init__(self, request: SourceRequest) -> None:
        self._url = request.target
        self._options: Options = request.options
        self._clock = request.clock
        self._reduction = request.reduction
        self._video: EncodedVideo | None = None
        self._seq = 0
        self._damaged_ns: int | None = None
        # Opening has two steps; with TCP refused, it begins anew.
        self.open_seconds = 4 * request.options.open_timeout_seconds + 1

    @property
    def name(self) -> str:
        """Return the address without user and password, for messages."""
        return without_secrets(self._url)

    @property
    def repeats_seconds(self) -> float:
        """Return for how long the same picture is sound: two key-frame intervals."""
        apart = self._video.key_frame_seconds if self._video else None
        return max(_LEAST_REPEATS_SECONDS, 2 * apart) if apart else UNKNOWN_REPEATS_SECONDS

    def open(self) -> None:
        """Connect.

        Raises:
            SourceUnavailableError: refused, unknown, or no video within the time-out.
        """
        self._damaged_ns = None
        began_ns = self._clock.monotonic_ns()
        try:
            video = self._connect()
        except NoVideoError as error:
            raise SourceUnavailableError(f"stream {self.name}: {error}", hint=error.hint) from None
        except NotOpenedError as error:
            took_ns = self._clock.monotonic_ns() - began_ns
            raise SourceUnavailableError(
                f"stream {self.name}: cannot be opened",
                hint=self._why_not(error, took_ns / NS_PER_SECOND),
            ) from None
        if video.format.endswith(_SINGLE):
            video.close()
            raise SourceUnavailableError(
                f"stream {self.name}: gives one picture and ends",
                hint="cameras have another address for MJPEG or RTSP: use that",
            )
        self._video = video
        try:
            video.catch_up()
        except ReadError as error:
            self.close()
            raise SourceUnavailableError(f"stream {self.name}: {error}") from None

    def _connect(self) -> EncodedVideo:
        """Open the address, by RTSP with one transport after the other."""
        wanted = self._options.transport
        try:
            return self._opened("tcp" if wanted == "auto" else wanted)
        except NotOpenedError as failure:
            refused = failure.error.errno == errno.EPROTONOSUPPORT
            if wanted != "auto" or not refused:
                raise
            return self._opened("udp")

    def _opened(self, transport: str) -> EncodedVideo:
        from appliance.sources.encoded.encoded_video import EncodedVideo  # noqa: PLC0415 - loads FFmpeg

        scheme = self._url.partition(":")[0].lower()
        # Of every address: http may lead to https. What a protocol does not know, it ignores.
        options = {"protocol_whitelist": _PROTOCOLS, **self._trust()}
        if scheme in {"rtsp", "rtsps"}:
            options |= {"rtsp_transport": transport, "allowed_media_types": "video"}
            if transport == "tcp":
                options["reorder_queue_size"] = _QUEUE
        return EncodedVideo(
            self._url,
            self._clock,
            options=options,
            reduction=self._reduction,
            timeouts=(self._options.open_timeout_seconds, self._options.read_timeout_seconds),
        )

    def _trust(self) -> dict[str, str]:
        """Return whom to trust: PyAV's FFmpeg trusts everybody unless told, and knows no file."""
        if not self._options.tls_verify:
            return {"tls_verify": "0"}
        ours = self._options.tls_ca_file or ssl.get_default_verify_paths().cafile or _CA_FILE
        return {"tls_verify": "1", "ca_file": ours}

    def _why_not(self, failure: NotOpenedError, took_seconds: float) -> str:
        from appliance.sources.encoded.refusal import why_not_opened  # noqa: PLC0415 - loads FFmpeg

        endpoint = endpoint_of(self._url)
        if endpoint is None:
            return "check the address"
        limit_seconds = self._options.open_timeout_seconds
        return why_not_opened(
            failure, endpoint, took_seconds=took_seconds, limit_seconds=limit_seconds
        )

    def read(self) -> Frame | None:
        """Return the next frame.

        Raises:
            FrameError: it is damaged, or predicted from one that is.
            SourceLostError: the stream ended, was silent for the time-out, or has been damaged
                for so long that it has to be opened anew.
        """
        if self._video is None:
            raise SourceLostError(f"stream {self.name}: is closed")
        decoded = self._next(self._video)
        seq, self._seq = self._seq, self._seq + 1
        if decoded.picture is None:
            self._note_damage(decoded)
            raise FrameError(f"frame {seq} of stream {self.name}: {decoded.fault}")
        self._damaged_ns = None
        return decoded.picture.frame(decoded.arrived_ns, seq, ClockOrigin.ARRIVAL)

    def _next(self, video: EncodedVideo) -> Decoded:
        """Read on; whatever took the time-out is a loss, because the decoder may hold old ones."""
        began_ns = self._clock.monotonic_ns()
        why = "ended"
        decoded = None
        try:
            decoded = video.read()
        except ReadError as error:
            why = f"broke off: {error}"
        silent_seconds = (self._clock.monotonic_ns() - began_ns) / NS_PER_SECOND
        if silent_seconds >= self._options.read_timeout_seconds:
            raise SourceLostError(f"stream {self.name}: silent for {silent_seconds:.1f} s")
        if decoded is None:
            raise SourceLostError(f"stream {self.name}: {why}")
        return decoded

    def _note_damage(self, decoded: Decoded) -> None:
        """Note a damaged frame; too many of them without a whole one, and the stream is lost."""
        if self._damaged_ns is None:
            self._damaged_ns = decoded.arrived_ns
        if decoded.arrived_ns - self._damaged_ns >= _DAMAGED_SECONDS * NS_PER_SECOND:
            raise SourceLostError(
                f"stream {self.name}: no whole picture for {_DAMAGED_SECONDS:g} s: {decoded.fault}"
            )

    def close(self) -> None:
        video, self._video = self._video, None
        if video is not None:
            video.close()


def create(request: SourceRequest) -> StreamSource:
    """Return a source that reads a network stream."""
    return StreamSource(request)
