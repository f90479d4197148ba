"""The board is read on a thread of its own, so that a file that never answers holds nobody."""

from __future__ import annotations

import threading

import pytest

from appliance.clock import SystemClock
from appliance.daemon.sampler import READ_SECONDS, Sampler
from appliance.pipeline.heartbeat import HangWatch
from appliance.telemetry import CollectorStatus, Snapshot
from appliance.telemetry.thermal import Thermal
from tests.helpers import wait_for

GOOD = Snapshot(collectors={"thermal": CollectorStatus(success=True, duration_ms=0.1)})


def test_each_question_reads_anew() -> None:
    reads: list[str] = []

    def read() -> Snapshot:
        reads.append(threading.current_thread().name)
        return GOOD

    sampler = Sampler(read, SystemClock())
    sampler.start()
    assert sampler.sample() is GOOD
    assert sampler.sample() is GOOD
    sampler.close()
    assert reads == ["telemetry"] * 2
    assert sampler.heartbeat.ended


def test_a_hang_costs_the_asker_a_second_once_and_is_seen() -> None:
    gate = threading.Event()
    asked = threading.Event()

    def read() -> Snapshot:
        asked.set()
        gate.wait()
        return GOOD

    sampler = Sampler(read, SystemClock())
    sampler.start()
    assert sampler.sample().get(Thermal) is None  # unknown, and not the last value
    assert asked.is_set()
    assert sampler.sample() == Snapshot(collectors={})  # answers at once: the question stands
    watch = HangWatch()
    now_ns = SystemClock().monotonic_ns()
    watch.look((sampler.heartbeat,), now_ns + round((READ_SECONDS + 1) * 1e9))
    (hang,) = watch.look((sampler.heartbeat,), now_ns + round((READ_SECONDS + 2) * 1e9))
    assert hang.text == "telemetry: hangs in reading the board"
    gate.set()
    wait_for(lambda: sampler.sample() is GOOD)
    sampler.close()


def test_what_ends_the_thread_is_raised_where_it_is_asked() -> None:
    def read() -> Snapshot:
        raise RuntimeError("a collector of somebody's own")

    sampler = Sampler(read, SystemClock())
    sampler.start()
    with pytest.raises(RuntimeError, match="somebody's own"):
        sampler.sample()
    sampler.close()


def test_closing_one_that_never_began_is_fine() -> None:
    Sampler(lambda: GOOD, SystemClock()).close()
