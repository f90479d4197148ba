"""The governor's pace: frames beyond it are dropped and booked, sources that can wait do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import NS_PER_SECOND
from appliance.pipeline.pace import Pace
from tests.scripted import stage


@given(st.floats(1, 60), st.floats(5, 120))
def test_the_rate_is_the_target(target: float, camera: float) -> None:
    """Whatever the camera's rate, the frames admitted are the smaller of both."""
    pace = Pace()
    pace.target_fps = target
    lane = pace.lane()
    step = round(NS_PER_SECOND / camera)
    admitted = sum(lane.admits(t) for t in range(0, 60 * NS_PER_SECOND, step))
    assert admitted == pytest.approx(min(target, camera) * 60, rel=0.02, abs=2)


@pytest.mark.parametrize(
    ("target", "cameras", "expected"),
    [
        (8, (15, 15), (4, 4)),
        (8, (15, 1), (7, 1)),  # what the slow one does not use is the other's
        (8, (15, 15, 1), (3.5, 3.5, 1)),
        (20, (5, 5), (5, 5)),
        (8, (15, 0), (8, 0)),  # a lost camera has no share
    ],
)
def test_the_target_is_shared(
    target: float, cameras: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    pace = Pace()
    pace.target_fps = target
    lanes = [pace.lane() for _ in cameras]
    arrivals = sorted(
        (round(number * NS_PER_SECOND / rate), place)
        for place, rate in enumerate(cameras)
        for number in range(round(rate * 60))
    )
    for lane in lanes:
        lane.admits(0)
    counts = [0] * len(cameras)
    for at_ns, place in arrivals:
        counts[place] += lanes[place].admits(at_ns + 3 * NS_PER_SECOND)
    assert [count / 60 for count in counts] == pytest.approx(expected, rel=0.06, abs=0.15)


def test_no_limit_admits_all_and_zero_none() -> None:
    pace = Pace()
    lane = pace.lane()
    assert all(lane.admits(t) for t in range(100))
    assert lane.seconds_until_due(0) == 0
    pace.target_fps = 0
    assert sum(lane.admits(t * NS_PER_SECOND) for t in range(1, 600)) <= 1


def test_a_quicker_pace_counts_at_once() -> None:
    pace = Pace()
    lane = pace.lane()
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
