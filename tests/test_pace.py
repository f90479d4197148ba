"""The governor's pace: frames beyond it are dropped and booked, sources that can wait do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import NS_PER_SECOND
from appliance.pipeline.pace import LanePace, Pace
from tests.scripted import stage


@given(st.floats(1, 60), st.integers(1, 4), st.floats(5, 120))
def test_the_rate_is_the_target(target: float, lanes: int, camera: float) -> None:
    """Whatever the camera's rate, the frames admitted are the smaller of both."""
    pace = Pace()
    pace.target_fps = target
    lane = LanePace(pace, lanes)
    seconds = 60
    step = round(NS_PER_SECOND / camera)
    admitted = sum(lane.admits(t) for t in range(0, seconds * NS_PER_SECOND, step))
    expected = min(target / lanes, camera) * seconds
    assert admitted == pytest.approx(expected, rel=0.02, abs=2)


def test_no_limit_admits_all_and_zero_none() -> None:
    pace = Pace()
    lane = LanePace(pace, 1)
    assert all(lane.admits(t) for t in range(100))
    assert lane.seconds_until_due(0) == 0
    pace.target_fps = 0
    assert sum(lane.admits(t * NS_PER_SECOND) for t in range(1, 600)) <= 1


def test_a_quicker_pace_counts_at_once() -> None:
    pace = Pace()
    lane = LanePace(pace, 1)
    pace.target_fps = 0.1
    assert lane.admits(0)
    assert not lane.admits(2 * NS_PER_SECOND)
    assert lane.seconds_until_due(2 * NS_PER_SECOND) == pytest.approx(8)
    pace.target_fps = 1
    assert lane.admits(2 * NS_PER_SECOND)


def test_what_the_governor_drops_is_booked() -> None:
    scene = stage(frames=40)
    scene.pace.target_fps = 5.0  # the camera gives 20
    while scene.step():
        pass
    counts = scene.lane.ledger.counts()
    assert counts.captured == 40
    assert counts.dropped["governed"] == pytest.approx(30, abs=2)
    assert counts.conserved
