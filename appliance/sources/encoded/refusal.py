"""Why FFmpeg could not open the video of a network camera, in words that say what to do."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

import av.error

if TYPE_CHECKING:
    from appliance.config.addresses import Endpoint
    from appliance.sources.encoded.decoded import NotOpenedError

_NO_HOST = re.compile(r"failed to resolve hostname", re.IGNORECASE)
_UNTRUSTED = re.compile(
    r"certificate|owner does not match|verification failed|self.signed", re.IGNORECASE
)
"""Words of libavformat/tcp.c and of its TLS back ends."""
_NEARLY = 0.95
"""Of the time-out: FFmpeg looks at the clock ten times a second."""


def why_not_opened(
    failure: NotOpenedError, endpoint: Endpoint, *, took_seconds: float, limit_seconds: float
) -> str:
    """Return in words what stands in the way.

    Args:
        failure: FFmpeg's error and its words.
        endpoint: where the address leads.
        took_seconds: how long it took to fail.
        limit_seconds: how long it could have taken.
    """
    error = failure.error
    place = f"{endpoint.host}:{endpoint.port}"
    known = _known(error, "\n".join(failure.said), endpoint, place)
    if known:
        return known
    if error.errno == errno.EPROTONOSUPPORT:
        return 'it refuses this transport: set transport = "auto"'
    if took_seconds >= _NEARLY * limit_seconds:
        return f"no video within {limit_seconds:g} s: check the address, and that the camera is on"
    if isinstance(error, OSError) and error.errno not in {None, errno.EIO}:
        return f"{place} cannot be reached: {error.strerror}"
    return "it answers, but not with video that can be decoded: check port, scheme and path"


def _known(error: av.error.FFmpegError, said: str, endpoint: Endpoint, place: str) -> str:
    """Return what the kind of error, or the words, tell; empty if nothing."""
    given = "check those given" if endpoint.user else "none are given"
    kinds = {
        av.error.HTTPUnauthorizedError: f"it asks for user and password: {given}",
        av.error.HTTPForbiddenError: f"it asks for user and password: {given}",
        av.error.HTTPNotFoundError: "it has nothing at this path: check the address",
        av.error.HTTPClientError: f"it refuses: {error.strerror}",
        av.error.HTTPError: f"it refuses: {error.strerror}",
        ConnectionRefusedError: f"nothing listens at {place}: check the port, and that the camera "
        "is on",
    }
    words = {
        _NO_HOST: f"there is no host {endpoint.host}: check the address",
        _UNTRUSTED: "its certificate is not trusted: name the one that signed it in tls_ca_file, "
        "or set tls_verify = false",
    }
    told = [text for kind, text in kinds.items() if isinstance(error, kind)]
    told += [text for pattern, text in words.items() if pattern.search(said)]
    return told[0] if told else ""
