"""What several tests need: a subscriber, lanes with scripted parts, waiting on conditions."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from appliance.clock import Clock, SystemClock
from appliance.config import CameraSettings
from appliance.selection.environment import Environment
from appliance.sources import Source, create_source
from appliance.values import Detections, Floats, Ints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.errors import ModelError


ROOT = Path(__file__).resolve().parent.parent
FIRST_PORT, PORTS_EACH = 20_000, 1_000
_given: set[int] = set()


def side_python(folder: str) -> str:
    """Return the Python of an environment that `make side` or `make models` made, or skip."""
    python = ROOT / folder / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{folder} is not here: make side, make models")
    return str(python)


def skip_if_missing(error: ModelError) -> NoReturn:
    """Skip where a model is not here; one that is here and refused fails the test."""
    if "is not here" not in error.message:
        raise error
    pytest.skip(str(error))


def free_port() -> int:
    """Return a TCP port of the loopback that nobody else takes.

    Each process of a parallel run has ports of its own, below those that the kernel gives to
    outgoing connections.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = FIRST_PORT + worker * PORTS_EACH + secrets.randbelow(PORTS_EACH)
        with socket.socket() as probe:
            if port not in _given and probe.connect_ex(("127.0.0.1", port)):
                _given.add(port)
                return port


def wait_for(condition: Callable[[], object], seconds: float = 30.0, what: str = "") -> None:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds} s: {what or condition}"
        pause.wait(0.01)


def open_descriptors() -> int:
    """Return how many file descriptors this process has, give or take the one that looks."""
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_until_blocked(thread: threading.Thread) -> None:
    """Wait until a thread stands in a wait of ``threading``: a condition's, an event's."""

    def blocked() -> bool:
        frame = sys._current_frames().get(thread.ident or 0)
        code = frame.f_code if frame else None
        return code is not None and (code.co_filename, code.co_name) == (threading.__file__, "wait")

    wait_for(blocked, what="the thread waits")


class Subscriber:
    """An independent client that keeps everything it receives."""

    def __init__(self, port: int, pattern: str = "#") -> None:
        self.messages: list[MQTTMessage] = []
        self.arrived: list[float] = []
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe(pattern, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        self.arrived.append(time.monotonic())
        self.messages.append(message)

    def of(self, suffix: str) -> list[Any]:
        found = [m for m in list(self.messages) if m.topic.endswith("/" + suffix)]
        return [_decode(m.payload) for m in found]

    def raw(self, topic: str) -> list[bytes]:
        return [bytes(m.payload) for m in list(self.messages) if m.topic == topic]

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _decode(payload: bytes | bytearray) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode()


def environment(
    tmp_path: Path, clock: Clock | None = None, root: Path | None = None
) -> Environment:
    return Environment(
        variables={"RUNTIME_DIRECTORY": str(tmp_path)},
        root=root or Path("/"),
        clock=clock or SystemClock(),
    )


def source(text: str, clock: Clock | None = None, **settings: Any) -> Source:
    camera = CameraSettings(source=text, **settings)
    return create_source(camera, input_size=(300, 300), clock=clock or SystemClock())


def seen(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """Detections from rows of xmin, ymin, xmax, ymax, score, label id."""
    boxes: Floats = np.asarray([row[:4] for row in rows], np.float32).reshape(-1, 4)
    scores: Floats = np.asarray([row[4] for row in rows], np.float32)
    label_ids: Ints = np.asarray([row[5] for row in rows], np.int32)
    return Detections.of(boxes, scores, label_ids)


@dataclass(frozen=True)
class SmallDisk:
    """A file system of half a megabyte that can be filled to the last byte."""

    folder: Path

    def fill(self) -> None:
        with (self.folder / "fill").open("ab", buffering=0) as file:
            for size in (1 << 16, 4096, 512, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass
        os.sync()  # what ext4 gives out late is given out now

    def free(self) -> None:
        (self.folder / "fill").unlink()


@contextlib.contextmanager
def small_disk(kind: str, tmp_path: Path) -> Iterator[SmallDisk]:
    """Mount a new file system; skip where that is not permitted."""
    folder = tmp_path / f"small-{kind}"
    folder.mkdir()
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", "size=512k,mode=0755", "tmpfs", str(folder)]
    else:
        image = tmp_path / f"{kind}.img"
        image.write_bytes(bytes(4 << 20))
        if shutil.which(f"mkfs.{kind}") is None:
            pytest.skip(f"mkfs.{kind} is not here")
        subprocess.run([f"mkfs.{kind}", "-q", "-F", str(image)], check=True)
        command = ["mount", "-o", "loop", str(image), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no {kind} can be mounted here: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Gate:
    """A way to a port that can be shut: whoever comes through it finds nobody there, then."""

    def __init__(self, target: int) -> None:
        self._target = target
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def open(self) -> None:
        server = socket.create_server(("127.0.0.1", self.port))
        self._sockets.append(server)
        self._start(self._serve, server)

    def shut(self) -> None:
        while self._sockets:
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            for thread in list(self._threads):
                thread.join(10)
                self._threads.remove(thread)
            if not self._threads:
                while self._sockets:
                    self._sockets.pop().close()

    def _start(self, function: Callable[..., None], *sockets: socket.socket) -> None:
        thread = threading.Thread(target=function, args=sockets, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                self._start(self._pass_on, near, far)
                self._start(self._pass_on, far, near)

    @staticmethod
    def _pass_on(near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(1 << 16):
                far.sendall(data)
        with contextlib.suppress(OSError):
            far.shutdown(socket.SHUT_RDWR)
