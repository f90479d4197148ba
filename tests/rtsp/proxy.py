"""The way between a network camera and us: loses, alters and holds packets, and keeps account.

A client asks the proxy instead of the camera. Over TCP the RTP packets lie in the connection;
for UDP the ports in the client's SETUP and its answer become the proxy's own.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO, Literal, Self

from tests.rtsp.packets import RTP_HEADER, Fate, Packet, Picture, parse, pictures

if TYPE_CHECKING:
    from collections.abc import Callable

Damage = Literal["lose", "zero", "randomise"]
_PORTS = re.compile(rb"(client_port|server_port)=(\d+)-(\d+)")
_LENGTH = re.compile(rb"(?i)content-length:\s*(\d+)")
_DOLLAR = b"$"
_UNTOUCHED = RTP_HEADER + 4
"""Bytes at a packet's begin that are never altered: it stays a packet of its kind."""


@dataclass
class _Relay:
    """A pair of UDP ports towards the camera, and one towards the client."""

    near: tuple[socket.socket, socket.socket]
    far: tuple[socket.socket, socket.socket]
    client: tuple[int, int] = (0, 0)
    camera: tuple[int, int] = (0, 0)


@dataclass
class _Plan:
    """What is done to the packets that come now."""

    damage: Damage = "lose"
    share: float = 0.0
    always: Callable[[Packet], bool] = field(default=lambda _: False)


