"""Frames are conserved, whatever happens, at any instant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import ManualClock
from appliance.pipeline.ledger import DROP_REASONS, DropReason, FrameLedger
from appliance.pipeline.statistics import WindowStatistics

ACTIONS = st.lists(st.one_of(st.just("capture"), st.just("process"), st.sampled_from(DROP_REASONS)))


@given(ACTIONS)
def test_any_history_is_conserved(actions: list[str]) -> None:
    ledger, flying = FrameLedger(), []
    expected = {"processed": 0, "captured": 0}
    for action in actions:
        if action == "capture":
            flying.append(ledger.capture())
            expected["captured"] += 1
        elif flying and action == "process":
            ledger.process(flying.pop(0))
            expected["processed"] += 1
        elif flying:
            reason: DropReason = next(r for r in DROP_REASONS if r == action)
            ledger.drop(flying.pop(), reason)
        counts = ledger.counts()
        assert counts.conserved
        assert (counts.captured, counts.processed) == (expected["captured"], expected["processed"])
        assert counts.in_flight == len(flying)


def test_a_frame_cannot_end_twice() -> None:
    ledger = FrameLedger()
    number = ledger.capture()
    ledger.process(number)
    with pytest.raises(KeyError):
        ledger.drop(number, "shutdown")


class Watchful(ManualClock):
    """Notes whether a frame could have been counted while the time was taken."""

    statistics: WindowStatistics | None = None
    countable: bool = False

    def monotonic_ns(self) -> int:
        if self.statistics is not None:
            self.countable = self.countable or not self.statistics._lock.locked()
        return super().monotonic_ns()


def test_no_frame_is_counted_in_a_window_that_ended_before() -> None:
    clock = Watchful()
    clock.statistics = WindowStatistics(clock)
    clock.statistics.captured()
    clock.advance(2)
    first = clock.statistics.roll()
    clock.advance(3)
    assert (first.seconds, first.captured) == (2, 1)
    assert (clock.statistics.roll().seconds, clock.countable) == (3, False)
