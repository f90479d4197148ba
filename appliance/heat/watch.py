"""One way to look at heat, for the daemon, a replayed recording and a simulated board. Pure.

It eats numbers: what ran in each window, and snapshots of the board. It says what began, what
ended and what should change; somebody else publishes that and sets the pace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from appliance.heat.causes import Causes
from appliance.heat.drift import DriftDetector
from appliance.heat.episodes import EpisodeTracker, Rate, Transition
from appliance.heat.governor import Action, Governor, GovernorPolicy
from appliance.telemetry import Snapshot
from appliance.telemetry.thermal import Thermal

if TYPE_CHECKING:
    from appliance.telemetry import Cause


@dataclass(frozen=True, slots=True)
class HeatPolicy:
    """What the owner wants.

    Attributes:
        mode: ``act``, ``advise`` (say what would be done) or ``off``.
        min_fps: floor of all cameras together that is held as long as the board allows.
        soft_limit_celsius: where the firmware begins to slow; 0 for what the board is known for.
    """

    mode: Literal["act", "advise", "off"]
    min_fps: float
    soft_limit_celsius: float = 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """What ran in a window.

    Attributes:
        fps: frames a second of all cameras that were kept up with; None when nothing ran.
        inference_ms: median of the slowest camera.
        subject: what ran: accelerator, model, workers; another one has another usual time.
        is_unseen: what runs may be slowed without the board telling (an accelerator).
        contended: other programs took much of the processor.
    """

    fps: float | None
    inference_ms: float | None = None
    subject: str = ""
    is_unseen: bool = False
    contended: bool = False


class HeatState:
    """One thread at a time.

    Args:
        policy: of the owner.

    Attributes:
        episodes: what throttling cost so far.
        celsius: the processor's temperature as last told; None where it is not.
        soft_celsius: where the board is slowed; None while that is not known.
        throttled: whether the platform says so; None where nothing would.
        fps: of the last window.
        snapshot: the last reading, with what its flags said before.
    """

    def __init__(self, policy: HeatPolicy) -> None:
        self.policy = policy
        self.episodes = EpisodeTracker()
        self.celsius: float | None = None
        self.soft_celsius: float | None = None
        self.throttled: bool | None = None
        self.fps: float | None = None
        self.snapshot = Snapshot(collectors={})
        self._causes = Causes()
        self._drift = DriftDetector()
        self._governor: Governor | None = None
        self._is_unseen = True

    @property
    def governor(self) -> Governor | None:
        """Return the governor; None while it is not known where the board is slowed."""
        return self._governor

    def use(self, policy: HeatPolicy) -> None:
        """Go on with another policy: the governor begins anew, what was seen stays."""
        self.policy, self._governor = policy, None

    def window(self, work: Work) -> None:
        """Take what ran in the window that just ended."""
        self.fps, self._is_unseen = work.fps, work.is_unseen
        self.episodes.window(Rate(work.fps, work.inference_ms))
        self._drift.window(work.subject, None if work.contended else work.inference_ms)

    def poll(self, now_ns: int, snapshot: Snapshot) -> tuple[Transition | Action, ...]:
        """Take a reading of the board.

        Returns:
            What began and what ended; and at most one change, which ``act`` makes and ``advise``
            only tells.
        """
        thermal, told = snapshot.get(Thermal), self._causes.look(snapshot)
        self.snapshot = self._causes.remembered(snapshot)
        self.throttled = True if told else False if self._causes.tells_of_heat else None
        self.celsius = thermal.temperature_celsius if thermal else None
        found: tuple[Transition | Action, ...] = tuple(
            self.episodes.poll(now_ns, self._all_causes(told), self.celsius)
        )
        if self.policy.mode == "off":
            return found
        governor = self._make_governor(thermal)
        action = governor.poll(now_ns, self.celsius, self.fps) if governor else None
        if action is None or governor is None:
            return found
        if self.policy.mode == "advise":
            governor.withdraw()
        return (*found, action)

    def _all_causes(self, told: tuple[Cause, ...] | None) -> tuple[Cause, ...] | None:
        """Return what the platform tells with what is inferred of what tells nothing."""
        may_infer = told is None or self._is_unseen
        inferred: tuple[Cause, ...] = ("inferred",) if self._drift.inferred and may_infer else ()
        if told is None:
            if not inferred and "inferred" not in self.episodes.active:
                return None
            told = tuple(cause for cause in self.episodes.active if cause != "inferred")
        return (*told, *inferred)

    def _make_governor(self, thermal: Thermal | None) -> Governor | None:
        if self._governor is None and thermal is not None:
            limits = thermal.limits_celsius
            soft = self.policy.soft_limit_celsius or limits.get("soft")
            if soft is None:
                return None
            self.soft_celsius = soft
            hard = max(limits.get("hard", math.inf), soft)  # never pause on a guess
            self._governor = Governor(GovernorPolicy(self.policy.min_fps, soft, hard))
        return self._governor
