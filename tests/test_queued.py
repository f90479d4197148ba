"""An outlet behind its queue: nobody waits for it, and whatever it does is told."""

from __future__ import annotations

import errno
import threading
from collections import deque
from typing import TYPE_CHECKING

import pytest

from appliance.clock import ManualClock, SystemClock
from appliance.errors import UnavailableError
from appliance.pipeline.heartbeat import HangWatch
from appliance.sinks.queue.backlog import Backlog
from appliance.sinks.queue.queued_sink import LOSING_SECONDS, QueuedSink
from tests.helpers import wait_for
from tests.test_backlog import message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.reports.outgoing import Outgoing

FULL = OSError(errno.ENOSPC, "No space left on device")


class Scripted:
    """An outlet that does as it is told: raises what is in its lists, waits while it is shut."""

    name = "scripted"
    kinds: frozenset[str] | None = frozenset({"detections", "health"})

    def __init__(self) -> None:
        self.openings: deque[Exception] = deque()
        self.faults: deque[Exception] = deque()
        self.handled: list[int] = []
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self.free = threading.Event()
        self.free.set()

    def open(self) -> None:
        self._note("open")
        if self.openings:
            raise self.openings.popleft()

    def handle(self, outgoing: Outgoing) -> None:
        self._note("handle")
        self.free.wait()
        if self.faults:
            raise self.faults.popleft()
        self.handled.append(outgoing.handed_ns)

    def close(self) -> None:
        self._note("close")

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.threads.add(threading.current_thread().name)


@pytest.fixture
def outlet() -> Iterator[Scripted]:
    one = Scripted()
    yield one
    one.free.set()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.sinks.queue.queued_sink.RETRY_SECONDS", 0.01)


def put(sink: QueuedSink, *numbers: int, kind: str = "detections") -> None:
    for number in numbers:
        sink.put(message(kind, number))


def words(sink: QueuedSink) -> list[tuple[str, str]]:
    return [(kind, text) for kind, _, text in sink.problems()]


def counts(sink: QueuedSink) -> tuple[int, int, int, int]:
    tally = sink.tally()
    return tally.handled, tally.waiting, tally.dropped, tally.failed


def test_what_it_wants_comes_in_order_on_one_thread_of_its_own(outlet: Scripted) -> None:
    sink = QueuedSink(outlet, SystemClock())
    put(sink, *range(500))
    put(sink, -1, kind="alert")
    sink.close()
    sink.close()
    put(sink, 500)
    assert outlet.handled == list(range(500))
    assert outlet.threads == {"scripted"}
    assert outlet.calls[:1] + outlet.calls[-1:] == ["open", "close"]
    assert counts(sink) == (500, 0, 0, 0)
    assert sink.problems() == ()
    assert sink.heartbeat.ended


def test_one_that_hangs_holds_nobody_and_is_told_and_goes_on(outlet: Scripted) -> None:
    outlet.free.clear()
    clock = ManualClock()
    sink = QueuedSink(outlet, clock, Backlog(frames=3))
    put(sink, 0)
    wait_for(lambda: "handle" in outlet.calls)
    put(sink, *range(1, 10))
    put(sink, 10, 11, kind="health")
    assert counts(sink) == (0, 5, 6, 0)
    assert words(sink) == [("sink_stalled", "scripted: is too slow (6 messages lost)")]
    watch = HangWatch()
    clock.advance(3.0)
    watch.look((sink.heartbeat,), clock.monotonic_ns())
    clock.advance(0.5)
    (hang,) = watch.look((sink.heartbeat,), clock.monotonic_ns())
    assert hang.text == "scripted: hangs in a write"
    assert sink.may_hang
    outlet.free.set()
    wait_for(lambda: counts(sink) == (5, 0, 6, 0))
    assert outlet.handled == [0, 7, 8, 9, 11]
    clock.advance(LOSING_SECONDS)
    assert sink.problems() == ()
    assert watch.look((sink.heartbeat,), clock.monotonic_ns()) == ()
    sink.close()


def test_what_the_world_refuses_comes_again_until_it_is_through(outlet: Scripted) -> None:
    sink = QueuedSink(outlet, SystemClock())
    outlet.free.clear()
    put(sink, 0, 1)
    outlet.faults.extend([FULL] * 3)
    outlet.openings.append(UnavailableError("scripted: away"))
    outlet.free.set()
    wait_for(lambda: counts(sink) == (2, 0, 0, 0))
    assert outlet.handled == [0, 1]
    assert sink.problems() == ()
    # o: opened, h: given a message, c: closed. The second opening is refused.
    assert "".join(one[0] for one in outlet.calls) == "ohcocohcohcohh"
    sink.close()


def test_a_refusal_is_told_in_words_and_closing_does_not_wait_for_its_end(
    outlet: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.sinks.queue.queued_sink.RETRY_SECONDS", 60.0)
    sink = QueuedSink(outlet, SystemClock())
    outlet.faults.append(FULL)
    put(sink, 0)
    wait_for(lambda: words(sink) == [("sink_failing", "scripted: No space left on device")])
    assert counts(sink) == (0, 1, 0, 0)
    sink.close()
    assert sink.heartbeat.ended, "it does not wait for the next attempt"
    assert outlet.handled == []


def test_a_fault_of_its_own_costs_one_message_and_the_next_has_its_turn(outlet: Scripted) -> None:
    sink = QueuedSink(outlet, SystemClock())
    outlet.faults.append(KeyError("n"))
    put(sink, 0)
    wait_for(lambda: counts(sink) == (0, 0, 0, 1))
    assert words(sink) == [("sink_failing", "scripted: KeyError: 'n' (1 messages lost)")]
    put(sink, 1)
    wait_for(lambda: counts(sink) == (1, 0, 0, 1))
    assert sink.problems() == ()
    assert outlet.handled == [1]
    sink.close()


def test_one_that_cannot_be_opened_is_told_and_keeps_what_comes(outlet: Scripted) -> None:
    outlet.openings.extend([UnavailableError("scripted: away", hint="bring it")] * 2)
    sink = QueuedSink(outlet, SystemClock())
    put(sink, 0, 1)
    wait_for(lambda: counts(sink) == (2, 0, 0, 0))
    assert sink.problems() == ()
    assert outlet.calls[:5] == ["open", "close", "open", "close", "open"]
    sink.close()


def test_closing_waits_for_nobody_and_what_hangs_writes_no_more_later(outlet: Scripted) -> None:
    outlet.free.clear()
    sink = QueuedSink(outlet, SystemClock())
    put(sink, 0, 1, 2)
    wait_for(lambda: "handle" in outlet.calls)
    sink.close()
    assert not sink.heartbeat.ended
    outlet.free.set()
    wait_for(lambda: sink.heartbeat.ended)
    assert outlet.handled == [0]
    assert outlet.calls[-1] == "close"
