"""The plant behind a fake /sys, read by the real collectors, governed as the daemon does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from appliance.clock import NS_PER_SECOND, ManualClock
from appliance.heat import Action
from appliance.heat.watch import HeatPolicy, HeatState, Work
from appliance.telemetry import Telemetry
from scripts.heat_simulation.plant import Board, State, advance, capacity, start

if TYPE_CHECKING:
    from pathlib import Path

STEP_SECONDS = 1.0
POLL_SECONDS = 10.0
_SOFT_LIMIT_NOW = 0x8


@dataclass(slots=True)
class Trace:
    """What happened, one entry a simulated second."""

    celsius: list[float] = field(default_factory=list)
    fps: list[float] = field(default_factory=list)
    throttled: list[bool] = field(default_factory=list)
    frame_seconds: list[float] = field(default_factory=list)
    changes: list[tuple[float, str]] = field(default_factory=list)
    """Seconds and mode of each change of mode."""
    actions: int = 0
    throttled_seconds: float = 0.0
    """As the episodes of the product counted it."""

    def after(self, seconds: float) -> Trace:
        """Return what came after the first ``seconds``."""
        first = round(seconds / STEP_SECONDS)
        return Trace(
            self.celsius[first:],
            self.fps[first:],
            self.throttled[first:],
            self.frame_seconds[first:],
            [change for change in self.changes if change[0] >= seconds],
        )

    def p99_frame_seconds(self) -> float:
        """Return the 99th percentile of the time a frame took, every frame counted."""
        order = np.argsort(self.frame_seconds)
        weights = np.cumsum(np.asarray(self.fps)[order])
        place = int(np.searchsorted(weights, 0.99 * weights[-1]))
        return float(np.asarray(self.frame_seconds)[order][min(place, len(order) - 1)])


def simulate(
    board: Board, root: Path, policy: HeatPolicy, *, ambient: float, seconds: float
) -> Trace:
    """Run the board for ``seconds`` of simulated time.

    Args:
        board: which one.
        root: an empty folder that becomes its /sys and /proc.
        policy: of the owner; its mode is ``off`` for the firmware alone.
        ambient: °C around it.
        seconds: of simulated time.
    """
    clock, trace, state = ManualClock(), Trace(), start(board, ambient)
    write_tree(board, root, state)
    telemetry, heat = Telemetry.over(root, clock), HeatState(policy)
    limit: float | None = None
    mode = "full"
    polls = round(POLL_SECONDS / STEP_SECONDS)
    for number in range(round(seconds / STEP_SECONDS)):
        fps = min(capacity(board, state), limit if limit is not None else float("inf"))
        state = advance(board, state, ambient, fps, STEP_SECONDS)
        clock.advance(STEP_SECONDS)
        trace.celsius.append(state.celsius)
        trace.fps.append(fps)
        trace.throttled.append(state.throttled)
        trace.frame_seconds.append(1 / capacity(board, state))
        if (number + 1) % polls:
            continue
        write_tree(board, root, state)
        snapshot = telemetry.snapshot()
        heat.window(Work(fps=float(np.mean(trace.fps[-polls:]))))
        for event in heat.poll(clock.monotonic_ns(), snapshot):
            if isinstance(event, Action):
                limit = event.target_fps
                trace.actions += 1
                if event.mode != mode:
                    trace.changes.append((clock.monotonic_ns() / NS_PER_SECOND, event.mode))
                mode = event.mode
    trace.throttled_seconds = sum(heat.episodes.seconds_total.values())
    return trace


def write_tree(board: Board, root: Path, state: State) -> None:
    """Write what a board in ``state`` shows below ``root``."""
    cpu = "sys/devices/system/cpu/cpu0/cpufreq"
    firmware = "sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware"
    files = {
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
        "sys/class/thermal/thermal_zone0/temp": f"{state.celsius * 1000:.0f}",
        f"{cpu}/scaling_cur_freq": f"{state.megahertz * 1000:.0f}",
        f"{cpu}/scaling_max_freq": f"{board.maximum_megahertz * 1000:.0f}",
        f"{cpu}/cpuinfo_max_freq": f"{board.maximum_megahertz * 1000:.0f}",
        f"{firmware}/get_throttled": f"{_SOFT_LIMIT_NOW if state.throttled else 0:x}",
        "proc/device-tree/compatible": board.compatible,
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
