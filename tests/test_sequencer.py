"""Results leave in the order in which their frames were taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.pipeline.sequencer import Sequencer


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_any_order_of_arrival_leaves_in_order(arrival: list[int], failed: set[int]) -> None:
    delivered: list[int] = []
    sequencer: Sequencer[int] = Sequencer(delivered.append)
    for ticket in arrival:
        sequencer.submit(ticket, None if ticket in failed else ticket)
        assert delivered == sorted(delivered)
    assert delivered == [ticket for ticket in range(12) if ticket not in failed]
