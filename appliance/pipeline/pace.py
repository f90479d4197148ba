"""How fast the pipeline may go: set by the governor, asked by cameras and workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.clock import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

_SILENT_NS = 2 * NS_PER_SECOND
"""A camera without a frame for this long leaves its share to the others."""
_SMOOTHING = 0.2
_PAUSED_NS = 3600 * NS_PER_SECOND
"""Stands for never: a pause is looked at again long before."""


class Pace:
    """Shared by all lanes and workers; plain attributes, each written by one thread.

    Attributes:
        target_fps: of all cameras together; None for no limit, 0 for none.
        single_worker: only the first worker works.
        rest_until_ns: no worker works until then, because something is being measured.
        rested: set when it was so; cleared by who asks.
    """

    def __init__(self) -> None:
        self.target_fps: float | None = None
        self.single_worker = False
        self.rest_until_ns = 0
        self.rested = False
        self._lanes: list[LanePace] = []

    def lane(self) -> LanePace:
        """Return the share of one more camera."""
        one = LanePace(self)
        self._lanes.append(one)
        return one

    def keep(self, lanes: Iterable[LanePace]) -> None:
        """Share among these cameras only, and those that come."""
        self._lanes = list(lanes)

    def rest(self, until_ns: int) -> None:
        """Let no worker take a frame for so long; a bound, lest a hang there silence the unit."""
        self.rest_until_ns, self.rested = until_ns, True

    def took_rest(self) -> bool:
        """Say whether workers rested since this was asked last."""
        rested, self.rested = self.rested, False
        return rested

    @property
    def paused(self) -> bool:
        """Say whether no frame may be worked on."""
        return self.target_fps is not None and self.target_fps <= 0

    def resting(self, now_ns: int) -> bool:
        return now_ns < self.rest_until_ns

    def may_work(self, worker: int, now_ns: int) -> bool:
        """Say whether the worker of this number may take a frame."""
        return not self.resting(now_ns) and (worker == 0 or not self.single_worker)

    def share(self, wanted: LanePace, now_ns: int) -> float:
        """Return the frames a second that one camera may have; what others leave is its too."""
        left = self.target_fps or 0.0
        rates = sorted((one.rate(now_ns), one is not wanted) for one in self._lanes)
        for number, (rate, is_other) in enumerate(rates):
            fair = left / (len(rates) - number)
            if not is_other:
                return fair
            left -= min(rate, fair)
        return left


class LanePace:
    """One camera's share of the pace. Used by its capture thread.

    Args:
        pace: of the pipeline.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._interval_ns: float | None = None
        self._arrived_ns: int | None = None
        self._due_ns = 0
        self._last_ns = -_PAUSED_NS

    def rate(self, now_ns: int) -> float:
        """Return the frames a second that arrive; 0 from a silent camera, infinite if unknown."""
        if self._arrived_ns is not None and now_ns - self._arrived_ns > _SILENT_NS:
            return 0.0
        if not self._interval_ns:
            return float("inf")
        return NS_PER_SECOND / self._interval_ns

    def admits(self, now_ns: int) -> bool:
        """Say whether a frame that came now may be processed; count it if so."""
        self._note_arrival(now_ns)
        interval_ns = self._allowed_interval_ns(now_ns)
        if interval_ns is None:
            return True
        if self._pace.paused:
            return False
        due_ns = min(self._due_ns, self._last_ns + interval_ns)  # the pace may have quickened
        if now_ns < due_ns:
            return False
        self._last_ns = now_ns
        # From the last due time, not from now, or late frames would slow the average; but what
        # was missed by more than a turn is not made up for.
        on_time = due_ns > now_ns - interval_ns
        self._due_ns = (due_ns if on_time else now_ns) + interval_ns
        return True

    def seconds_until_due(self, now_ns: int) -> float:
        """Return how long a source that can wait should do so."""
        interval_ns = self._allowed_interval_ns(now_ns)
        if interval_ns is None:
            return 0.0
        if self._pace.paused:
            return interval_ns / NS_PER_SECOND
        due_ns = min(self._due_ns, self._last_ns + interval_ns)
        return max(0.0, (due_ns - now_ns) / NS_PER_SECOND)

    def period_seconds(self, now_ns: int) -> float:
        """Return the time between two frames that may be worked on; 0 without a limit."""
        return (self._allowed_interval_ns(now_ns) or 0) / NS_PER_SECOND

    def _allowed_interval_ns(self, now_ns: int) -> int | None:
        if self._pace.target_fps is None:
            return None
        if self._pace.paused:
            return _PAUSED_NS
        return round(NS_PER_SECOND / max(self._pace.share(self, now_ns), 1e-3))

    def _note_arrival(self, now_ns: int) -> None:
        if self._arrived_ns is not None:
            gap = now_ns - self._arrived_ns
            known = self._interval_ns
            self._interval_ns = gap if not known else known + _SMOOTHING * (gap - known)
        self._arrived_ns = now_ns
