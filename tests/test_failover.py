"""Unplug the accelerator of a running unit, and plug it in again; watch from the broker."""

from __future__ import annotations

import itertools
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from appliance.clock import SystemClock
from appliance.config import CameraSettings, Settings
from appliance.config.settings import (
    AcceleratorSettings,
    MetricsSettings,
    MqttSettings,
    TelemetrySettings,
)
from appliance.daemon.engine import make_engine
from appliance.daemon.lifecycle import Daemon
from appliance.daemon.requests import Requests
from appliance.daemon.systemd import ServiceManager
from appliance.errors import AcceleratorUnavailableError, ApplianceError, DetectorError
from appliance.pipeline.pace import Pace
from appliance.selection.choose import load_model
from appliance.selection.failover import AcceleratorEvent, DetectorMaker, FailoverDetector, Switch
from tests.fakes.fake_detector import FakeDetector
from tests.fakes.scripted_accelerator import PATHS
from tests.helpers import Subscriber, environment, seen, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.cli.demo_broker import DemoBroker
    from appliance.selection import Selection

RETRY_SECONDS = 1.0


class Unit:
    def __init__(self, settings: Settings, folder: Path, subscriber: Subscriber) -> None:
        self.seen = subscriber
        self.failure: BaseException | None = None
        self._requests = Requests()
        surroundings = replace(environment(folder), accelerators=PATHS)
        surroundings = replace(
            surroundings, variables={**surroundings.variables, "STATE_DIRECTORY": str(folder)}
        )
        self._daemon = Daemon(lambda: settings, surroundings, self._requests, ServiceManager({}))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._daemon.run()
        except ApplianceError as error:
            self.failure = error

    def running_on(self) -> str:
        detections = self.seen.of("front/detections")
        return detections[-1]["accelerator"] if detections else ""

    def alerts(self) -> list[tuple[str, str]]:
        return [(one["kind"], one["running"]) for one in self.seen.of("alerts")]

    def stop(self) -> None:
        self._requests.ask_stop()
        self._thread.join(20)
        assert not self._thread.is_alive()


def settings(broker: DemoBroker, control: Path, **accelerator: object) -> Settings:
    choice = {
        "name": "scripted",
        "options": {"scripted": {"device": str(control)}},
        "retry_seconds": RETRY_SECONDS,
    }
    return Settings(
        sinks={"prometheus": {"port": 0}},  # others run beside it
        device="unit-1",
        mqtt=MqttSettings(host="127.0.0.1", port=broker.port),
        accelerator=AcceleratorSettings(workers=2, **{**choice, **accelerator}),  # type: ignore[arg-type]
        metrics=MetricsSettings(window_seconds=1),
        telemetry=TelemetrySettings(interval_seconds=1),
        camera=(CameraSettings(name="front", source="synthetic", width=320, height=240, fps=15),),
    )


@contextmanager
def unit(broker: DemoBroker, tmp_path: Path, **accelerator: object) -> Iterator[tuple[Unit, Path]]:
    control = tmp_path / "device"
    control.mkdir(exist_ok=True)
    subscriber = Subscriber(broker.port)
    running = Unit(settings(broker, control, **accelerator), tmp_path, subscriber)
    try:
        yield running, control
    finally:
        running.stop()
        subscriber.close()


def test_unplugged_and_back(broker: DemoBroker, tmp_path: Path) -> None:
    with unit(broker, tmp_path) as (running, control):
        wait_for(lambda: running.running_on() == "scripted", 20)
        (control / "unplugged").touch()
        wait_for(lambda: running.running_on() == "cpu")
        wait_for(lambda: running.alerts() == [("failover", "cpu")])
        (alert,) = running.seen.of("alerts")
        assert alert["accelerator"] == "scripted"
        assert "SIGABRT" in alert["reason"]
        wait_for(lambda: "running on cpu instead" in str(running.seen.of("health")[-1]["reasons"]))
        assert running.seen.of("health")[-1]["state"] == "degraded"
        wait_for(lambda: running.seen.of("info")[-1]["accelerator"] == "cpu")

        (control / "unplugged").unlink()
        wait_for(lambda: running.running_on() == "scripted")
        wait_for(lambda: running.alerts()[-1] == ("failback", "scripted"))
        assert running.seen.of("alerts")[-1]["duration_seconds"] > 0
        wait_for(lambda: running.seen.of("health")[-1]["state"] == "ok")
        wait_for(lambda: running.seen.of("info")[-1]["accelerator"] == "scripted")
    assert len({one["boot_id"] for one in running.seen.of("front/detections")}) == 1
    names = [one["accelerator"] for one in running.seen.of("front/detections")]
    turns = [name for name, _ in itertools.groupby(names)]
    assert turns[-3:] == ["scripted", "cpu", "scripted"]
    assert turns[:-3] in ([], ["cpu"])  # while the accelerator was proved
    frames = running.seen.of("front/metrics")[-1]["frames"]
    dropped = sum(frames["dropped"].values())
    assert frames["captured"] == frames["processed"] + dropped + frames["in_flight"]
    assert frames["dropped"].get("detector_error", 0) == 0  # the picture in hand ran on the CPU
    assert running.failure is None


