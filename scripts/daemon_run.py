"""A real daemon against a real broker, watched from outside: for measurements that take a while."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from appliance.cli.demo_broker import start_broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Watched:
    """The daemon's process and what it published; messages by the last part of their topic.

    ``metrics`` holds the newest of each camera, ``sizes`` the bytes of payload of each topic.
    """

    def __init__(self, port: int) -> None:
        self.process: subprocess.Popen[bytes]
        self.began = self.end_seconds = 0.0
        self.first: dict[str, float] = {}
        self.last: dict[str, Any] = {}
        self.metrics: dict[str, dict[str, Any]] = {}
        self.sizes: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._note
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("appliance/#")
        self._client.loop_start()

    def _note(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        kind = message.topic.rpartition("/")[2]
        with self._changed:
            self.first.setdefault(kind, time.monotonic())
            self.sizes[message.topic] += len(message.payload)
            if message.payload[:1] == b"{":
                self.last[kind] = json.loads(message.payload)
                if kind == "metrics":
                    self.metrics[self.last[kind]["camera"]] = self.last[kind]
            self._changed.notify_all()

    def wait_for(self, kind: str, seconds: float) -> float:
        """Return how long after the start the first message of a kind came."""
        with self._changed:
            if not self._changed.wait_for(lambda: kind in self.first, seconds):
                sys.exit(f"no {kind} within {seconds:g} s")
        return self.first[kind] - self.began

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for what messages say."""
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                sys.exit(f"not within {seconds:g} s")

    def memory_mib(self, key: str = "VmRSS") -> float:
        """Return a figure of /proc/PID/status."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("utf-8")
        found = re.search(rf"{key}:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else 0.0

    def close(self) -> None:
        """Stop listening."""
        self._client.loop_stop()


@contextmanager
def daemon(*settings: str, state: Path | None = None) -> Iterator[Watched]:
    """Run ``appliance run`` with these settings until the block ends.

    Args:
        settings: KEY=VALUE.
        state: folder of what it keeps from one start to the next; None for an empty one.
    """
    broker = start_broker("mosquitto")
    watched = Watched(broker.port)
    with tempfile.TemporaryDirectory() as folder:
        words = [
            f"mqtt.port={broker.port}",
            "mqtt.host=127.0.0.1",
            "sinks.prometheus.port=0",
            *settings,
        ]
        # Beside a service that runs here, and beside others of this kind: a device has one lock.
        words.append(f"device=measured-{os.getpid()}-{broker.port}")
        command = [sys.executable, "-m", "appliance", "run"]
        kept = state or Path(folder)
        watched.began = time.monotonic()
        watched.process = subprocess.Popen(
            [*command, *(part for word in words for part in ("--set", word))],
            env={**os.environ, "RUNTIME_DIRECTORY": folder, "STATE_DIRECTORY": str(kept)},
            stderr=subprocess.DEVNULL,
        )
        try:
            yield watched
        finally:
            asked = time.monotonic()
            watched.process.terminate()
            watched.process.wait(20)
            watched.end_seconds = time.monotonic() - asked
            watched.close()
            broker.stop()
