"""How soon does health follow each fault of the field? A unit at 20 FPS for each, in this process.

Usage: python scripts/health_faults.py

Prints, for each fault, the seconds from the injection to the first health message that is not ok,
its reason, how many alerts told it, and whether (and after how long) the process would have ended.
Exit code 1 where one was not told, or told more than once.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from appliance.cli.demo_broker import start_broker
from appliance.sinks.mqtt.connection import Connection
from tests.faulty_unit import AT_FRAME, FAULTS, Fault, FaultyUnit, stuck_file

if TYPE_CHECKING:
    from collections.abc import Callable

SETTLE_RESULTS = AT_FRAME // 4
WATCH_SECONDS = 25.0


def main() -> int:
    """Run every fault, print a line each."""
    good = True
    print(f"{'fault':<26} {'told after':>10} {'alerts':>6} {'ended after':>11}  reason")
    for fault in FAULTS:
        good &= scripted(fault)
    for show in (mqtt_hung, telemetry_hung, jsonl_stopped):
        good &= show()
    return 0 if good else 1


def scripted(fault: Fault) -> bool:
    """Let the camera or the detector fail."""
    with tempfile.TemporaryDirectory() as folder:
        unit = FaultyUnit(Path(folder), cameras=(fault.camera,))
        if fault.control:
            wait(lambda: unit.results() >= SETTLE_RESULTS)
            (unit.control / fault.control).touch()
            began = time.monotonic()
        else:
            wait(lambda: last_sound(unit) is not None)
            began = time.monotonic()
        return judge(fault.name, unit, began, unit.stop, scripted=not fault.control)


def last_sound(unit: FaultyUnit) -> float | None:
    """Return when the last result of a sound frame came; None while more may come."""
    heard = [(at, what) for at, kind, what in list(unit.listener.heard) if kind == "detections"]
    sound = [at for at, seq in heard if seq < AT_FRAME]
    if len(sound) < SETTLE_RESULTS or time.monotonic() - sound[-1] < 1:
        return None
    return sound[-1]


def mqtt_hung() -> bool:
    """Block the MQTT thread."""
    broker, gate, turn = start_broker("mosquitto"), threading.Event(), Connection.turn

    def hang(connection: Connection, seconds: float) -> bool:
        gate.wait()
        return turn(connection, seconds)

    with tempfile.TemporaryDirectory() as folder:
        unit = FaultyUnit(Path(folder), broker.port)
        wait(lambda: unit.results() >= SETTLE_RESULTS)
        began = time.monotonic()
        Connection.turn = hang  # type: ignore[method-assign]

        def cure() -> None:
            Connection.turn = turn  # type: ignore[method-assign]
            gate.set()
            unit.stop()
            broker.stop()

        return judge("MQTT thread hung", unit, began, cure)


def telemetry_hung() -> bool:
    """Put a pipe that nobody writes in the place of the thermometer."""
    with tempfile.TemporaryDirectory() as folder:
        unit = FaultyUnit(Path(folder))
        wait(lambda: unit.results() >= SETTLE_RESULTS)
        began = time.monotonic()
        release = stuck_file(unit.thermometer)

        def cure() -> None:
            release()
            unit.stop()

        return judge("telemetry hung", unit, began, cure)


def jsonl_stopped() -> bool:
    """Write lines to a pipe whose reader never reads; it holds 64 KiB."""
    with tempfile.TemporaryDirectory() as folder:
        pipe = Path(folder, "pipe")
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        unit = FaultyUnit(Path(folder), jsonl=str(pipe))
        sink = next(one for one in unit.sinks() if one.name == "jsonl")
        wait(lambda: sink.heartbeat.waiting_for == "a write", 60)
        began = time.monotonic()

        def cure() -> None:
            unit.stop()
            os.close(reader)

        return judge("JSONL reader stopped", unit, began, cure)


def judge(
    name: str,
    unit: FaultyUnit,
    began: float,
    cure: Callable[[], None],
    *,
    scripted: bool = False,
) -> bool:
    """Watch what is said, print the line; a scripted fault began with the last sound result."""
    began = (last_sound(unit) or began) if scripted else began
    pause = threading.Event()
    ended = None
    while time.monotonic() - began < WATCH_SECONDS:
        if unit.ended and ended is None:
            ended = time.monotonic() - began
            break
        pause.wait(0.05)
    told = next(
        (
            (at - began, message["reasons"][0])
            for at, kind, message in list(unit.listener.heard)
            if kind == "health" and at >= began and message["state"] == "degraded"
        ),
        None,
    )
    alerts = [kind for kind, _ in unit.problems() if kind == "problem_began"]
    cure()
    seconds, reason = told or (float("nan"), "NOT TOLD")
    end = f"{ended:.1f} s" if ended is not None else "goes on"
    print(f"{name:<26} {seconds:>8.1f} s {len(alerts):>6} {end:>11}  {reason}", flush=True)
    return told is not None and len(alerts) == 1


def wait(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    """Wait for a condition."""
    pause, until = threading.Event(), time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            sys.exit("the unit gives no results")
        pause.wait(0.01)


if __name__ == "__main__":
    sys.exit(main())
