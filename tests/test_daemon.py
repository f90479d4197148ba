"""The daemon as systemd sees it: ready, watched, told of its state, reloaded, stopped in time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers import Subscriber, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.cli.demo_broker import DemoBroker

CONFIG = """\
device = "{device}"
[mqtt]
host = "127.0.0.1"
port = {port}
[metrics]
window_seconds = 1
[telemetry]
interval_seconds = 1
[sinks.prometheus]
port = 0  # several daemons run at once here
[[camera]]
name = "front"
source = "{source}"
width = 320
height = 240
fps = 20
{more}
"""
END_SECONDS = 20
"""Bounds the wait for the process's end; what it takes is a figure of `make bench`."""


@dataclass
class Systemd:
    """The service manager's end of the notify socket."""

    folder: Path
    said: list[str] = field(default_factory=list)
    pings: int = 0

    def __post_init__(self) -> None:
        self.path = self.folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                text = self._socket.recv(4096).decode()
            except OSError:
                return
            self.said += text.splitlines()
            if "WATCHDOG=1" in text:
                self.pings += 1

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@dataclass
class Unit:
    """A running daemon."""

    folder: Path
    port: int
    systemd: Systemd
    process: subprocess.Popen[bytes] | None = None
    log: Path = Path()
    device: str = f"unit-{os.getpid()}"  # one lock for a device, and others test here too
    runtime: Path | None = None

    def configure(self, source: str = "synthetic", more: str = "") -> Path:
        path = self.folder / "appliance.toml"
        path.write_text(CONFIG.format(device=self.device, port=self.port, source=source, more=more))
        return path

    def start(self, watchdog_seconds: float | None = None) -> subprocess.Popen[bytes]:
        variables = {
            **os.environ,
            "NOTIFY_SOCKET": str(self.systemd.path),
            "RUNTIME_DIRECTORY": str(self.runtime or self.folder / "run"),
        }
        if watchdog_seconds:
            variables["WATCHDOG_USEC"] = str(round(watchdog_seconds * 1e6))
        variables.pop(
            "APPLIANCE_DEVICE", None
        )  # the file names the device, and a reload may rename it
        words = ["run", "--config", str(self.folder / "appliance.toml")]
        self.log = Path(tempfile.mkstemp(".log", dir=self.folder)[1])
        with self.log.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "appliance", *words], env=variables, stderr=errors
            )
        return self.process

    def stop(self) -> tuple[int, str]:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Its exit code and what it wrote, once it has ended."""
        assert self.process is not None
        code, self.process = self.process.wait(timeout=END_SECONDS), None
        return code, self.log.read_text()

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.systemd.close()


@pytest.fixture
def unit(tmp_path: Path, broker: DemoBroker) -> Iterator[Unit]:
    one = Unit(tmp_path, broker.port, Systemd(tmp_path))
    yield one
    one.close()


def test_ready_status_watchdog_and_a_clean_end(unit: Unit, broker: DemoBroker) -> None:
    subscriber = Subscriber(broker.port)
    unit.configure()
    unit.start(watchdog_seconds=1.5)
    wait_for(lambda: "READY=1" in unit.systemd.said)
    wait_for(lambda: any("FPS" in line for line in unit.systemd.said))
    wait_for(lambda: unit.systemd.pings >= 3)
    wait_for(lambda: len(subscriber.of("front/detections")) > 20)
    code, errors = unit.stop()
    assert (code, "Traceback" in errors) == (0, False)
    wait_for(lambda: subscriber.of("status")[-1] == "offline")
    assert "STOPPING=1" in unit.systemd.said
    health = subscriber.of("health")
    assert health[-1]["state"] == "ok"
    assert subscriber.of("info")[0]["model"]["id"] == "ssdlite-mobilenet-v2-int8"
    late = Subscriber(broker.port)
    wait_for(lambda: late.of("status") == ["offline"])
    late.close()
    subscriber.close()


def test_a_reader_of_lines_that_stops_costs_neither_mqtt_nor_the_end(
    unit: Unit, broker: DemoBroker
) -> None:
    subscriber = Subscriber(broker.port)
    pipe = unit.folder / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # and never reads
    unit.configure(more=f'[sinks.jsonl]\npath = "{pipe}"')
    unit.start(watchdog_seconds=10)
    wait_for(
        lambda: any(
            "jsonl: hangs in a write" in reason
            for health in subscriber.of("health")
            for reason in health["reasons"]
        ),
        60,
    )
    wait_for(lambda: subscriber.of("alerts"))
    assert subscriber.of("alerts")[0]["problem"] == "sink_stalled"
    before = len(subscriber.of("front/detections"))
    wait_for(lambda: len(subscriber.of("front/detections")) > before + 40)
    seqs = [one["seq"] for one in subscriber.of("front/detections")]
    code, errors = unit.stop()
    assert (code, "Traceback" in errors) == (0, False)
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    wait_for(lambda: subscriber.of("status")[-1] == "offline")
    os.close(reader)
    subscriber.close()


def test_ready_without_camera_and_without_broker(unit: Unit, broker: DemoBroker) -> None:
    broker.stop()
    unit.configure("v4l2:/dev/video99")
    unit.start(watchdog_seconds=1.5)
    wait_for(lambda: "READY=1" in unit.systemd.said)
    wait_for(lambda: any("/dev/video99: is not there" in line for line in unit.systemd.said))
    wait_for(lambda: unit.systemd.pings >= 3, what="a declared wait feeds the watchdog")
    code, errors = unit.stop()
    assert (code, "Traceback" in errors) == (0, False)


def test_a_hanging_camera_ends_the_process_and_is_not_fed(unit: Unit) -> None:
    unit.configure(
        more='[camera.options]\nscript = [{at_frame = 20, kind = "stall", seconds = 600.0}]'
    )
    unit.start(watchdog_seconds=1.0)
    wait_for(lambda: unit.systemd.pings >= 2)
    code, errors = unit.ended()
    assert code == 75
    assert "capture front: hangs in a frame" in errors
    assert "Traceback" not in errors


def assert_nothing_happened(subscriber: Subscriber) -> None:
    """One start, and no number is missing."""
    messages = subscriber.of("front/detections")
    assert len({each["boot_id"] for each in messages}) == 1
    numbers = [each["seq"] for each in messages]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    frames = [each["frame"]["seq"] for each in messages]
    assert frames == sorted(set(frames))


def last_width_is(subscriber: Subscriber, width: int) -> bool:
    return bool(subscriber.of("front/detections")[-1]["frame"]["width"] == width)


def test_numbers_books_and_uptime_go_on_over_a_good_reload(unit: Unit, broker: DemoBroker) -> None:
    subscriber = Subscriber(broker.port)
    path = unit.configure(more='[[camera]]\nname = "away"\nsource = "v4l2:/dev/nowhere"')
    process = unit.start()
    wait_for(lambda: len(subscriber.of("front/metrics")) > 1)
    before = subscriber.of("front/metrics")[-1]
    good = path.read_text()
    for size in (400, 420):
        path.write_text(good.replace("width = 320", f"width = {size}"))
        process.send_signal(signal.SIGHUP)
        wait_for(partial(last_width_is, subscriber, size))
    seen = len(subscriber.of("front/metrics"))
    wait_for(lambda: len(subscriber.of("front/metrics")) > seen + 1)
    assert_nothing_happened(subscriber)
    after = subscriber.of("front/metrics")[-1]
    assert after["boot_id"] == before["boot_id"]
    assert after["seq"] > before["seq"]
    assert after["frames"]["captured"] > before["frames"]["captured"]
    told = [(each["kind"], each["camera"]) for each in subscriber.of("alerts")]
    assert told.count(("camera_lost", "away")) == 1
    uptimes = [each["uptime_seconds"] for each in subscriber.of("health")]
    assert uptimes == sorted(uptimes)
    assert unit.stop()[0] == 0
    subscriber.close()


def test_reload_takes_a_good_file_and_refuses_a_bad_one(unit: Unit, broker: DemoBroker) -> None:
    subscriber = Subscriber(broker.port)
    unit.configure()
    process = unit.start()
    wait_for(lambda: subscriber.of("front/detections"))
    path = unit.configure()
    good = path.read_text()
    path.write_text(good.replace("fps = 20", 'fpss = "x"'))
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: any("reload failed" in str(h["reasons"]) for h in subscriber.of("health")))
    seen = len(subscriber.of("front/detections"))
    wait_for(lambda: len(subscriber.of("front/detections")) > seen + 10)
    assert_nothing_happened(subscriber)
    path.write_text(good.replace("[metrics]", 'password_file = "/nowhere"\n[metrics]'))
    process.send_signal(signal.SIGHUP)
    seen = len(subscriber.of("front/detections"))
    wait_for(lambda: len(subscriber.of("front/detections")) > seen + 10)
    assert_nothing_happened(subscriber)
    path.write_text(good.replace('name = "front"', 'name = "back"'))
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(subscriber.of("back/detections")) > 5)
    wait_for(lambda: subscriber.of("health")[-1]["reasons"] == [])
    assert subscriber.of("status") == ["online"]
    assert any(line == "RELOADING=1" for line in unit.systemd.said)
    assert unit.stop()[0] == 0
    subscriber.close()


def test_a_slow_camera_does_not_hold_up_the_end(unit: Unit) -> None:
    unit.configure(
        more='[camera.options]\nscript = [{at_frame = 5, kind = "stall", seconds = 600.0}]'
    )
    unit.start()
    wait_for(lambda: any("FPS" in line for line in unit.systemd.said))
    code, errors = unit.stop()
    assert (code, "Traceback" in errors) == (0, False)


def test_a_runtime_folder_that_cannot_be_is_named(unit: Unit) -> None:
    unit.configure()
    (unit.folder / "run").write_text("a file, not a folder")
    unit.start()
    code, errors = unit.ended()
    assert code == 69
    assert "folder" in errors
    assert "Traceback" not in errors


def test_a_second_instance_names_the_first(unit: Unit) -> None:
    unit.configure()
    first = unit.start()
    wait_for(lambda: "READY=1" in unit.systemd.said)
    unit.start()
    code, errors = unit.ended()
    assert code == 75
    assert f"pid {first.pid}" in errors
    unit.process = first


def test_bad_configuration_exits_78_with_every_fault(unit: Unit) -> None:
    path = unit.configure()
    path.write_text('devise = "x"\n[mqtt]\nport = "y"\n')
    unit.start()
    code, errors = unit.ended()
    assert code == 78
    assert "did you mean device?" in errors
    assert "mqtt.port" in errors
    assert "Traceback" not in errors
    assert "READY=1" not in unit.systemd.said
