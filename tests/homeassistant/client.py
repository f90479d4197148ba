"""The test's side of Home Assistant: starts it, asks it what it sees, ends it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import time
from typing import TYPE_CHECKING, Any, Self, TypedDict, cast

import pytest

from tests.helpers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / ".homeassistant"
START_SECONDS = 60.0
"""Some three on an idle machine; the tests share theirs with emulated boards."""
ANSWER_SECONDS = 30.0
STOP_SECONDS = 30.0
LOG_LINES = 30


class State(TypedDict):
    """What Home Assistant says of an entity now; times as ISO 8601."""

    entity_id: str
    state: str
    attributes: dict[str, Any]
    last_changed: str
    last_reported: str
    last_updated: str


class RefusedError(Exception):
    """Home Assistant said no, or could not; its words."""


class HomeAssistant:
    """Runs while the ``with`` lasts; the test skips where it is not installed.

    Its MQTT integration is connected, and subscribed to all discovery topics, once the ``with``
    begins. The birth message follows when discovery was quiet for five seconds.

    Args:
        broker_port: on 127.0.0.1.
        folder: of its own; keeps the registries from one start to the next, and the log.
        prefix: of the discovery topics.

    Attributes:
        http_port: where it serves pictures of cameras and images, on 127.0.0.1.
    """

    http_port = 0

    def __init__(self, broker_port: int, folder: Path, prefix: str = "homeassistant") -> None:
        if not (FOLDER / "stamp").exists():
            pytest.skip("no Home Assistant: scripts/install_homeassistant.sh installs it")
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "core.log"
        self._words = [
            str(FOLDER / "bin" / "python"), "-P", str(ROOT / "tests" / "homeassistant" / "core.py"),
            f"--broker-port={broker_port}", f"--config={folder}", f"--discovery-prefix={prefix}",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._received = b""
        self._asked = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, again with the same registries, and wait until it listens for discovery."""
        assert self._process is None, "it runs already"
        self._received = b""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        try:
            first = self._line(START_SECONDS)
            assert first.get("ready") is True, first
        except BaseException:
            self.kill()
            raise
        self.http_port = first["http_port"]

    def stop(self) -> None:
        """End it as its user would: registries and last states are written, ``offline`` is said."""
        self._ask("stop", STOP_SECONDS)
        assert self._process is not None
        try:
            code = self._process.wait(STOP_SECONDS)
        finally:
            self.kill()
        assert code == 0, self._told(f"it ended with {code}")

    def kill(self) -> None:
        """End it as a power cut would: changes of the last seconds are not in the registries."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.wait(STOP_SECONDS)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def states(self) -> dict[str, State]:
        return cast("dict[str, State]", self._ask("states"))

    def entities(self) -> list[dict[str, Any]]:
        """Return the entity registry: also what is disabled, or was not discovered again."""
        return cast("list[dict[str, Any]]", self._ask("entities"))

    def devices(self) -> list[dict[str, Any]]:
        return cast("list[dict[str, Any]]", self._ask("devices"))

    def enable(self, entity_id: str) -> None:
        """Enable an entity; the integration is loaded anew, as it is after a user did so."""
        self._ask("enable", START_SECONDS, entity_id=entity_id)

    def call(self, domain: str, service: str, **data: Any) -> None:
        """Call a service and wait until it is done.

        Raises:
            RefusedError: the service refuses, as it does for values out of range.
        """
        self._ask("call", domain=domain, service=service, data=data)

    def warnings(self) -> list[str]:
        """Return what it logged since its start as a warning or worse, with the logger's name."""
        return cast("list[str]", self._ask("warnings"))

    def _ask(self, what: str, seconds: float = ANSWER_SECONDS, **more: Any) -> Any:
        assert self._process is not None and self._process.stdin is not None, "it does not run"
        self._asked += 1
        request = json.dumps({"id": self._asked, "do": what, **more}).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):  # the log says why, and is shown below
            while request:
                request = request[os.write(self._process.stdin.fileno(), request) :]
        answer = self._line(seconds)
        assert answer["id"] == self._asked, f"an answer to another question: {answer}"
        if "error" in answer:
            raise RefusedError(answer["error"])
        return answer["result"]

    def _line(self, seconds: float) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        deadline = time.monotonic() + seconds
        pipe = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while b"\n" not in self._received:
                left = deadline - time.monotonic()
                assert left > 0 and selector.select(left), self._told(f"no answer in {seconds} s")
                data = os.read(pipe, 1 << 16)
                assert data, self._told("it ended by itself")
                self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return cast("dict[str, Any]", json.loads(line))

    def _told(self, fault: str) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join([f"Home Assistant: {fault}. Its log ends with:", *lines])
