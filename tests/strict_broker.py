"""An MQTT 5 broker that keeps to the letter of the limits which it announces (OASIS MQTT 5.0).

mosquitto 2.0 announces a Receive Maximum and does not enforce it; brokers that do (EMQX, HiveMQ)
cannot be installed here. 3.3.4: who exceeds it gets DISCONNECT 0x93. 3.1.2.11.4 the other way
round: who exceeds the Maximum Packet Size gets 0x95. Brokers also end connections without a word.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONNECT, _PUBLISH, _SUBSCRIBE, _PINGREQ, _DISCONNECT = 1, 3, 8, 12, 14
_PACKET_TOO_LARGE, _RECEIVE_MAXIMUM_EXCEEDED = 0x95, 0x93
_UNANSWERED = 3
"""PUBACKs are held back until so many wait, or nothing more comes: a slow broker."""


@dataclass
class StrictBroker:
    """Serves one connection after the other.

    Attributes:
        receive_maximum, packet_bytes: what is announced, and enforced.
        announces: whether CONNACK says so; else the client has to find out.
        poison: a payload with this in it ends the connection without a word.
        connack: the reason code; other than 0 refuses.
    """

    receive_maximum: int = 10
    packet_bytes: int = 1 << 20
    announces: bool = True
    poison: bytes = b"\0none\0"
    connack: dict[str, int] = field(default_factory=dict)
    taken: list[tuple[str, bytes, bool]] = field(default_factory=list)
    connections: int = 0
    endings: list[int] = field(default_factory=list)
    will_retained: bool = False

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def of(self, topic: str) -> list[bytes]:
        return [payload for where, payload, _ in list(self.taken) if where.endswith(topic)]

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError, EOFError):
                client.settimeout(0.05)
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        waiting: list[int] = []
        for kind, flags, body, size in self._packets(client, waiting):
            if kind == _PUBLISH:
                goes_on = self._publish(client, self._take(flags, body, size, waiting))
                if goes_on and len(waiting) >= _UNANSWERED:
                    self._answer(client, waiting)
            else:
                goes_on = self._other(client, kind, body)
            if not goes_on:
                return

    def _publish(self, client: socket.socket, ending: int | None) -> bool:
        if ending is not None:
            self.endings.append(ending)
            if ending:
                client.sendall(bytes([0xE0, 2, ending, 0]))
        return ending is None

    def _other(self, client: socket.socket, kind: int, body: bytes) -> bool:
        """Answer what is no message; return whether the connection goes on."""
        if kind == _CONNECT:
            self.will_retained = bool(body[2 + 4 + 1] & 0x20)
            if self.connack.get("retain") == 0 and self.will_retained:
                client.sendall(bytes([0x20, 3, 0, 0x9A, 0]))
                return False
            self.connections += 1
            client.sendall(self._greeting())
        elif kind == _SUBSCRIBE:
            count = body.count(b"/cmd/") + body.count(b"/info")
            client.sendall(bytes([0x90, 3 + count, *body[:2], 0, *(0,) * count]))
        elif kind == _PINGREQ:
            client.sendall(b"\xd0\0")
        return kind != _DISCONNECT

    def _take(self, flags: int, body: bytes, size: int, waiting: list[int]) -> int | None:
        """Keep a message; return how the connection ends, or None."""
        length = int.from_bytes(body[:2], "big")
        topic, rest = body[2 : 2 + length].decode(), body[2 + length :]
        if flags & 0x06:
            waiting.append(int.from_bytes(rest[:2], "big"))
            rest = rest[2:]
        payload = rest[1 + rest[0] :]
        if size > self.packet_bytes:
            return _PACKET_TOO_LARGE
        if len(waiting) > self.receive_maximum:
            return _RECEIVE_MAXIMUM_EXCEEDED
        if self.poison in payload:
            return 0
        self.taken.append((topic, payload, bool(flags & 1)))
        return None

    def _greeting(self) -> bytes:
        said = b""
        if self.announces:
            said += b"\x21" + self.receive_maximum.to_bytes(2, "big")
            said += b"\x27" + self.packet_bytes.to_bytes(4, "big")
        if self.connack.get("retain") == 0:
            said += b"\x25\0"
        return bytes([0x20, 3 + len(said), 0, 0, len(said)]) + said

    def _packets(
        self, client: socket.socket, waiting: list[int]
    ) -> Iterator[tuple[int, int, bytes, int]]:
        buffer = b""
        while True:
            packet = _split(buffer)
            if packet is None:
                try:
                    more = client.recv(65536)
                except TimeoutError:
                    self._answer(client, waiting)
                    continue
                if not more:
                    raise EOFError
                buffer += more
                continue
            head, body, size = packet
            buffer = buffer[size:]
            yield head >> 4, head & 0x0F, body, size

    @staticmethod
    def _answer(client: socket.socket, waiting: list[int]) -> None:
        while waiting:
            client.sendall(bytes([0x40, 2]) + waiting.pop(0).to_bytes(2, "big"))


def _split(buffer: bytes) -> tuple[int, bytes, int] | None:
    """Return first byte, body and size of the first packet; None until all of it is here."""
    length = shift = 0
    for at, byte in enumerate(buffer[1:5], 1):
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            size = at + 1 + length
            return (buffer[0], buffer[at + 1 : size], size) if len(buffer) >= size else None
    return None
