"""The governor: eases the work before the firmware slows the processor, and restores it slowly.

A pure state machine: temperatures and rates in, actions out. In ``eased`` it searches, in small
steps, for the rate at which the board stays between the two temperatures, and holds it: that is
what keeps the frame rate steady where the firmware's own limit would make a sawtooth of it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

NS_PER_SECOND = 1_000_000_000
Mode = Literal["full", "eased", "minimum", "paused"]

SLOPE_SECONDS = 60.0
"""The slope is taken over this long: the time constant of a small board is about a minute."""
HORIZON_SECONDS = 30.0
"""How far ahead the slope is trusted: as long as no other change is allowed."""
SETTLED_SLOPE = -0.5 / 60
"""While it cools faster than half a degree a minute, the last change has not done all it will."""
STEP_DOWN, STEP_UP = 0.88, 1.05
FIRST_STEP = 0.80
BACK_OFF_SECONDS = 600.0
LONGEST_BACK_OFF_SECONDS = 3600.0
"""A rate that was too warm is not tried again for so long, and twice as long after each attempt
that failed."""
FAR_BELOW = 10.0
"""Degrees below the temperature of restoring at which what was too warm once counts no more: the
room has changed."""


@dataclass(frozen=True, slots=True)
class GovernorPolicy:
    """What the owner wants.

    Attributes:
        min_fps: floor of all cameras together that is held as long as the board allows.
        soft_celsius: where the firmware begins to slow the processor.
        hard_celsius: where it is no longer enough to go slowly: pause.
        ease_margin, restore_margin: degrees below ``soft_celsius``.
        change_seconds: at most one change in this time.
    """

    min_fps: float
    soft_celsius: float
    hard_celsius: float
    ease_margin: float = 3.0
    restore_margin: float = 8.0
    change_seconds: float = 30.0

    @property
    def ease_celsius(self) -> float:
        """Return from where on work is eased."""
        return self.soft_celsius - self.ease_margin

    @property
    def restore_celsius(self) -> float:
        """Return below which work is restored."""
        return self.soft_celsius - self.restore_margin


@dataclass(frozen=True, slots=True)
class Action:
    """A change.

    Attributes:
        mode: from now on.
        target_fps: frames a second of all cameras together; None for no limit, 0 for none.
        single_worker: only one detector works.
        reason: why, in words.
        fps_before: the rate that led to it.
    """

    mode: Mode
    target_fps: float | None
    single_worker: bool
    reason: str
    fps_before: float | None


class Governor:
    """One thread at a time."""

    def __init__(self, policy: GovernorPolicy) -> None:
        self._policy = policy
        self._readings: deque[tuple[float, float]] = deque()
        self._changed: float | None = None
        self._full_fps = 0.0
        self._ceiling: float | None = None
        self._ceiling_until = 0.0
        self._back_off = BACK_OFF_SECONDS
        self._restoring = False
        self.mode: Mode = "full"
        self.target_fps: float | None = None

    def poll(self, now_ns: int, celsius: float | None, fps: float | None) -> Action | None:
        """Take a reading; return a change, or None.

        Args:
            now_ns: monotonic.
            celsius: the processor's temperature; None changes nothing but a pause, which nobody
                could end any more.
            fps: end-to-end frames a second of all cameras over the last window, None if none.
        """
        if celsius is None and self.mode != "paused":
            return None
        now = now_ns / NS_PER_SECOND
        if celsius is not None:
            self._remember(now, celsius)
        if self.mode == "full" and fps is not None:
            self._full_fps = fps
        if self._changed is not None and now - self._changed < self._policy.change_seconds:
            return None
        if celsius is None:
            action: Action | None = self._minimum(fps, "no temperature is told any more")
        else:
            action = self._decide(now, celsius, fps)
        if action is not None:
            self._changed = now
            self.mode, self.target_fps = action.mode, action.target_fps
        return action

    def withdraw(self) -> None:
        """Forget the last change: nobody followed it."""
        self.mode, self.target_fps, self._restoring = "full", None, False

    @property
    def slope(self) -> float:
        """Return degrees a second over the last minute (least squares), 0 while unknown."""
        if (
            len(self._readings) < 3
            or self._readings[-1][0] - self._readings[0][0] < HORIZON_SECONDS
        ):
            return 0.0
        mean_t = sum(t for t, _ in self._readings) / len(self._readings)
        mean_c = sum(c for _, c in self._readings) / len(self._readings)
        spread = sum((t - mean_t) ** 2 for t, _ in self._readings)
        return sum((t - mean_t) * (c - mean_c) for t, c in self._readings) / spread

    def _decide(self, now: float, celsius: float, fps: float | None) -> Action | None:
        policy = self._policy
        ahead = celsius + self.slope * HORIZON_SECONDS
        if self.mode == "paused":
            cool = celsius < policy.hard_celsius - policy.restore_margin
            return self._minimum(fps, "cooled down") if cool else None
        if self.mode == "minimum" and celsius >= policy.hard_celsius:
            reason = f"{celsius:.1f} °C at the lowest rate"
            return Action("paused", 0.0, single_worker=True, reason=reason, fps_before=fps)
        if celsius >= policy.ease_celsius or ahead >= policy.soft_celsius:
            cooling = self.mode != "full" and self.slope < SETTLED_SLOPE
            return None if cooling else self._ease(now, celsius, fps)
        if celsius < policy.restore_celsius and ahead < policy.ease_celsius and self.mode != "full":
            return self._restore(now, celsius, fps)
        return None

    def _ease(self, now: float, celsius: float, fps: float | None) -> Action | None:
        policy = self._policy
        if self.mode == "minimum":
            return None
        current = self.target_fps if self.target_fps is not None else (fps or self._full_fps)
        if current <= 0:
            return None  # nothing runs that could be eased
        if self._restoring:  # a rate that was tried again is too warm again: wait longer
            self._back_off = min(self._back_off * 2, LONGEST_BACK_OFF_SECONDS)
            self._restoring = False
        self._ceiling = min(current, self._ceiling or current)
        self._ceiling_until = now + self._back_off
        wanted = current * (FIRST_STEP if self.mode == "full" else STEP_DOWN)
        reason = (
            f"{celsius:.1f} °C, {self.slope * 60:+.1f} °C/min; "
            f"the processor is slowed from {policy.soft_celsius:.0f} °C on"
        )
        if wanted <= policy.min_fps:
            return self._minimum(fps, reason)
        return Action("eased", round(wanted, 2), single_worker=False, reason=reason, fps_before=fps)

    def _minimum(self, fps: float | None, reason: str) -> Action:
        floor = self._policy.min_fps
        return Action("minimum", floor, single_worker=True, reason=reason, fps_before=fps)

    def _restore(self, now: float, celsius: float, fps: float | None) -> Action | None:
        reason = f"{celsius:.1f} °C, {self.slope * 60:+.1f} °C/min: room for more"
        target = self.target_fps or self._policy.min_fps
        if now >= self._ceiling_until or celsius < self._policy.restore_celsius - FAR_BELOW:
            self._ceiling = None
        wanted = target * STEP_UP
        if self._ceiling is not None and wanted >= self._ceiling:
            return None  # it was too warm at that rate not long ago
        self._restoring = True
        if self._full_fps and wanted >= self._full_fps:
            return Action("full", None, single_worker=False, reason=reason, fps_before=fps)
        return Action("eased", round(wanted, 2), single_worker=False, reason=reason, fps_before=fps)

    def _remember(self, now: float, celsius: float) -> None:
        self._readings.append((now, celsius))
        while self._readings and self._readings[0][0] < now - SLOPE_SECONDS:
            self._readings.popleft()
