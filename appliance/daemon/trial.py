"""Settings on trial: taken back when their time is over, or when frames stop. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.clock import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from appliance.config.changes import Changes
    from appliance.daemon.commands import Decision

FLOWING_SECONDS = 10.0
"""A camera delivers whose last result is no older."""
SILENT_SECONDS = 30.0
"""A camera that delivered has stopped when its results stay out for so long."""
WATCHED_SECONDS = 120.0
"""A camera that stops later stops for another reason."""


class Flow:
    """When each camera had its last result, and since when its silence counts."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._moved_ns: dict[str, int] = {}
        self._result_ns: dict[str, int] = {}

    def look(self, counts: Mapping[str, int], resting: Iterable[str], now_ns: int) -> None:
        """Note how many results each camera had so far.

        Args:
            counts: by camera.
            resting: those that nobody looks at now; that none comes says nothing of them.
            now_ns: on CLOCK_MONOTONIC.
        """
        for name, count in counts.items():
            if self._counts.get(name, 0) != count:
                self._moved_ns[name] = self._result_ns[name] = now_ns
        for name in resting:
            if name in self._moved_ns:
                self._moved_ns[name] = now_ns
        self._counts = dict(counts)
        for known in (self._moved_ns, self._result_ns):
            for name in known.keys() - counts.keys():
                del known[name]

    def flowing(self, now_ns: int) -> frozenset[str]:
        """Return the cameras that deliver."""
        reach_ns = FLOWING_SECONDS * NS_PER_SECOND
        return frozenset(name for name, at in self._result_ns.items() if now_ns - at < reach_ns)

    def watches(self, name: str) -> bool:
        """Say whether there is such a camera now."""
        return name in self._counts

    def moved_since(self, name: str, since_ns: int) -> bool:
        """Say whether a camera had a result since then."""
        return self._result_ns.get(name, since_ns) > since_ns

    def silent_seconds(self, name: str, since_ns: int, now_ns: int) -> float:
        """Return for how long a camera had no result, counted from then at the earliest."""
        return (now_ns - max(self._moved_ns.get(name, since_ns), since_ns)) / NS_PER_SECOND


class Trial:
    """Settings in force that may be taken back.

    Args:
        name: of the command that brought them.
        decision: what it said.
        before: what was in force before.
        flowing: the cameras that delivered then; others are not expected to.
        begun_ns: when they came into force.

    Attributes:
        before: as above; another command may change what is gone back to.
    """

    def __init__(
        self, name: str, decision: Decision, before: Changes, flowing: frozenset[str], begun_ns: int
    ) -> None:
        self.name = name
        self.id = decision.id
        self.before = before
        self._flowing = flowing
        self._begun_ns = begun_ns
        self._seconds = decision.tried_seconds

    def going_on(self, name: str, decision: Decision) -> Trial:
        """Return the trial of the same settings by another command; what is proven stays so."""
        return Trial(name, decision, self.before, self._flowing, self._begun_ns)

    @property
    def is_tried(self) -> bool:
        """Say whether it ends by itself."""
        return bool(self._seconds)

    def proven(self, flow: Flow) -> bool:
        """Say whether every camera that delivered before has done so since."""
        return all(
            flow.moved_since(name, self._begun_ns) for name in self._flowing if flow.watches(name)
        )

    def over(self, now_ns: int) -> bool:
        """Say whether there is nothing more to watch."""
        return not self._seconds and now_ns - self._begun_ns > WATCHED_SECONDS * NS_PER_SECOND

    def fault(self, flow: Flow, now_ns: int) -> str:
        """Return why the settings have to go; empty where they need not."""
        for name in sorted(self._flowing):
            silent_seconds = flow.silent_seconds(name, self._begun_ns, now_ns)
            if flow.watches(name) and silent_seconds >= SILENT_SECONDS:
                return f"camera {name} had no result for {SILENT_SECONDS:g} s"
        return ""

    def expired(self, now_ns: int) -> bool:
        """Say whether the time to try is over."""
        return bool(self._seconds) and now_ns - self._begun_ns >= self._seconds * NS_PER_SECOND
