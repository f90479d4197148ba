"""Throttling as episodes: what began and ended, what it cost, and what is inferred of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.heat import EpisodeTracker
from appliance.heat.causes import Causes
from appliance.heat.drift import BASELINE_WINDOWS, CONFIRMING_WINDOWS, DriftDetector
from appliance.heat.episodes import NS_PER_SECOND, Episode, Rate, Transition, describe, mean_rate
from appliance.telemetry import Snapshot
from appliance.telemetry.throttle import CAUSES, ThrottleCollector

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from appliance.telemetry import Cause


def live(word: int) -> set[str]:
    return {cause for bit, cause in enumerate(CAUSES) if word >> bit & 1}


def test_flag_patterns_begin_and_end_each_live_bit_once(tmp_path: Path) -> None:
    """The words of the firmware in sequence, read by the real collector."""
    firmware = tmp_path / "sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware"
    firmware.mkdir(parents=True)
    flags = firmware / "get_throttled"
    flags.write_text("0\n")
    collector, tracker, causes = ThrottleCollector(tmp_path), EpisodeTracker(), Causes()
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
        assert set(reading.since_boot) == now | live(word >> 16)
        remembered |= now | live(word >> 16)
        seen = causes.remembered(Snapshot(readings={"throttle": reading}, collectors={}))
        assert set(seen.readings["throttle"].since_boot) == remembered
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
        tracker.window(Rate(11.8, 80.0))
        assert poll((), 75.0) == []
    assert poll(hot, 80.5) == ["began"]
    for celsius in (81.0, 82.0, 81.5):
        tracker.window(Rate(7.1, 130.0))
        assert poll(hot, celsius) == []
    assert poll(None, 81.0) == []  # nothing could be read: nothing is concluded
    assert poll((), 78.0) == ["ended"]
    tracker.window(Rate(9.0, 100.0))  # half of this window was still throttled
    tracker.window(Rate(11.5, 82.0))
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


HOT: Cause = "soft_temperature_limit"
WEAK: Cause = "under_voltage"


def at(seconds: float) -> int:
    return round(seconds * NS_PER_SECOND)


def kinds(transitions: list[Transition]) -> list[tuple[str, str]]:
    return [(one.kind, one.episode.cause) for one in transitions]


def test_what_ends_is_told_before_what_begins() -> None:
    tracker = EpisodeTracker()
    assert kinds(tracker.poll(at(1), (HOT,), 80.0)) == [("began", HOT)]
    assert kinds(tracker.poll(at(2), (WEAK,), 80.0)) == [("ended", HOT), ("began", WEAK)]
    assert tracker.active == (WEAK,)


def test_each_cause_has_its_own_times_and_counters() -> None:
    tracker = EpisodeTracker()
    tracker.poll(at(100), (HOT,), None)
    assert tracker.seconds_total == {HOT: 0.0}
    tracker.poll(at(110), (HOT, WEAK), None)
    tracker.poll(at(115), None, None)  # time goes on while nothing can be read
    tracker.poll(at(130), (WEAK,), None)
    tracker.poll(at(131.5), (HOT,), None)
    tracker.poll(at(132), (), None)
    assert tracker.seconds_total == pytest.approx({HOT: 30.5, WEAK: 21.5})
    assert tracker.episodes_total == {HOT: 2, WEAK: 1}
    assert [(one.cause, one.began_ns, one.ended_ns) for one in tracker.recent] == [
        (HOT, at(100), at(130)),
        (WEAK, at(110), at(131.5)),
        (HOT, at(131.5), at(132)),
    ]
    assert [one.seconds for one in tracker.recent] == [30, 21.5, 0.5]


def test_an_episode_that_lasts_has_no_length_yet() -> None:
    (began,) = EpisodeTracker().poll(0, (HOT,), 80.0)
    assert began.episode.seconds is None
    assert began.episode.ended_ns is None
    assert describe(began.episode) == "throttled (soft temperature limit), up to 80.0 °C"


@pytest.mark.parametrize(
    ("readings", "peak"),
    [
        ((80.0, 79.0, 78.0), 80.0),
        ((80.0, 83.5, 81.0), 83.5),
        ((None, 75.0, None), 75.0),
        ((70.0, None, None), 70.0),
        ((None, None, None), None),
    ],
)
def test_the_peak_is_the_hottest_reading(
    readings: tuple[float | None, ...], peak: float | None
) -> None:
    tracker = EpisodeTracker()
    for number, celsius in enumerate(readings):
        tracker.poll(at(number), (HOT,), celsius)
    tracker.poll(at(9), (), None)
    assert tracker.recent[0].peak_celsius == peak


def test_costs_are_held_against_the_last_three_windows() -> None:
    tracker = EpisodeTracker()
    for fps in (100.0, 10.0, 11.0, 12.0):
        tracker.window(Rate(fps, 50.0))
    (began,) = tracker.poll(0, (HOT,), None)
    assert began.episode.before == Rate(11.0, 50.0)


def test_only_the_windows_of_the_episode_count_as_during() -> None:
    tracker = EpisodeTracker()
    tracker.window(Rate(10.0, 50.0))
    tracker.poll(at(0), (HOT,), None)
    tracker.window(Rate(6.0, 80.0))
    tracker.window(Rate(None, None))  # nothing ran
    tracker.window(Rate(4.0, 100.0))
    (ended,) = tracker.poll(at(30), (), None)
    assert ended.episode.during == Rate(5.0, 90.0)
    assert ended.episode.before == Rate(10.0, 50.0)


def test_windows_of_an_episode_are_no_measure_for_the_next() -> None:
    tracker = EpisodeTracker()
    tracker.window(Rate(10.0, 50.0))
    tracker.poll(at(0), (HOT,), None)
    tracker.window(Rate(5.0, 90.0))
    tracker.poll(at(10), (), None)
    tracker.window(Rate(7.0, 70.0))  # half of it was throttled
    (began,) = tracker.poll(at(20), (HOT,), None)
    assert began.episode.before == Rate(10.0, 50.0)


def test_what_came_after_is_the_first_whole_window() -> None:
    tracker = EpisodeTracker()
    tracker.poll(at(0), (HOT,), None)
    tracker.poll(at(10), (), None)
    tracker.window(Rate(7.0, 70.0))
    assert tracker.recent[0].after == Rate()
    tracker.window(Rate(None, None))
    tracker.window(Rate(11.0, 52.0))
    tracker.window(Rate(12.0, 51.0))
    assert tracker.recent[0].after == Rate(11.0, 52.0)
    (began,) = tracker.poll(at(50), (HOT,), None)
    assert began.episode.before == Rate(11.5, 51.5)


def test_while_another_cause_lasts_nothing_came_after() -> None:
    tracker = EpisodeTracker()
    tracker.poll(at(0), (HOT, WEAK), None)
    tracker.poll(at(10), (WEAK,), None)
    for _ in range(3):
        tracker.window(Rate(5.0, 90.0))
    assert tracker.recent[0].after == Rate()
    tracker.poll(at(40), (), None)
    tracker.window(Rate(6.0, 80.0))
    tracker.window(Rate(10.0, 50.0))
    assert [one.after.fps for one in tracker.recent] == [10.0, 10.0]
    assert [one.cause for one in tracker.recent] == [HOT, WEAK]  # oldest first


def test_the_last_twenty_are_remembered() -> None:
    tracker = EpisodeTracker()
    for number in range(25):
        tracker.poll(at(2 * number), (HOT,), None)
        tracker.poll(at(2 * number + 1), (), None)
    assert [one.began_ns for one in tracker.recent] == [at(2 * n) for n in range(5, 25)]


def test_the_mean_leaves_out_where_nothing_ran() -> None:
    assert mean_rate(()) == Rate(None, None)
    assert mean_rate((Rate(None, None),)) == Rate(None, None)
    assert mean_rate((Rate(10, None), Rate(None, 8.0), Rate(5, 2.0))) == Rate(7.5, 5.0)


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7200, "120 min 0 s")],
)
def test_lengths_are_said_in_minutes_and_seconds(seconds: float, says: str) -> None:
    episode = Episode(WEAK, at(5), at(5 + seconds))
    assert describe(episode) == f"throttled {says} (under voltage)"


@pytest.mark.parametrize(
    ("before", "during", "said"), [(10.0, 5.0, True), (None, 5.0, False), (10.0, None, False)]
)
def test_costs_are_said_where_both_sides_are_known(
    before: float | None, during: float | None, *, said: bool
) -> None:
    episode = Episode(WEAK, 0, at(1), before=Rate(before), during=Rate(during))
    assert describe(episode).endswith(" 5.0 FPS") is said


# --- what is inferred


def test_slower_inferences_are_inferred_as_throttling() -> None:
    drift = DriftDetector()
    assert not any(drift.window("edgetpu", 15.0) for _ in range(BASELINE_WINDOWS))
    said = [drift.window("edgetpu", 24.0) for _ in range(CONFIRMING_WINDOWS)]
    assert said == [False, False, True]
    assert drift.window("edgetpu", 20.0)  # not yet as before
    assert [drift.window("edgetpu", 15.5) for _ in range(CONFIRMING_WINDOWS)][-1] is False
    assert not drift.window("cpu", 80.0)  # another accelerator begins anew


def test_nothing_is_inferred_before_anything_ran() -> None:
    assert DriftDetector().inferred is False


def settled(baseline_ms: float = 10.0) -> DriftDetector:
    """A detector that knows its baseline."""
    drift = DriftDetector()
    for _ in range(BASELINE_WINDOWS):
        assert drift.window("it", baseline_ms) is False
    return drift


@pytest.mark.parametrize(("inference_ms", "inferred"), [(13.0, False), (13.1, True), (40.0, True)])
def test_a_third_slower_is_where_it_begins(inference_ms: float, *, inferred: bool) -> None:
    drift = settled()
    assert [drift.window("it", inference_ms) for _ in range(5)][-1] is inferred
    assert drift.inferred is inferred


def test_one_quick_window_among_slow_ones_is_no_slowing_down() -> None:
    drift = settled()
    assert not any(drift.window("it", ms) for ms in (20, 20, 10, 20, 20, 10))
    assert [drift.window("it", 20.0) for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(("inference_ms", "over"), [(11.4, True), (11.5, False), (12.9, False)])
def test_it_ends_when_nearly_as_quick_as_before(inference_ms: float, *, over: bool) -> None:
    drift = settled()
    for _ in range(3):
        drift.window("it", 20.0)
    said = [drift.window("it", inference_ms) for _ in range(4)]
    assert said == ([True, True, False, False] if over else [True] * 4)


def test_one_slow_window_keeps_it_on() -> None:
    drift = settled()
    for _ in range(3):
        drift.window("it", 20.0)
    assert all(drift.window("it", ms) for ms in (10, 20, 10, 10, 20, 10))


def test_the_baseline_is_the_median_of_the_first_windows() -> None:
    drift = DriftDetector()
    for inference_ms in (500.0, 10.0, 10.0, 10.0, 10.0, 500.0):  # it was still warming up
        assert not drift.window("it", inference_ms)
    assert [drift.window("it", 14.0) for _ in range(3)] == [False, False, True]


def test_windows_in_which_nothing_ran_count_for_nothing() -> None:
    drift = DriftDetector()
    for _ in range(10):
        assert drift.window("it", None) is False
    for _ in range(BASELINE_WINDOWS):
        drift.window("it", 10.0)
    assert [drift.window("it", ms) for ms in (20, None, 20, None, 20, None)] == [
        False, False, False, False, True, True,
    ]  # fmt: skip


def test_what_ran_before_says_nothing_of_what_runs_now() -> None:
    drift = settled()
    for _ in range(3):
        drift.window("it", 20.0)
    assert drift.window("another", None) is False
    assert not any(drift.window("another", 100.0) for _ in range(BASELINE_WINDOWS))
    drift.window("another", 150.0)
    drift.window("another", 150.0)
    assert not any(drift.window("it", 10.0) for _ in range(BASELINE_WINDOWS))
    assert [drift.window("it", 20.0) for _ in range(3)] == [False, False, True]