class Proxy:
    """Stands before the camera on ``port``; a context manager.

    Args:
        target: the camera's port.
        codec: what it sends: its packets are parsed.
        fps: pictures a second of it.
        seed: of what is lost.
        rename: replaces a word of the camera's descriptions by one of the same length.
    """

    def __init__(
        self,
        target: int,
        codec: str,
        fps: int,
        *,
        seed: int = 1,
        rename: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        assert len(rename[0]) == len(rename[1])
        self._target, self._codec, self._fps, self._rename = target, codec, fps, rename
        self._random = random.Random(seed)  # noqa: S311 - a test's, to be repeated
        self._plan = _Plan()
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self._packets: list[Packet] = []
        self._over_udp = False
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = self._kept(socket.create_server(("127.0.0.1", 0)))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._flows.set()
        with self._lock:
            open_ones = list(self._sockets)
        for one in open_ones:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for one in self._sockets:
            one.close()

    # What a test asks for.

    def lose(self, share: float, damage: Damage = "lose") -> None:
        """Lose (or zero, or randomise a part of) this share of the packets from now on."""
        with self._lock:
            self._plan = _Plan(damage, share)

    def lose_all(self, which: Callable[[Packet], bool]) -> None:
        """Lose every packet of which this is true, from now on."""
        with self._lock:
            self._plan = _Plan(always=which)

    def stall(self) -> None:
        """Hold everything that comes from the camera until ``go_on``; nothing is lost."""
        self._flows.clear()

    def go_on(self) -> None:
        self._flows.set()

    def packets(self) -> list[Packet]:
        """Return the picture's packets so far, in the camera's order, with what became of them."""
        with self._lock:
            return list(self._packets)

    def pictures(self) -> list[Picture]:
        """Return the pictures so far; of the last one, packets may be on their way."""
        return pictures(self.packets(), self._fps)[:-1]

    def over_udp(self) -> bool:
        """Return whether any packet of the picture came over UDP."""
        with self._lock:
            return self._over_udp

    # The connection.

    def _kept(self, one: socket.socket) -> socket.socket:
        with self._lock:
            self._sockets.append(one)
        return one

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._kept(self._listener.accept()[0])
                far = self._kept(socket.create_connection(("127.0.0.1", self._target)))
                for one in (near, far):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                relays: list[_Relay] = []
                self._start(self._pass_on, near, far, self._ask, relays)
                self._start(self._pass_on, far, near, self._answer, relays)

    def _pass_on(
        self,
        source: socket.socket,
        target: socket.socket,
        rewrite: Callable[[bytes, list[_Relay]], bytes],
        relays: list[_Relay],
    ) -> None:
        """Carry messages, and the packets between them, from one side to the other."""
        from_camera = rewrite == self._answer
        with contextlib.suppress(OSError, ValueError), source.makefile("rb") as stream:
            while first := stream.read(1):
                if first == _DOLLAR:
                    head = first + _exactly(stream, 3)
                    body = _exactly(stream, int.from_bytes(head[2:], "big"))
                    passed = self._treat(body) if from_camera and head[1] == 0 else body
                    if from_camera:
                        self._flows.wait()
                    if passed is not None:
                        target.sendall(head + passed)
                    continue
                message = first
                while not message.endswith(b"\r\n\r\n"):
                    line = stream.readline()
                    if not line:
                        return
                    message += line
                length = _LENGTH.search(message)
                message += _exactly(stream, int(length[1])) if length else b""
                if from_camera:
                    self._flows.wait()
                target.sendall(rewrite(message, relays))
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    # UDP.

    def _ask(self, message: bytes, relays: list[_Relay]) -> bytes:
        ports = _PORTS.search(message)
        if not message.startswith(b"SETUP") or ports is None:
            return message
        relay = _Relay(self._pair(), self._pair(), client=(int(ports[2]), int(ports[3])))
        relays.append(relay)
        return _with_ports(message, b"client_port", relay.far)

    def _answer(self, message: bytes, relays: list[_Relay]) -> bytes:
        if self._rename[0]:
            message = message.replace(*self._rename)
        ports = {match[1]: (int(match[2]), int(match[3])) for match in _PORTS.finditer(message)}
        if b"server_port" not in ports:
            return message
        relay = relays[-1]
        relay.camera = ports[b"server_port"]
        for channel in (0, 1):
            near, far = relay.near[channel], relay.far[channel]
            client = ("127.0.0.1", relay.client[channel])
            camera = ("127.0.0.1", relay.camera[channel])
            is_picture = channel == 0 and relay is relays[0]
            self._start(self._relay, far, near, client, is_picture, True)
            self._start(self._relay, near, far, camera, False, False)
        message = _PORTS.sub(b"\\1=%d-%d" % relay.client, message, count=1)
        return _with_ports(message, b"server_port", relay.near)

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        """Return two UDP sockets with an even port and the next one."""
        while True:
            one = socket.socket(type=socket.SOCK_DGRAM)
            two = socket.socket(type=socket.SOCK_DGRAM)
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                if port % 2 == 0:
                    two.bind(("127.0.0.1", port + 1))
                    for each in (one, two):
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
                        self._kept(each)
                    return one, two
            one.close()
            two.close()

    def _relay(
        self,
        source: socket.socket,
        out: socket.socket,
        target: tuple[str, int],
        is_picture: bool,
        from_camera: bool,
    ) -> None:
        # A socket without a peer is woken by ``shutdown`` too, and then gives an empty packet.
        with contextlib.suppress(OSError):
            while packet := source.recv(1 << 16):
                with self._lock:
                    self._over_udp |= is_picture
                passed = self._treat(packet) if is_picture else packet
                if from_camera:
                    self._flows.wait()
                if passed is not None:
                    with contextlib.suppress(ConnectionRefusedError):
                        out.sendto(passed, target)

    # The packets.

    def _treat(self, packet: bytes) -> bytes | None:
        """Return what is passed on of a packet of the picture; None: nothing."""
        with self._lock:
            parsed = parse(packet, self._codec)
            plan = self._plan
            fate: Fate = "sent"
            passed: bytes | None = packet
            if plan.always(parsed) or self._random.random() < plan.share:
                passed = self._damaged(packet, plan.damage)
                fate = "lost" if passed is None else "sent" if passed == packet else "altered"
            self._packets.append(replace(parsed, fate=fate))
            return passed

    def _damaged(self, packet: bytes, damage: Damage) -> bytes | None:
        if damage == "lose":
            return None
        size = min(24, len(packet) - _UNTOUCHED)
        if size <= 0:
            return packet
        begin = self._random.randrange(_UNTOUCHED, len(packet) - size + 1)
        other = bytes(size) if damage == "zero" else self._random.randbytes(size)
        return packet[:begin] + other + packet[begin + size :]


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise ValueError("the connection ended within a message")
    return data


def _with_ports(message: bytes, name: bytes, pair: tuple[socket.socket, socket.socket]) -> bytes:
    ports = tuple(one.getsockname()[1] for one in pair)
    return re.sub(name + rb"=\d+-\d+", name + b"=%d-%d" % ports, message, count=1)
