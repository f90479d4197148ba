"""The rules of the heat driver, one by one: what it infers, advises, and lets workers do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from appliance.cli import telemetry as command
from appliance.clock import NS_PER_SECOND
from appliance.config.settings import GovernorSettings
from appliance.daemon.heatwatch import HeatWatch
from appliance.heat.causes import Causes
from appliance.pipeline.pace import Pace
from appliance.pipeline.statistics import Spread, Window
from appliance.telemetry import CollectorStatus, Snapshot
from appliance.telemetry.cooling import Cooling
from appliance.telemetry.supply import Supply
from appliance.telemetry.thermal import Thermal

if TYPE_CHECKING:
    from collections.abc import Iterable

SECONDS = 10
LIMITS = {"soft": 80.0, "hard": 85.0}


def board(
    celsius: float, *, tells: bool = True, limits: dict[str, float] | None = None
) -> Snapshot:
    """A board; ``tells``: whether it says that it is not slowed, or nothing at all."""
    known = LIMITS if limits is None else limits
    readings: dict[str, Any] = {
        "thermal": Thermal(temperature_celsius=celsius, zones_celsius={}, limits_celsius=known)
    }
    if tells:
        readings["supply"] = Supply(under_voltage=False, volts={})
    return Snapshot(readings=readings, collectors={})


def window(inference_ms: float, *, fps: float = 12.0) -> Window:
    """Ten seconds of a camera, of which one worker alone would do thirty frames a second."""
    spread = Spread(inference_ms, inference_ms, inference_ms, inference_ms, inference_ms)
    frames = round(10 * fps)
    return Window(
        seconds=10, frames=frames, first_seq=0, last_seq=frames - 1, captured=frames, gated=0,
        inference_seconds=frames / 30, stages={"inference": spread}, latency=spread,
    )  # fmt: skip


class Run:
    """The daemon's half, fed with a window and a reading every ten seconds."""

    def __init__(self, mode: str, *, soft_limit_celsius: float = 0.0) -> None:
        self.pace = Pace()
        self.alerts: list[tuple[int, dict[str, Any]]] = []
        self.active: set[str] = set()
        self.rests: set[tuple[float | None, bool]] = set()
        self._number = 0
        settings = GovernorSettings(
            mode=mode,  # type: ignore[arg-type]
            min_fps=2.0,
            soft_limit_celsius=soft_limit_celsius,
        )
        self.heat = HeatWatch(settings, self.pace, self)  # type: ignore[arg-type]

    def alert(self, kind: str, **fields: Any) -> None:
        """Stand for the reporter."""
        if kind == "governor":
            self.alerts.append((self._number * SECONDS, fields))

    def go(
        self, windows: Iterable[Window], snapshot: Snapshot, *, on: str = "cpu", workers: int = 1
    ) -> None:
        for one in windows:
            self.heat.window([one], on, "m", workers)
            self.heat.poll(self._number * SECONDS * NS_PER_SECOND, snapshot)
            self.active |= set(self.heat.active)
            self.rests.add((self.pace.target_fps, self.pace.single_worker))
            self._number += 1


@pytest.mark.parametrize(
    ("accelerator", "tells", "inferred"),
    [("cpu", True, False), ("cpu", False, True), ("edgetpu", True, True), ("edgetpu", False, True)],
)
def test_it_is_inferred_only_of_what_tells_nothing(
    accelerator: str, *, tells: bool, inferred: bool
) -> None:
    run = Run("off")
    run.go([window(15.0)] * 8 + [window(24.0)] * 4, board(50.0, tells=tells), on=accelerator)
    assert run.active == ({"inferred"} if inferred else set())


def test_fewer_workers_are_another_pace_not_a_slower_board() -> None:
    """An inference takes another time beside a second one than alone."""
    run = Run("act")
    run.go([window(15.0)] * 40, board(82.0), on="edgetpu", workers=2)
    assert run.pace.single_worker
    run.go([window(24.0)] * 8, board(82.0), on="edgetpu", workers=2)
    assert run.active == set()


def test_workers_rest_at_the_lowest_rate_only() -> None:
    run = Run("act")
    run.go([window(15.0)] * 40, board(82.0), workers=2)
    assert {target for target, rests in run.rests if rests} == {2.0}
    assert len(run.rests) > 2


def test_advice_is_given_every_ten_minutes_and_nobody_follows_it() -> None:
    run = Run("advise")
    run.go([window(15.0)] * 130, board(82.0))
    times = [at for at, _ in run.alerts]
    assert times == [times[0], times[0] + 600, times[0] + 1200]
    assert all(one["advised"] and one["mode"] == "eased" for _, one in run.alerts)
    assert run.rests == {(None, False)}


@pytest.mark.parametrize("limits", [LIMITS, {}])
def test_the_owners_limit_counts_more_than_the_boards(limits: dict[str, float]) -> None:
    run = Run("act", soft_limit_celsius=60.0)
    run.go([window(15.0)] * 10, board(59.0, limits=limits))
    assert run.heat.governor().soft_limit_celsius == 60.0
    assert run.alerts


def test_a_hard_limit_below_the_soft_one_pauses_nothing() -> None:
    run = Run("act")
    run.go([window(15.0)] * 60, board(78.0, limits={"soft": 80.0, "hard": 70.0}))
    assert run.heat.governor().mode == "minimum"
    assert not run.heat.problems()


def test_all_cameras_count_and_what_the_gate_left_out_was_kept_up_with() -> None:
    run = Run("act")
    still = replace(window(20.0, fps=3.0), gated=10)
    run.heat.window([still, window(50.0, fps=6.0)], "cpu", "m", 1)
    run.heat.poll(0, board(79.0))
    assert run.heat.governor().fps_before == 10.0
    assert run.pace.target_fps == 8.0


def test_the_slowest_camera_is_what_inference_is_judged_by() -> None:
    run = Run("off")
    for inference_ms in (15.0,) * 8 + (24.0,) * 4:
        run.heat.window([window(15.0), window(inference_ms)], "edgetpu", "m", 1)
    run.heat.poll(0, board(50.0))
    assert run.heat.active == ("inferred",)


def test_a_replay_counts_no_frames_in_a_pause() -> None:
    """What the governor takes away entirely is nothing, and not everything."""
    hot = [board(90.0)] * 30
    slowed = Snapshot(
        readings={**board(90.0).readings, "supply": Supply(under_voltage=True, volts={})},
        collectors={},
    )
    records = [
        command.Record(number * SECONDS * NS_PER_SECOND, one)
        for number, one in enumerate([*hot, *[slowed] * 6, *[board(90.0)] * 2])
    ]
    events = list(command.replay(iter(records), fps=12.0, min_fps=5.0))
    assert any("paused" in one.text for one in events)
    (ended,) = [one for one in events if one.kind == "ended"]
    assert "12.0 FPS" not in ended.text


@pytest.mark.parametrize("teller", ["cooling", "throttle"])
def test_what_moved_while_not_all_could_be_read_is_told_afterwards(teller: str) -> None:
    """One core is off-line, or the flags cannot be read: nothing is told then, and nothing lost."""

    def counted(count: int, *, success: bool = True) -> Snapshot:
        cooling = Cooling(limited_by=(), events_total={"cpu0 core_throttle_count": count})
        status = CollectorStatus(success=success, duration_ms=0.1)
        return Snapshot(readings={"cooling": cooling}, collectors={teller: status})

    causes = Causes()
    assert causes.look(counted(3)) == ()
    assert causes.look(counted(5, success=False)) is None
    assert causes.look(counted(5)) == ("thermal",)
    assert causes.look(counted(5)) == ()
