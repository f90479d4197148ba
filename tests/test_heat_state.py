"""The one way to look at heat, driven by hand: what it keeps of windows, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.heat import Transition
from appliance.heat.drift import BASELINE_WINDOWS, CONFIRMING_WINDOWS
from appliance.heat.watch import HeatPolicy, HeatState, Work
from appliance.telemetry import CollectorStatus, Snapshot
from appliance.telemetry.thermal import Thermal
from appliance.telemetry.throttle import Throttle

STEP_NS = 10_000_000_000


def board(*now: Any, celsius: float = 60.0, tells: bool = True, fails: bool = False) -> Snapshot:
    readings: dict[str, Any] = {
        "thermal": Thermal(
            temperature_celsius=celsius, zones_celsius={}, limits_celsius={"soft": 80.0}
        )
    }
    if tells:
        readings["throttle"] = Throttle(now=now, since_boot=now, source="sysfs")
    status = CollectorStatus(success=not fails, duration_ms=0.1)
    return Snapshot(readings=readings, collectors={"throttle": status})


class Driver:
    """A state, and the time."""

    def __init__(self) -> None:
        self.state = HeatState(HeatPolicy("off", min_fps=5.0))
        self._now_ns = 0

    def step(self, work: Work, snapshot: Snapshot) -> list[Transition]:
        self._now_ns += STEP_NS
        self.state.window(work)
        found = self.state.poll(self._now_ns, snapshot)
        assert all(isinstance(one, Transition) for one in found)
        return [one for one in found if isinstance(one, Transition)]


def test_an_episode_keeps_what_ran_before_in_and_the_heat_of_it() -> None:
    driver = Driver()
    for _ in range(6):
        assert driver.step(Work(fps=12.0, inference_ms=50.0), board()) == []
    (began,) = driver.step(Work(fps=12.0, inference_ms=50.0), board("throttled", celsius=82.0))
    assert (began.kind, began.episode.cause) == ("began", "throttled")
    for celsius in (84.5, 83.0):
        driver.step(Work(fps=7.0, inference_ms=90.0), board("throttled", celsius=celsius))
    (ended,) = driver.step(Work(fps=7.0, inference_ms=90.0), board(celsius=70.0))
    episode = ended.episode
    assert (episode.before.fps, episode.before.inference_ms) == (12.0, 50.0)
    assert episode.during.fps is not None
    assert 7.0 <= episode.during.fps < 12.0
    assert episode.during.inference_ms is not None
    assert 50.0 < episode.during.inference_ms <= 90.0
    assert episode.peak_celsius == 84.5


@pytest.mark.parametrize(
    ("snapshot", "throttled"),
    [
        (board(), False),
        (board("throttled"), True),
        (board(tells=False), None),
        (board("throttled", fails=True), None),
    ],
)
def test_it_says_yes_no_or_that_it_is_not_known(
    snapshot: Snapshot, *, throttled: bool | None
) -> None:
    driver = Driver()
    driver.step(Work(fps=12.0), snapshot)
    assert driver.state.throttled is throttled
    assert driver.state.celsius == 60.0


def slow_down(driver: Driver, *, contended: bool, snapshot: Snapshot) -> list[Transition]:
    """Let inferences take three times as long as they did."""
    for _ in range(BASELINE_WINDOWS):
        driver.step(Work(fps=12.0, inference_ms=50.0, subject="cpu"), snapshot)
    found = []
    for _ in range(CONFIRMING_WINDOWS + 2):
        work = Work(fps=4.0, inference_ms=150.0, subject="cpu", contended=contended)
        found += driver.step(work, snapshot)
    return found


def test_slowing_down_is_inferred_and_ends_where_nothing_is_told() -> None:
    driver, silent = Driver(), board(tells=False)
    (began,) = slow_down(driver, contended=False, snapshot=silent)
    assert began.episode.cause == "inferred"
    found = []
    for _ in range(CONFIRMING_WINDOWS + 2):
        found += driver.step(Work(fps=12.0, inference_ms=50.0, subject="cpu"), silent)
    assert [(one.kind, one.episode.cause) for one in found] == [("ended", "inferred")]


def test_what_other_programs_take_is_no_slowing_down() -> None:
    assert slow_down(Driver(), contended=True, snapshot=board(tells=False)) == []


def test_a_cause_stays_while_what_told_it_cannot_be_read() -> None:
    driver = Driver()
    driver.step(Work(fps=12.0), board("throttled"))
    assert driver.step(Work(fps=12.0), board(fails=True)) == []
    assert driver.state.episodes.active == ("throttled",)
    (ended,) = driver.step(Work(fps=12.0), board())
    assert ended.kind == "ended"


def test_inferring_leaves_the_causes_that_cannot_be_read_now() -> None:
    driver = Driver()
    driver.step(Work(fps=12.0, inference_ms=50.0, subject="cpu"), board("throttled"))
    unread = board(fails=True)
    (began,) = slow_down(driver, contended=False, snapshot=unread)
    assert began.episode.cause == "inferred"
    assert set(driver.state.episodes.active) == {"throttled", "inferred"}
