"""One POST of one event: what is sent, and what the answer means. No retries here."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from appliance import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_ANSWER_BYTES = 65_536
"""Of an answer that is read, so that the connection can serve again; more ends it."""
_LATER = frozenset({408, 425, 429})
"""Codes of refusals that are none: the same request may be taken later (RFC 9110, 6585, 8470)."""
_NO_ANSWER = "no answer"
LONGEST_WAIT_SECONDS = 300.0
"""Of what a receiver asks us to wait (Retry-After), so much is heeded."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a POST.

    Attributes:
        taken: the receiver has it.
        again: it may take it later; else it never will.
        words: what it said, for people.
        wait_seconds: it asked to be left alone for so long.
    """

    taken: bool
    again: bool = False
    words: str = ""
    wait_seconds: float = 0.0


def headers_of(body: bytes, delivery: str, event: str, secret: bytes) -> dict[str, str]:
    """Return what is sent with a body.

    Args:
        body: the event's JSON.
        delivery: the same for every try of the same event message.
        event: new, update or end.
        secret: the key; empty for no signature.
    """
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"appliance/{__version__}",
        "X-Appliance-Delivery": delivery,
        "X-Appliance-Event": event,
    }
    if secret:
        digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
        headers["X-Appliance-Signature-256"] = f"sha256={digest}"
    return headers


class Poster:
    """Keeps one connection to a receiver. Not thread-safe.

    Args:
        url: of the receiver.
        timeout_seconds: for connecting, and for each wait for bytes.
        tls: of https; made once.
    """

    def __init__(self, url: str, timeout_seconds: float, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        is_tls = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or (443 if is_tls else 80)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout = timeout_seconds
        self._tls = (tls or ssl.create_default_context()) if is_tls else None
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body once; never raises for what happens outside."""
        was_open = self._connection is not None
        answer = self._try(body, headers)
        if was_open and answer.words.startswith(_NO_ANSWER):
            answer = self._try(body, headers)  # it had closed an idle connection, as it may
        return answer

    def abort(self) -> None:
        """Have a POST that waits for its answer fail; from any thread."""
        connection = self._connection
        sock = connection.sock if connection is not None else None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let the connection go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _try(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            return self._post(body, headers)
        except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: bad names
            self.close()
            words = str(error) or type(error).__name__
            return Answer(taken=False, again=True, words=f"{_NO_ANSWER}: {words}")

    def _post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        connection = self._connection or self._open()
        self._connection = connection
        connection.request("POST", self._target, body, dict(headers))
        response = connection.getresponse()
        if len(response.read(MOST_ANSWER_BYTES)) == MOST_ANSWER_BYTES or response.will_close:
            self.close()
        code, words = response.status, f"{response.status} {response.reason}".strip()
        if 200 <= code < 300:
            return Answer(taken=True)
        if code >= 500 or code in _LATER:
            wait = _seconds(response.getheader("Retry-After", ""))
            return Answer(taken=False, again=True, words=words, wait_seconds=wait)
        return Answer(taken=False, words=words)

    def _open(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout, context=self._tls
        )


def _seconds(text: str) -> float:
    """Return what Retry-After asks in seconds; a date is not heeded, for clocks differ."""
    return min(float(text), LONGEST_WAIT_SECONDS) if text.isdecimal() else 0.0
