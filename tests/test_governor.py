"""The governor's rules, one by one; its behaviour on a board is in test_heat."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.heat import Governor, GovernorPolicy
from appliance.heat.governor import NS_PER_SECOND

if TYPE_CHECKING:
    from appliance.heat import Action

POLICY = GovernorPolicy(min_fps=5.0, soft_celsius=80.0, hard_celsius=85.0)
EASE, RESTORE = 77.0, 72.0
"""Degrees from which on this policy eases, and below which it restores."""


def drive(governor: Governor, readings: list[tuple[float, float, float]]) -> list[str]:
    """Feed (seconds, °C, FPS); return what it did."""
    done = []
    for seconds, celsius, fps in readings:
        action = governor.poll(round(seconds * NS_PER_SECOND), celsius, fps)
        if action:
            done.append(f"{action.mode} {action.target_fps}")
    return done


def test_cool_boards_are_left_alone() -> None:
    governor = Governor(POLICY)
    assert drive(governor, [(t, 60.0, 12.0) for t in range(0, 3600, 10)]) == []


def test_it_eases_before_the_limit_by_the_slope() -> None:
    governor = Governor(POLICY)
    done = drive(governor, [(t, 60.0 + t * 0.3, 12.0) for t in range(0, 60, 10)])
    assert done == ["eased 9.6"]  # at 72 °C: 81 were expected in half a minute


def test_one_change_in_thirty_seconds() -> None:
    governor = Governor(POLICY)
    times = [t for t in range(0, 600, 5) if governor.poll(t * NS_PER_SECOND, 81.0, 12.0)]
    assert len(times) > 1
    assert all(later - earlier >= 30 for earlier, later in itertools.pairwise(times))


def test_the_floor_is_held_and_then_it_pauses_only_when_too_hot() -> None:
    governor = Governor(POLICY)
    drive(governor, [(t, 82.0, 6.0) for t in range(0, 300, 10)])
    assert (governor.mode, governor.target_fps) == ("minimum", 5.0)
    drive(governor, [(t, 84.9, 5.0) for t in range(300, 600, 10)])
    assert governor.mode == "minimum"
    assert drive(governor, [(t, 86.0, 5.0) for t in range(600, 660, 10)]) == ["paused 0.0"]
    assert drive(governor, [(t, 71.0, 0.0) for t in range(660, 760, 10)])[0] == "minimum 5.0"


def test_a_pause_ends_below_the_hard_limit_not_below_what_idling_gives() -> None:
    """A 3B+ is slowed from 60 °C on and idles above 52: it must not stay paused there."""
    governor = Governor(GovernorPolicy(min_fps=5.0, soft_celsius=60.0, hard_celsius=85.0))
    drive(governor, [(t, 86.0, 6.0) for t in range(0, 300, 10)])
    assert governor.mode == "paused"
    assert drive(governor, [(t, 70.0, 0.0) for t in range(300, 340, 10)]) == ["minimum 5.0"]


def test_a_warm_quarter_of_an_hour_is_forgotten_when_the_room_is_cool() -> None:
    governor = Governor(POLICY)
    assert drive(governor, [(t, 79.0, 12.0) for t in range(0, 900, 10)])
    drive(governor, [(t, 55.0, 6.0) for t in range(900, 2400, 10)])
    assert governor.mode == "full"


def test_a_jump_between_two_readings_is_no_slope() -> None:
    governor = Governor(POLICY)
    assert drive(governor, [(0, 55.5, 12.0), (10, 68.0, 12.0), (20, 69.0, 12.0)]) == []


def test_no_temperature_changes_nothing() -> None:
    governor = Governor(POLICY)
    assert governor.poll(NS_PER_SECOND, None, 12.0) is None


def test_a_pause_ends_when_its_thermometer_is_gone() -> None:
    """Nobody could ever say that it is cool again: the firmware has the board until then."""
    governor = Governor(POLICY)
    drive(governor, [(t, 86.0, 6.0) for t in range(0, 300, 10)])
    assert governor.mode == "paused"
    actions = [governor.poll(t * NS_PER_SECOND, None, None) for t in range(300, 3600, 10)]
    (action,) = [one for one in actions if one]
    assert (action.mode, action.target_fps) == ("minimum", 5.0)
    assert action.reason == "no temperature is told any more"
    assert actions.index(action) <= 3  # one change in thirty seconds
    restored = drive(governor, [(t, 55.0, 5.0) for t in range(3600, 7200, 10)])
    assert restored[-1] == "full None"


@given(st.lists(st.floats(20, 100), min_size=1, max_size=200), st.floats(0.1, 30))
def test_no_target_is_below_the_floor(temperatures: list[float], fps: float) -> None:
    governor = Governor(POLICY)
    for number, celsius in enumerate(temperatures):
        action = governor.poll(number * 10 * NS_PER_SECOND, celsius, fps)
        if action and action.mode != "paused" and action.target_fps is not None:
            assert action.target_fps >= POLICY.min_fps


class Bench:
    """A governor and its time: one reading every ten seconds, as the telemetry takes them."""

    def __init__(self, policy: GovernorPolicy = POLICY) -> None:
        self.governor = Governor(policy)
        self.seconds = 0
        self.fps: float | None = 12.0

    def read(self, celsius: float | None) -> Action | None:
        self.seconds += 10
        return self.governor.poll(self.seconds * NS_PER_SECOND, celsius, self.fps)

    def hold(self, celsius: float, seconds: int) -> list[Action]:
        """Read the same temperature for so long; return what was done."""
        read = (self.read(celsius) for _ in range(0, seconds, 10))
        return [action for action in read if action]

    def targets(self, celsius: float, seconds: int) -> list[float | None]:
        return [action.target_fps for action in self.hold(celsius, seconds)]


def eased(celsius: float = 78.0, *, times: int = 1) -> Bench:
    """A governor that eased a camera of 12 FPS so many times, the slope being flat again."""
    bench = Bench()
    while times:
        times -= bool(bench.read(celsius))
    return bench


def test_the_first_step_is_a_fifth_and_later_ones_an_eighth() -> None:
    bench = Bench()
    assert bench.targets(78.0, 150) == [9.6, 8.45, 7.44, 6.55, 5.76]
    assert bench.governor.mode == "eased"


def test_an_action_says_what_led_to_it() -> None:
    bench = Bench()
    (first,) = bench.hold(78.04, 10)
    assert first.mode == "eased"
    assert first.fps_before == 12.0
    assert first.single_worker is False
    assert first.reason == "78.0 °C, +0.0 °C/min; the processor is slowed from 80 °C on"
    bench.fps = 9.5
    (second,) = bench.hold(78.04, 30)
    assert second.fps_before == 9.5
    assert second.target_fps == pytest.approx(9.6 * 0.88, abs=0.005)  # of the target, not the rate


def test_the_reason_tells_how_fast_it_warms() -> None:
    bench = Bench()
    actions = [bench.read(60.0 + 0.3 * seconds) for seconds in range(0, 60, 10)]
    reasons = [action.reason for action in actions if action]
    assert reasons == ["72.0 °C, +18.0 °C/min; the processor is slowed from 80 °C on"]


@pytest.mark.parametrize(("celsius", "acts"), [(76.9, False), (77.0, True)])
def test_it_eases_from_three_degrees_below_the_limit_on(celsius: float, *, acts: bool) -> None:
    assert bool(Bench().hold(celsius, 60)) is acts


@pytest.mark.parametrize(("per_minute", "acts"), [(9.0, False), (11.0, True)])
def test_it_eases_when_the_limit_is_half_a_minute_ahead(per_minute: float, *, acts: bool) -> None:
    """At 75 °C, five degrees below the limit, ten degrees a minute are too fast."""
    bench = Bench()
    temperatures = [75.0 - per_minute * back / 60 for back in range(50, -10, -10)]
    actions = [bench.read(celsius) for celsius in temperatures]
    assert bool(actions[-1]) is acts
    assert not any(actions[:-1])


def test_the_slope_is_that_of_the_last_minute() -> None:
    governor = Governor(POLICY)
    for seconds in range(0, 600, 10):
        governor.poll(seconds * NS_PER_SECOND, 40.0, 12.0)
    for seconds in range(600, 670, 10):  # a minute in which each reading is half a degree warmer
        governor.poll(seconds * NS_PER_SECOND, 40.0 + 0.05 * (seconds - 600), 12.0)
    assert governor.slope == pytest.approx(0.05)


def test_a_reading_that_is_a_minute_old_still_counts() -> None:
    governor = Governor(POLICY)
    for seconds, celsius in ((0, 20.0), (30, 30.0), (60, 70.0)):
        governor.poll(seconds * NS_PER_SECOND, celsius, 12.0)
    assert governor.slope == pytest.approx(50 / 60)
    governor.poll(61 * NS_PER_SECOND, 70.0, 12.0)
    assert governor.slope == pytest.approx(41.33 / 31, rel=0.05)


@pytest.mark.parametrize(
    ("seconds", "known"), [((0, 20), False), ((0, 15, 29), False), ((0, 15, 30), True)]
)
def test_a_slope_needs_three_readings_and_half_a_minute(
    seconds: tuple[int, ...], *, known: bool
) -> None:
    governor = Governor(POLICY)
    for at in seconds:
        governor.poll(at * NS_PER_SECOND, 40.0 + at, 12.0)
    assert governor.slope == (pytest.approx(1.0) if known else 0.0)


def test_a_slope_of_two_far_readings_is_unknown() -> None:
    governor = Governor(POLICY)
    governor.poll(0, 40.0, 12.0)
    governor.poll(45 * NS_PER_SECOND, 85.0, 12.0)
    assert governor.slope == 0.0


def test_a_change_is_given_half_a_minute_exactly() -> None:
    bench = Bench()
    assert [bool(bench.read(78.0)) for _ in range(7)] == [
        True, False, False, True, False, False, True,
    ]  # fmt: skip


def test_while_it_cools_by_itself_nothing_more_is_taken() -> None:
    """The last change has not done all it will."""
    bench = eased(80.0)
    celsius = 80.0
    while celsius > EASE:  # a degree a minute
        celsius -= 1 / 6
        assert bench.read(celsius) is None
    assert bench.seconds > 120


def test_what_cools_too_slowly_is_eased_again() -> None:
    bench = eased(80.0)
    celsius, actions = 80.0, []
    for _ in range(12):  # 0.3 degrees a minute
        celsius -= 0.05
        actions.append(bench.read(celsius))
    assert any(actions)


def test_at_full_speed_cooling_is_no_excuse() -> None:
    bench = Bench()
    assert not bench.hold(50.0, 60)  # slope known
    bench.fps = 0.0  # nothing runs, so nothing is eased
    assert not any(bench.read(84.0 - step / 2) for step in range(10))
    bench.fps = 12.0
    assert bench.governor.slope < -0.04
    assert bench.read(79.0)


def test_below_the_floor_only_the_floor_is_left() -> None:
    bench = eased(times=6)
    assert bench.governor.target_fps == 5.07
    (action,) = bench.hold(78.0, 30)
    assert (action.mode, action.target_fps, action.single_worker) == ("minimum", 5.0, True)
    assert "slowed from 80 °C on" in action.reason
    assert action.fps_before == 12.0
    assert bench.hold(84.9, 300) == []


@pytest.mark.parametrize(("fps", "mode"), [(6.25, "minimum"), (6.26, "eased")])
def test_a_step_to_the_floor_is_a_step_to_one_worker(fps: float, mode: str) -> None:
    bench = Bench()
    bench.fps = fps
    (action,) = bench.hold(78.0, 10)
    assert action.mode == mode


def test_a_pause_needs_the_hard_limit_at_the_floor() -> None:
    bench = eased(times=7)
    bench.fps = 4.8
    assert bench.governor.mode == "minimum"
    (action,) = bench.hold(85.0, 30)
    assert (action.mode, action.target_fps, action.single_worker) == ("paused", 0.0, True)
    assert action.reason == "85.0 °C at the lowest rate"
    assert action.fps_before == 4.8
    assert bench.hold(77.0, 300) == []
    (back,) = bench.hold(76.9, 30)
    assert (back.mode, back.target_fps, back.single_worker) == ("minimum", 5.0, True)
    assert back.reason == "cooled down"
    assert back.fps_before == 4.8


def test_a_pause_without_a_thermometer_ends_at_the_floor_with_what_led_to_it() -> None:
    bench = eased(times=7)
    assert bench.hold(86.0, 30)[0].mode == "paused"
    bench.fps = 0.5
    actions = [bench.read(None) for _ in range(6)]
    assert [(one.mode, one.fps_before) for one in actions if one] == [("minimum", 0.5)]


def test_eased_alone_is_never_paused() -> None:
    bench = eased()
    assert bench.hold(90.0, 30)[0].mode == "eased"


def test_nothing_that_runs_is_nothing_to_ease() -> None:
    bench = Bench()
    bench.fps = None
    assert bench.hold(79.0, 60) == []
    bench.fps = 0.0
    assert bench.hold(79.0, 60) == []
    bench.fps = 0.3
    assert [one.mode for one in bench.hold(79.0, 10)] == ["minimum"]


def test_a_rate_that_is_not_known_now_is_the_last_one_at_full_speed() -> None:
    bench = Bench()
    bench.hold(60.0, 60)
    bench.fps = None
    assert bench.targets(78.0, 10) == [9.6]


def test_no_temperature_leaves_the_last_change_as_it_is() -> None:
    bench = eased()
    assert [bench.read(None) for _ in range(60)] == [None] * 60
    assert (bench.governor.mode, bench.governor.target_fps) == ("eased", 9.6)


def test_it_restores_in_small_steps_below_the_temperature_for_that() -> None:
    bench = eased(times=4)
    assert bench.governor.target_fps == 6.55
    bench.hold(75.0, 120)
    assert bench.hold(72.0, 300) == []
    (action,) = bench.hold(71.9, 30)
    assert (action.mode, action.target_fps, action.single_worker) == ("eased", 6.88, False)
    assert action.reason.endswith("°C/min: room for more")
    assert action.reason.startswith("71.9 °C, -0.")
    assert action.fps_before == 12.0


def test_the_reason_of_restoring_tells_how_fast_it_cools() -> None:
    bench = eased(times=4)
    actions = [bench.read(78.0 - step) for step in range(8)]  # six degrees a minute
    assert [one.reason for one in actions if one] == ["71.0 °C, -6.0 °C/min: room for more"]


@pytest.mark.parametrize(("step", "acts"), [(1.7, True), (1.8, False)])
def test_it_does_not_restore_into_a_rise(step: float, *, acts: bool) -> None:
    """At 71.8 °C, eleven degrees a minute reach in half a minute what is eased."""
    bench = eased(times=4)
    while not bench.read(71.8 - 6 * step):
        continue
    done = [bench.read(71.8 - step * left) for left in range(5, -1, -1)]
    assert bool(done[-1]) is acts


def test_what_was_too_warm_is_not_tried_again_for_ten_minutes() -> None:
    bench = eased(times=3)  # 12, 9.6 and 8.45 were too warm; 7.44 now
    assert bench.targets(71.0, 590) == [7.81, 8.2]
    assert bench.targets(71.0, 30) == [8.61]


def test_the_lowest_rate_that_was_too_warm_counts() -> None:
    bench = eased(times=2)  # first 12, then 9.6; 8.45 now
    assert bench.targets(71.0, 500) == [8.87, 9.31]


def test_after_each_attempt_that_failed_it_waits_twice_as_long_up_to_an_hour() -> None:
    bench = eased(times=2)
    too_warm, since, waits = 9.6, bench.seconds, []
    for _ in range(5):
        while (bench.governor.target_fps or 0.0) < too_warm:
            bench.read(71.0)
        waits.append(bench.seconds - since)
        too_warm = bench.governor.target_fps or 0.0
        while not bench.read(78.0):
            continue
        since = bench.seconds
    assert waits == [600, 1200, 2400, 3600, 3600]


def test_one_attempt_that_failed_counts_once_however_far_down_it_leads() -> None:
    bench = eased(times=2)
    while (bench.governor.target_fps or 0.0) < 9.6:
        bench.read(71.0)
    assert len(bench.hold(78.0, 100)) == 3
    since, too_warm = bench.seconds, bench.governor.target_fps or 0.0
    while (bench.governor.target_fps or 0.0) < too_warm * 1.14:
        bench.read(71.0)
    assert 1000 <= bench.seconds - since <= 1300


def test_advice_is_no_attempt_that_failed() -> None:
    bench = eased()
    bench.governor.withdraw()
    bench.hold(60.0, 60)
    bench.hold(78.0, 40)
    assert bench.governor.target_fps is not None
    since, target = bench.seconds, bench.governor.target_fps
    while (bench.governor.target_fps or 99.0) < target * 1.3:
        bench.read(71.0)
    assert bench.seconds - since <= 900


def test_far_below_the_room_has_changed() -> None:
    warm, cold = eased(times=3), eased(times=3)
    warm.hold(62.0, 400)
    cold.hold(61.9, 400)
    assert warm.governor.mode == "eased"
    assert cold.governor.mode == "full"


def test_full_speed_is_what_the_cameras_gave_before() -> None:
    bench = eased(times=1)
    bench.fps = 9.6
    actions = bench.hold(60.0, 300)
    assert [one.target_fps for one in actions] == [10.08, 10.58, 11.11, 11.67, None]
    assert actions[-1].mode == "full"
    assert actions[-1].single_worker is False
    assert actions[-1].fps_before == 9.6
    assert actions[-1].reason.startswith("60.0 °C")
    assert bench.governor.target_fps is None


def test_from_the_floor_it_restores_from_the_floor() -> None:
    bench = eased(times=7)
    assert bench.governor.mode == "minimum"
    assert bench.targets(60.0, 30)[:1] == [5.25]


def test_advice_that_nobody_followed_is_forgotten() -> None:
    bench = eased()
    bench.governor.withdraw()
    assert (bench.governor.mode, bench.governor.target_fps) == ("full", None)
    bench.fps = 20.0
    assert bench.targets(78.0, 40) == [16.0]


def test_the_margins_are_the_owners() -> None:
    policy = GovernorPolicy(
        5.0, 80.0, 85.0, ease_margin=1.0, restore_margin=20.0, change_seconds=60.0
    )
    assert (policy.ease_celsius, policy.restore_celsius) == (79.0, 60.0)
    bench = Bench(policy)
    assert bench.hold(78.9, 60) == []
    assert len(bench.hold(79.0, 180)) == 3
    assert bench.hold(60.0, 300) == []
    assert bench.hold(59.9, 60)
