"""Health follows the work: each fault of the field is a reason and one alert, though no thread
died and no error reached anybody; and a hang ends the process."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from appliance.errors import StalledError
from appliance.sinks.mqtt.connection import Connection
from tests.faulty_unit import FAULTS, Fault, FaultyUnit, Gate, mishap, stuck_file
from tests.helpers import Subscriber, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.cli.demo_broker import DemoBroker


def degraded(unit: FaultyUnit, words: str) -> bool:
    health = unit.health
    return health["state"] == "degraded" and any(words in one for one in health["reasons"])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_fault_is_told_once_and_a_hang_ends_the_process(fault: Fault, tmp_path: Path) -> None:
    unit = FaultyUnit(tmp_path, cameras=(fault.camera,))
    try:
        wait_for(lambda: unit.health["state"] == "ok")
        if fault.control:
            (unit.control / fault.control).touch()
        wait_for(lambda: degraded(unit, fault.words), 20)
        assert unit.problems() == [("problem_began", fault.problem)]
        if fault.ends:
            wait_for(lambda: unit.ended, 30)
            assert isinstance(unit.failure, StalledError)
            assert unit.problems() == [("problem_began", fault.problem)]
    finally:
        unit.stop()


def test_a_filter_that_hangs_is_told_and_ends_the_process(tmp_path: Path) -> None:
    gate = Gate()
    unit = FaultyUnit(tmp_path, filters=(gate,))
    try:
        wait_for(lambda: unit.health["state"] == "ok")
        gate.shut = True
        wait_for(lambda: degraded(unit, "no results"), 20)
        wait_for(lambda: unit.ended, 30)
        assert isinstance(unit.failure, StalledError)
        assert "worker 0: hangs" in str(unit.failure)
        assert unit.problems() == [("problem_began", "no_results")]
    finally:
        gate.shut = False
        unit.stop()


def test_a_sink_that_hangs_is_named_and_the_others_go_on_and_it_is_told_when_it_is_over(
    tmp_path: Path,
) -> None:
    gate = Gate()
    unit = FaultyUnit(tmp_path, outlets=(gate,))
    try:
        wait_for(lambda: unit.health["state"] == "ok")
        gate.shut = True
        wait_for(lambda: degraded(unit, "gate: hangs in a write"), 20)
        assert unit.problems() == [("problem_began", "sink_stalled")]
        before = unit.results()
        wait_for(lambda: unit.results() > before + 40)
        assert unit.health["sinks"]["gate"]["waiting"] > 0
        gate.shut = False
        wait_for(lambda: unit.health["state"] == "ok", 20)
        wait_for(lambda: ("problem_ended", "sink_stalled") in unit.problems(), 20)
        assert unit.health["sinks"]["gate"]["dropped"] == 0
        assert not unit.ended
    finally:
        gate.shut = False
        unit.stop()


def test_a_sink_that_raises_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    gate = Gate()
    unit = FaultyUnit(tmp_path, outlets=(gate,))
    try:
        wait_for(lambda: unit.health["state"] == "ok")
        gate.fault = ValueError("no such thing")
        wait_for(lambda: degraded(unit, "gate: ValueError: no such thing"), 20)
        assert unit.problems() == [("problem_began", "sink_failing")]
        before = unit.results()
        wait_for(lambda: unit.results() > before + 40)
        gate.fault = None
        wait_for(lambda: unit.health["state"] == "ok", 20)
        wait_for(lambda: ("problem_ended", "sink_failing") in unit.problems(), 20)
        assert unit.health["sinks"]["gate"]["failed"] > 0
    finally:
        unit.stop()


def test_what_is_over_is_told_and_the_unit_is_ok_again(tmp_path: Path) -> None:
    unit = FaultyUnit(tmp_path, cameras=(mishap("corrupt", frames=100),))
    try:
        wait_for(lambda: degraded(unit, "no results"), 20)
        wait_for(lambda: ("problem_ended", "no_results") in unit.problems(), 30)
        wait_for(lambda: unit.health["state"] == "ok", 20)
        began, ended = [one for one in unit.listener.all("alert") if one["problem"]]
        assert (began["camera"], ended["camera"]) == ("cam0", "cam0")
        assert ended["duration_seconds"] > 0
    finally:
        unit.stop()


def test_one_camera_of_two_is_named(tmp_path: Path) -> None:
    unit = FaultyUnit(tmp_path, cameras=({}, mishap("corrupt")))
    try:
        wait_for(lambda: degraded(unit, "camera cam1: no results"), 20)
        assert not degraded(unit, "cam0")
    finally:
        unit.stop()


def test_a_hung_mqtt_thread_is_told_and_ends_the_process(
    tmp_path: Path, broker: DemoBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = FaultyUnit(tmp_path, broker.port)
    subscriber = Subscriber(broker.port)
    gate = threading.Event()
    turn = Connection.turn

    def hang(connection: Connection, seconds: float) -> bool:
        gate.wait()
        return turn(connection, seconds)

    try:
        wait_for(lambda: unit.health["state"] == "ok" and subscriber.of("cam0/detections"))
        monkeypatch.setattr(Connection, "turn", hang)
        wait_for(lambda: degraded(unit, "mqtt: hangs in the connection"), 30)
        wait_for(lambda: unit.ended, 20)
        assert isinstance(unit.failure, StalledError)
        assert unit.problems() == [("problem_began", "hung")]
    finally:
        gate.set()
        unit.stop()
        subscriber.close()


def test_telemetry_that_never_answers_is_told_while_results_go_on(tmp_path: Path) -> None:
    unit = FaultyUnit(tmp_path)
    wait_for(lambda: unit.health["state"] == "ok")
    release = stuck_file(unit.thermometer)
    try:
        before = unit.results()
        wait_for(lambda: degraded(unit, "telemetry: hangs in reading the board"), 30)
        assert unit.health["temperature_celsius"] is None
        assert unit.results() > before
        wait_for(lambda: unit.ended, 20)
        assert isinstance(unit.failure, StalledError)
    finally:
        release()
        unit.stop()


def test_a_jsonl_reader_that_stops_is_told_and_costs_no_result(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    unit = FaultyUnit(tmp_path, jsonl=str(pipe))
    try:
        wait_for(lambda: degraded(unit, "jsonl: hangs in a write"), 60)
        assert unit.problems() == [("problem_began", "sink_stalled")]
        before = unit.results()
        wait_for(lambda: unit.results() > before + 40)
        assert not unit.ended
    finally:
        unit.stop()
        os.close(reader)
