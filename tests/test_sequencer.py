"""Results leave in the order in which their frames were taken."""

from __future__ import annotations

import weakref

from hypothesis import given
from hypothesis import strategies as st

from appliance.pipeline.sequencer import Sequencer


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_any_order_of_arrival_leaves_in_order(arrival: list[int], failed: set[int]) -> None:
    delivered: list[int] = []
    sequencer: Sequencer[int] = Sequencer(delivered.append)
    arrived: set[int] = set()
    for ticket in arrival:
        sequencer.submit(ticket, None if ticket in failed else ticket)
        arrived.add(ticket)
        complete = next(n for n in range(13) if n not in arrived)
        assert delivered == [n for n in range(complete) if n not in failed]


class Result:
    """Something whose end can be watched."""


def test_what_was_delivered_is_kept_by_nobody() -> None:
    ended: list[int] = []
    sequencer: Sequencer[Result] = Sequencer(lambda _: None)
    for ticket in (1, 2, 0):
        result = Result()
        weakref.finalize(result, ended.append, ticket)
        sequencer.submit(ticket, result)
        del result
    assert sorted(ended) == [0, 1, 2]
