"""Throttling as episodes, the governor's policy, and both against a simulated board."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.heat import EpisodeTracker, Governor, GovernorPolicy
from appliance.heat.drift import BASELINE_WINDOWS, CONFIRMING_WINDOWS, DriftDetector
from appliance.heat.episodes import NS_PER_SECOND, Pace, describe
from appliance.simulation.plant import PI4
from appliance.simulation.run import Trace, simulate
from appliance.telemetry.throttle import CAUSES, ThrottleCollector

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from appliance.telemetry.readings import Cause

HOURS = 3600.0
POLICY = GovernorPolicy(min_fps=5.0, soft_celsius=80.0, hard_celsius=85.0)

# --- episodes


def live(word: int) -> set[str]:
    return {cause for bit, cause in enumerate(CAUSES) if word >> bit & 1}


def test_flag_patterns_begin_and_end_each_live_bit_once(tmp_path: Path) -> None:
    """The words of the firmware in sequence, read by the real collector."""
    firmware = tmp_path / "sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware"
    firmware.mkdir(parents=True)
    flags = firmware / "get_throttled"
    flags.write_text("0\n")
    collector, tracker = ThrottleCollector(tmp_path), EpisodeTracker()
    was: set[str] = set()
    remembered: set[str] = set()
    for number, word in enumerate(
        (0x0, 0x1, 0x2, 0x4, 0x8, 0x50000, 0x50005, 0xE0008, 0xF000F, 0x0)
    ):
        flags.write_text(f"{word:x}\n")
        reading = collector.collect()
        assert reading is not None
        transitions = tracker.poll(number * 10 * NS_PER_SECOND, reading.now, 70.0)
        now = live(word)
        assert {t.episode.cause for t in transitions if t.kind == "began"} == now - was
        assert {t.episode.cause for t in transitions if t.kind == "ended"} == was - now
        remembered |= now | live(word >> 16)
        assert set(reading.since_boot) == remembered
        was = now
    assert tracker.episodes_total == {
        "under_voltage": 3,
        "frequency_capped": 2,
        "throttled": 3,
        "soft_temperature_limit": 2,
    }


def test_an_episode_knows_what_it_cost() -> None:
    tracker = EpisodeTracker()
    seconds = 0

    def poll(causes: Collection[Cause] | None, celsius: float) -> list[str]:
        nonlocal seconds
        seconds += 10
        moved = tracker.poll(seconds * NS_PER_SECOND, causes, celsius)
        return [transition.kind for transition in moved]

    hot: tuple[Cause, ...] = ("soft_temperature_limit",)
    for _ in range(4):
        tracker.window(Pace(11.8, 80.0))
        assert poll((), 75.0) == []
    assert poll(hot, 80.5) == ["began"]
    for celsius in (81.0, 82.0, 81.5):
        tracker.window(Pace(7.1, 130.0))
        assert poll(hot, celsius) == []
    assert poll(None, 81.0) == []  # nothing could be read: nothing is concluded
    assert poll((), 78.0) == ["ended"]
    tracker.window(Pace(9.0, 100.0))  # half of this window was still throttled
    tracker.window(Pace(11.5, 82.0))
    (episode,) = tracker.recent
    assert episode.seconds == 50
    assert episode.peak_celsius == 82.0
    assert episode.before.fps == pytest.approx(11.8)
    assert episode.during.fps == pytest.approx(7.1)
    assert episode.after.fps == pytest.approx(11.5)
    assert episode.during.inference_ms == pytest.approx(130.0)
    assert tracker.seconds_total == {"soft_temperature_limit": pytest.approx(50.0)}
    assert describe(episode) == (
        "throttled 50 s (soft temperature limit), up to 82.0 °C, 11.8 \N{RIGHTWARDS ARROW} 7.1 FPS"
    )


def test_minutes_are_said_as_such() -> None:
    tracker = EpisodeTracker()
    causes: tuple[Cause, ...] = ("under_voltage",)
    tracker.poll(0, causes, None)
    (ended,) = tracker.poll(252 * NS_PER_SECOND, (), None)
    assert describe(ended.episode) == "throttled 4 min 12 s (under voltage)"


@given(st.lists(st.sets(st.sampled_from(CAUSES)), min_size=1, max_size=30))
def test_every_episode_that_ends_began(polls: list[set[Cause]]) -> None:
    tracker, open_ones = EpisodeTracker(), set[str]()
    for number, causes in enumerate(polls):
        for transition in tracker.poll(number * NS_PER_SECOND, causes, None):
            cause = transition.episode.cause
            if transition.kind == "began":
                assert cause not in open_ones
                open_ones.add(cause)
            else:
                open_ones.remove(cause)
        assert open_ones == causes == set(tracker.active)


# --- what is inferred


def test_slower_inferences_are_inferred_as_throttling() -> None:
    drift = DriftDetector()
    assert not any(drift.window("edgetpu", 15.0) for _ in range(BASELINE_WINDOWS))
    said = [drift.window("edgetpu", 24.0) for _ in range(CONFIRMING_WINDOWS)]
    assert said == [False, False, True]
    assert drift.window("edgetpu", 20.0)  # not yet as before
    assert [drift.window("edgetpu", 15.5) for _ in range(CONFIRMING_WINDOWS)][-1] is False
    assert not drift.window("cpu", 80.0)  # another accelerator begins anew


# --- the governor


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


# --- the simulated board


def both(folder: Path, ambient: float, capacity: float = PI4.capacity) -> tuple[Trace, Trace]:
    board = replace(PI4, capacity=capacity)
    alone = simulate(board, folder / "a", None, ambient=ambient, seconds=2 * HOURS)
    governor = Governor(POLICY)
    governed = simulate(board, folder / "b", governor, ambient=ambient, seconds=2 * HOURS)
    return alone, governed


@pytest.mark.parametrize("capacity", [3.0, 6.0, 12.0])
def test_governed_boards_are_steady_and_never_throttled(tmp_path: Path, capacity: float) -> None:
    """Two hours at 35 °C; the first half hour is for settling. For half and twice the assumed
    heat capacity too: the constants are not tuned to the result."""
    alone, governed = both(tmp_path, 35.0, capacity=capacity)
    settled, sawtooth = governed.after(1800), alone.after(1800)
    assert sum(settled.throttled) == 0
    assert np.std(sawtooth.fps) > 0.1, "the firmware alone should make a sawtooth of it"
    assert np.std(settled.fps) <= np.std(sawtooth.fps) / 3
    assert settled.p99_frame_seconds() < sawtooth.p99_frame_seconds()
    assert min(settled.fps) >= POLICY.min_fps
    for start in range(1800, 7200, 600):
        assert sum(start <= at < start + 600 for at, _ in governed.changes) <= 1


def test_with_hysteresis_the_firmware_does_not_hunt(tmp_path: Path) -> None:
    """The sawtooth is the assumption of docs/heat.md; this is the other one it names."""
    board = replace(PI4, hysteresis_celsius=3.0)
    alone = simulate(board, tmp_path, None, ambient=35.0, seconds=HOURS).after(1800)
    assert np.std(alone.fps) == pytest.approx(0, abs=0.01)
    assert np.mean(alone.fps) == pytest.approx(8.8, abs=0.1)


def test_a_cool_room_costs_nothing(tmp_path: Path) -> None:
    alone, governed = both(tmp_path, 10.0)
    assert np.mean(governed.fps) == pytest.approx(np.mean(alone.fps))
    assert not governed.changes


def test_the_product_counts_the_throttled_time_of_the_plant(tmp_path: Path) -> None:
    alone = simulate(PI4, tmp_path, None, ambient=40.0, seconds=2 * HOURS)
    assert alone.throttled_seconds == pytest.approx(sum(alone.throttled), rel=0.05)
