"""Who lives: progress, a declared wait that is not over, or an end that was meant."""

from __future__ import annotations

import pytest

from appliance.clock import ManualClock
from appliance.pipeline.heartbeat import BUSY_SECONDS, HangWatch, Heartbeat


def hanging(watch: HangWatch, heart: Heartbeat, clock: ManualClock) -> list[tuple[str, float]]:
    return [(hang.text, hang.seconds) for hang in watch.look((heart,), clock.monotonic_ns())]


def test_a_thread_that_is_late_hangs_once_two_looks_say_so() -> None:
    clock, watch = ManualClock(), HangWatch()
    heart = Heartbeat("one", clock)
    clock.advance(1000)
    assert hanging(watch, heart, clock) == []  # it has not begun
    heart.beat()
    clock.advance(BUSY_SECONDS - 0.1)
    assert hanging(watch, heart, clock) == []
    clock.advance(0.1)
    assert hanging(watch, heart, clock) == []
    clock.advance(0.5)
    assert hanging(watch, heart, clock) == [("one: hangs in its work", 0.5)]
    clock.advance(1)
    assert hanging(watch, heart, clock) == [("one: hangs in its work", 1.5)]
    heart.beat()
    assert hanging(watch, heart, clock) == []


def test_a_declared_wait_is_excused_for_as_long_as_it_said() -> None:
    clock, watch = ManualClock(), HangWatch()
    heart = Heartbeat("one", clock)
    heart.wait("a frame", 10)
    clock.advance(9.9)
    assert heart.waiting_for == "a frame"
    assert hanging(watch, heart, clock) == []
    clock.advance(0.2)
    assert heart.waiting_for == ""
    assert hanging(watch, heart, clock) == []
    clock.advance(0.2)
    assert hanging(watch, heart, clock) == [("one: hangs in a frame", 0.2)]


def test_a_process_that_stood_still_has_no_thread_that_hangs() -> None:
    clock, watch = ManualClock(), HangWatch()
    hearts = [Heartbeat(name, clock) for name in ("one", "two")]
    for heart in hearts:
        heart.wait("a frame", 1.5)
    clock.advance(40)  # SIGSTOP, and SIGCONT
    assert watch.look(hearts, clock.monotonic_ns()) == ()
    for heart in hearts:
        heart.wait("a frame", 1.5)
    clock.advance(0.5)
    assert watch.look(hearts, clock.monotonic_ns()) == ()


def test_each_lateness_is_watched_anew() -> None:
    clock, watch = ManualClock(), HangWatch()
    heart = Heartbeat("one", clock)
    for _ in range(3):  # late each time it is looked at, and alive in between
        heart.wait("a slow disk", 1)
        clock.advance(2)
        assert hanging(watch, heart, clock) == []


@pytest.mark.parametrize("ended", [True, False])
def test_a_thread_that_ended_is_not_missed(ended: bool) -> None:
    clock, watch = ManualClock(), HangWatch()
    heart = Heartbeat("one", clock)
    heart.beat()
    heart.ended = ended
    clock.advance(60)
    watch.look((heart,), clock.monotonic_ns())
    clock.advance(1)
    found = watch.look((heart,), clock.monotonic_ns())
    assert [hang.thread for hang in found] == ([] if ended else ["one"])
