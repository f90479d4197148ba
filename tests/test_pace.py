"""The governor's pace: frames beyond it are dropped and booked, sources that can wait do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import NS_PER_SECOND
from appliance.pipeline.pace import LanePace, Pace
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
    assert not any(lane.admits(t * NS_PER_SECOND) for t in range(1, 7200))


def test_a_quicker_pace_counts_at_once() -> None:
    pace = Pace()
    lane = pace.lane()
    pace.target_fps = 0.1
    assert lane.admits(0)
    assert not lane.admits(2 * NS_PER_SECOND)
    assert lane.seconds_until_due(2 * NS_PER_SECOND) == pytest.approx(8)
    pace.target_fps = 1
    assert lane.admits(2 * NS_PER_SECOND)


def pace_of(target: float | None, *rates: float, seconds: int = 5) -> tuple[Pace, list[LanePace]]:
    """A pace and lanes at which frames have arrived at these rates; it is ``seconds`` now."""
    pace = Pace()
    lanes = [pace.lane() for _ in rates]
    for lane, rate in zip(lanes, rates, strict=True):
        for number in range(round(rate * seconds) + 1):
            lane.admits(round(number * NS_PER_SECOND / rate))
    pace.target_fps = target
    return pace, lanes


def test_the_rate_of_a_camera_is_that_of_its_arrivals() -> None:
    _, (lane,) = pace_of(None, 20.0)
    assert lane.rate(5 * NS_PER_SECOND) == pytest.approx(20)
    assert lane.rate(7 * NS_PER_SECOND) == pytest.approx(20)  # two seconds without a frame
    assert lane.rate(7 * NS_PER_SECOND + 1) == 0


def test_a_rate_that_is_not_known_yet_may_be_any() -> None:
    lane = Pace().lane()
    assert lane.rate(0) == float("inf")
    lane.admits(0)
    assert lane.rate(1) == float("inf")
    lane.admits(NS_PER_SECOND // 4)
    assert lane.rate(NS_PER_SECOND) == 4
    lane.admits(NS_PER_SECOND // 2 + NS_PER_SECOND // 4)  # half a second: a fifth of it counts
    assert lane.rate(NS_PER_SECOND) == pytest.approx(1 / 0.3)


@pytest.mark.parametrize(
    ("target", "rates", "shares"),
    [
        (9.0, (20.0,), (9.0,)),
        (9.0, (20.0, 20.0, 20.0), (3.0, 3.0, 3.0)),
        (9.0, (20.0, 1.0), (8.0, 4.5)),  # the slow one may have half, and takes one
        (12.0, (1.0, 20.0, 5.0), (4.0, 6.0, 5.5)),
        (12.0, (1.0, 2.0, 20.0), (4.0, 5.5, 9.0)),
        (None, (20.0, 5.0), (0.0, 0.0)),
    ],
)
def test_what_slow_cameras_leave_is_shared_by_the_others(
    target: float | None, rates: tuple[float, ...], shares: tuple[float, ...]
) -> None:
    pace, lanes = pace_of(target, *rates)
    now_ns = 5 * NS_PER_SECOND
    assert [pace.share(lane, now_ns) for lane in lanes] == pytest.approx(shares)


def test_among_equals_each_gets_the_same() -> None:
    """One that is asked for is not the last of those that are as fast as it."""
    pace = Pace()
    lanes = [pace.lane() for _ in range(3)]
    pace.target_fps = 9.0
    assert [pace.share(lane, 0) for lane in lanes] == [3.0, 3.0, 3.0]


def admitted(lane: LanePace, *milliseconds: float) -> list[bool]:
    return [lane.admits(round(one * NS_PER_SECOND / 1000)) for one in milliseconds]


def test_late_frames_do_not_slow_the_average() -> None:
    """Due each second; a frame that comes late leaves less until the next."""
    pace = Pace()
    pace.target_fps = 1.0
    lane = pace.lane()
    assert admitted(lane, 10_000, 11_400, 11_990, 12_000) == [True, True, False, True]


def test_what_was_missed_by_more_than_a_turn_is_not_made_up_for() -> None:
    pace = Pace()
    pace.target_fps = 1.0
    lane = pace.lane()
    assert admitted(lane, 10_000, 15_000, 15_900, 16_000) == [True, True, False, True]
    assert admitted(lane, 18_000, 18_900, 19_000) == [True, False, True]  # a turn exactly


def test_a_frame_that_is_due_now_is_admitted() -> None:
    pace = Pace()
    pace.target_fps = 4.0
    lane = pace.lane()
    assert admitted(lane, 1000, 1249.999, 1250, 1499.999, 1500) == [
        True, False, True, False, True,
    ]  # fmt: skip


def test_a_source_that_can_wait_is_told_for_how_long() -> None:
    pace = Pace()
    lane = pace.lane()
    pace.target_fps = 4.0
    lane.admits(8 * NS_PER_SECOND)
    assert lane.seconds_until_due(8 * NS_PER_SECOND) == pytest.approx(0.25)
    assert lane.seconds_until_due(8 * NS_PER_SECOND + NS_PER_SECOND // 5) == pytest.approx(0.05)
    assert lane.seconds_until_due(9 * NS_PER_SECOND) == 0
    pace.target_fps = 8.0
    assert lane.seconds_until_due(8 * NS_PER_SECOND) == pytest.approx(0.125)
    pace.target_fps = 0.0
    assert lane.seconds_until_due(9 * NS_PER_SECOND) == 3600  # also one that was due before
    pace.target_fps = None
    assert lane.seconds_until_due(9 * NS_PER_SECOND) == 0


def test_a_pace_next_to_nothing_is_still_a_pace() -> None:
    pace = Pace()
    pace.target_fps = 1e-9
    lane = pace.lane()
    assert lane.admits(0)
    assert lane.seconds_until_due(0) == 1000
    assert not lane.admits(999 * NS_PER_SECOND)
    assert lane.admits(1000 * NS_PER_SECOND)


def test_workers_rest_until_told_and_it_is_noted_once() -> None:
    pace = Pace()
    assert not pace.took_rest()
    assert all(pace.may_work(worker, 0) for worker in range(3))
    pace.rest(100)
    assert [pace.may_work(0, now_ns) for now_ns in (99, 100)] == [False, True]
    assert [pace.took_rest(), pace.took_rest()] == [True, False]


def test_a_single_worker_is_the_first() -> None:
    pace = Pace()
    assert not pace.single_worker
    pace.single_worker = True
    assert [pace.may_work(worker, 5) for worker in range(3)] == [True, False, False]
    pace.rest(6)
    assert not pace.may_work(0, 5)


@pytest.mark.parametrize(
    ("target", "paused", "period"),
    [(None, False, 0.0), (4.0, False, 0.25), (0.0, True, 3600.0)],
)
def test_a_pace_of_nothing_is_a_pause(target: float | None, *, paused: bool, period: float) -> None:
    pace = Pace()
    pace.target_fps = target
    assert pace.paused is paused
    assert pace.lane().period_seconds(0) == period


def test_whether_workers_rest_now() -> None:
    pace = Pace()
    assert not pace.resting(0)
    pace.rest(100)
    assert [pace.resting(now_ns) for now_ns in (0, 99, 100)] == [True, True, False]


def test_what_the_governor_drops_is_booked() -> None:
    scene = stage(frames=40)
    scene.pace.target_fps = 5.0  # the camera gives 20
    while scene.step():
        pass
    counts = scene.lane.ledger.counts()
    assert counts.captured == 40
    assert counts.dropped["governed"] == pytest.approx(30, abs=2)
    assert counts.conserved