@pytest.mark.parametrize("told", ["hang", "error", "odd_exit"])
def test_other_ends_fail_over_too(told: str, broker: DemoBroker, tmp_path: Path) -> None:
    """Many runtimes say of a lost device no more than "error"."""
    with unit(broker, tmp_path) as (running, control):
        wait_for(lambda: running.running_on() == "scripted", 20)
        (control / told).touch()
        wait_for(lambda: running.running_on() == "cpu")
        (control / "unplugged").touch()  # or it would come back and hang again
    assert running.failure is None


def test_proved_once_and_not_opening_now_is_stood_in_for(
    broker: DemoBroker, tmp_path: Path
) -> None:
    with unit(broker, tmp_path) as (running, control):
        wait_for(lambda: running.running_on() == "scripted", 20)
    (control / "crash_open").touch()
    with unit(broker, tmp_path) as (running, _):
        wait_for(lambda: running.running_on() == "cpu", 20)
        wait_for(lambda: ("failover", "cpu") in running.alerts())
    assert running.failure is None


def test_away_at_the_start_is_said_and_mended(broker: DemoBroker, tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    (tmp_path / "device/unplugged").touch()
    with unit(broker, tmp_path) as (running, control):
        wait_for(lambda: running.running_on() == "cpu", 20)
        wait_for(lambda: running.alerts() == [("failover", "cpu")])
        (control / "unplugged").unlink()
        wait_for(lambda: running.running_on() == "scripted")


def test_without_a_fallback_the_service_ends(broker: DemoBroker, tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    (tmp_path / "device/unplugged").touch()
    with unit(broker, tmp_path, fallback="none") as (running, _):
        wait_for(lambda: running.failure is not None, 20)
    assert isinstance(running.failure, AcceleratorUnavailableError)


@pytest.mark.parametrize(("told", "why"), [("wrong", "IoU|sees"), ("constant", "sees")])
def test_a_wrong_answer_is_refused_by_parity(
    told: str, why: str, broker: DemoBroker, tmp_path: Path
) -> None:
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / told).touch()
    with unit(broker, tmp_path) as (running, _):
        wait_for(lambda: running.running_on() == "cpu", 20)
        wait_for(lambda: bool(running.seen.of("alerts")), 30)
        reason = running.seen.of("alerts")[0]["reason"]
    assert "refused" in reason
    assert any(word in reason for word in why.split("|"))


def test_silently_on_the_cpu_is_degraded(broker: DemoBroker, tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    (tmp_path / "device/on_cpu").touch()
    with unit(broker, tmp_path) as (running, _):
        wait_for(lambda: running.running_on() == "scripted", 20)
        wait_for(lambda: "it runs on CPU" in str(running.seen.of("health")[-1]["reasons"]))
        assert running.seen.of("health")[-1]["state"] == "degraded"


def test_auto_starts_on_the_cpu_and_changes_to_the_best(
    broker: DemoBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for proofs; when they are there, the unit takes the winner by itself."""
    monkeypatch.setattr("appliance.selection.selector.ranked", scripted_first)
    with unit(broker, tmp_path, name="auto") as (running, _):
        wait_for(lambda: running.running_on() == "cpu", 20)
        wait_for(lambda: running.running_on() == "scripted", 30)
        assert running.seen.of("info")[-1]["accelerator"] == "scripted"
    assert running.failure is None


def scripted_first(judged: list[Selection], _aim: str) -> list[Selection]:
    return sorted(judged, key=lambda one: one.accelerator.name != "scripted")


def test_auto_stays_on_the_cpu_when_the_other_is_wrong(broker: DemoBroker, tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    (tmp_path / "device/wrong").touch()
    with unit(broker, tmp_path, name="auto") as (running, _):
        wait_for(lambda: running.running_on() == "cpu", 20)
        wait_for((tmp_path / "accelerators.json").exists, 20)
    assert {one["accelerator"] for one in running.seen.of("front/detections")} == {"cpu"}


class Failing(FakeDetector):
    """A detector whose inferences fail as a list says, which all detectors share."""

    def __init__(self, failures: list[bool]) -> None:
        super().__init__(lambda _n: seen())
        self._failures = failures

    def infer(self) -> None:
        super().infer()
        if self._failures and self._failures.pop(0):
            raise DetectorError("error")


class Parts:
    """A switch with detectors that remember being closed."""

    def __init__(self) -> None:
        self.made: list[FakeDetector] = []
        self.failures: list[bool] = []
        self.events: list[str] = []
        model = load_model("auto")
        self.switch = Switch(
            DetectorMaker("primary", self.make, lambda: model),
            DetectorMaker("cpu", self.make, lambda: model),
            slots=2,
            retry_seconds=30,
            on_event=lambda event: self.events.append(event.kind),
            clock=SystemClock(),
        )

    def make(self) -> FakeDetector:
        self.made.append(Failing(self.failures))
        return self.made[-1]


def test_what_is_lost_before_the_start_is_told_once_and_looked_for_once() -> None:
    parts = Parts()
    before = set(threading.enumerate())
    parts.switch.lost(0, "gone while it was opened")
    parts.switch.start()
    parts.switch.start()
    assert parts.events == ["failover"]
    assert len(set(threading.enumerate()) - before) == 1
    assert parts.switch._try_again()
    parts.switch.start()  # it is back: nothing to look for
    assert parts.events == ["failover", "failback"]
    parts.switch.close()


def test_a_reload_in_the_middle_of_a_loss_tells_and_looks_for_it_once() -> None:
    parts = Parts()
    before = set(threading.enumerate())
    tell = parts.switch._on_event

    def reload(event: AcceleratorEvent) -> None:
        tell(event)
        parts.switch.start()  # by the main thread, while the worker still tells of the loss

    parts.switch._on_event = reload
    parts.switch.lost(0, "gone")
    assert parts.events == ["failover"]
    assert len(set(threading.enumerate()) - before) == 1
    parts.switch.close()


def test_an_engine_that_cannot_be_made_looks_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would go on beside the configuration that a reload went back to."""
    parts = Parts()

    def fail(*_: object) -> None:
        parts.switch.lost(0, "it does not open now")
        raise AcceleratorUnavailableError("nor does the CPU")

    monkeypatch.setattr("appliance.daemon.engine.make_switch", lambda *_, **__: parts.switch)
    monkeypatch.setattr("appliance.daemon.engine.open_detectors", fail)
    there = replace(environment(tmp_path), accelerators=PATHS)
    before = set(threading.enumerate())
    wanted = Settings(accelerator=AcceleratorSettings(name="cpu"))
    with pytest.raises(AcceleratorUnavailableError):
        make_engine(wanted, there, Pace(), lambda _: None)
    wait_for(lambda: set(threading.enumerate()) <= before)


def test_detectors_that_nobody_took_are_closed_when_it_is_lost_again() -> None:
    parts = Parts()
    parts.switch.lost(0, "gone")
    assert parts.switch._try_again()
    waiting = list(parts.made)
    parts.switch.lost(parts.switch.generation, "gone again")
    assert all(one.closed for one in waiting)
    assert parts.events == ["failover", "failback", "failover"]
    parts.switch.close()


def test_late_news_of_an_old_loss_change_nothing() -> None:
    parts = Parts()
    parts.switch.lost(0, "gone")
    parts.switch.lost(0, "gone, says the second worker")
    assert parts.events == ["failover"]
    assert parts.switch._try_again()
    parts.switch.lost(0, "gone, says a third, far too late")
    assert parts.switch.running == "primary"
    parts.switch.close()


def infer_all(detector: FailoverDetector, failures: list[bool]) -> int:
    """Run one inference for each of ``failures``, which all are taken; return how many raised."""
    raised = 0
    while failures:
        try:
            detector.infer()
        except DetectorError:
            raised += 1
    return raised


def test_errors_apart_in_time_are_no_loss() -> None:
    """Two of three inferences fail, a hundred times: never three in a row."""
    parts = Parts()
    detector = FailoverDetector(parts.switch)
    parts.failures += [True, True, False] * 100
    assert infer_all(detector, parts.failures) == 200
    assert parts.events == []
    assert parts.switch.running == "primary"
    parts.switch.close()


def test_three_errors_in_a_row_are_a_loss_and_the_picture_runs_elsewhere() -> None:
    parts = Parts()
    detector = FailoverDetector(parts.switch)
    with detector.input() as picture:
        picture[:] = 77
    parts.failures += [True, True, True, False]
    assert infer_all(detector, parts.failures) == 2
    assert parts.events == ["failover"]
    assert parts.switch.running == "cpu"
    first, second = parts.made
    assert first.closed
    assert (second.picture == 77).all()
    parts.failures += [True, True, False]  # they are counted anew
    assert infer_all(detector, parts.failures) == 2
    assert len(parts.made) == 2
    parts.switch.close()
