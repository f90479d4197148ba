"""How fast the pipeline may go: set by the governor, asked by cameras and workers."""

from __future__ import annotations

from appliance.clock import NS_PER_SECOND


class Pace:
    """Shared by all lanes and workers; plain attributes, written by one thread.

    Attributes:
        target_fps: of all cameras together; None for no limit, 0 for none.
        single_worker: only the first worker works.
    """

    def __init__(self) -> None:
        self.target_fps: float | None = None
        self.single_worker = False

    def interval_ns(self, lanes: int) -> int | None:
        """Return nanoseconds between two frames of one of ``lanes`` cameras; None for no limit."""
        if self.target_fps is None:
            return None
        if self.target_fps <= 0:
            return NS_PER_SECOND * 3600
        return round(NS_PER_SECOND * lanes / self.target_fps)


class LanePace:
    """One camera's share.

    Args:
        pace: of the pipeline.
        lanes: how many cameras share it.
    """

    def __init__(self, pace: Pace, lanes: int) -> None:
        self._pace = pace
        self._lanes = lanes
        self._due_ns = 0
        self._last_ns = -NS_PER_SECOND * 3600

    def admits(self, now_ns: int) -> bool:
        """Say whether a frame that came now may be processed; count it if so."""
        interval_ns = self._pace.interval_ns(self._lanes)
        if interval_ns is None:
            return True
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
        interval_ns = self._pace.interval_ns(self._lanes)
        if interval_ns is None:
            return 0.0
        due_ns = min(self._due_ns, self._last_ns + interval_ns)
        return max(0.0, (due_ns - now_ns) / NS_PER_SECOND)
