"""Frames are conserved, whatever happens, at any instant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import ManualClock
from appliance.pipeline.ledger import DROP_REASONS, Counts, DropReason, FrameLedger
from appliance.pipeline.statistics import WindowStatistics

ACTIONS = st.lists(
    st.one_of(st.sampled_from(("capture", "process", "drop all")), st.sampled_from(DROP_REASONS))
)


@given(ACTIONS)
def test_any_history_is_conserved(actions: list[str]) -> None:
    ledger, flying = FrameLedger(), []
    expected = {"processed": 0, "captured": 0}
    dropped = dict.fromkeys(DROP_REASONS, 0)
    for action in actions:
        if action == "capture":
            flying.append(ledger.capture())
            expected["captured"] += 1
        elif flying and action == "process":
            ledger.process(flying.pop(0))
            expected["processed"] += 1
        elif action == "drop all":
            ledger.drop_all("shutdown")
            dropped["shutdown"] += len(flying)
            flying.clear()
        elif flying and action != "process":
            reason: DropReason = next(r for r in DROP_REASONS if r == action)
            ledger.drop(flying.pop(), reason)
            dropped[reason] += 1
        counts = ledger.counts()
        assert counts.conserved
        assert (counts.captured, counts.processed) == (expected["captured"], expected["processed"])
        assert counts.in_flight == len(flying)
        assert counts.dropped == dropped


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


def test_what_is_in_flight_at_the_end_is_booked() -> None:
    ledger = FrameLedger()
    numbers = [ledger.capture() for _ in range(5)]
    assert numbers == [0, 1, 2, 3, 4]
    ledger.process(numbers[0])
    ledger.drop(numbers[1], "shutdown")
    ledger.drop_all("shutdown")
    counts = ledger.counts()
    assert (counts.dropped["shutdown"], counts.processed, counts.in_flight) == (4, 1, 0)
    assert counts.conserved
    with pytest.raises(KeyError):
        ledger.process(numbers[2])


@pytest.mark.parametrize(
    ("counts", "conserved"),
    [
        (Counts(5, 2, 1, {"corrupt": 1, "gated": 1}), True),
        (Counts(5, 2, 0, {"corrupt": 1, "gated": 1}), False),
        (Counts(1, 0, 1), True),
        (Counts(1, 0, 0), False),
    ],
)
def test_the_law_is_checked(counts: Counts, *, conserved: bool) -> None:
    assert counts.conserved is conserved


def test_books_that_were_read_do_not_change() -> None:
    ledger = FrameLedger()
    before = ledger.counts()
    ledger.drop(ledger.capture(), "corrupt")
    assert before.dropped["corrupt"] == 0
