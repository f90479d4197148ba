"""Counts for ever, by label: what began at 0 for every label that is looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.values.happened import Totals

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.values.happened import Counts, Direction


class Tally:
    """One camera's totals. Not thread-safe.

    Args:
        before: what was counted before.

    Attributes:
        changes: how often anything was counted.
    """

    def __init__(self, before: Totals | None = None) -> None:
        before = before or Totals()
        self.changes = 0
        self._objects = dict(before.objects)
        self._zones = {zone: dict(counts) for zone, counts in before.zones.items()}
        self._lines = {
            line: {way: dict(counts) for way, counts in ways.items()}
            for line, ways in before.lines.items()
        }
        self._stays = {zone: dict(counts) for zone, counts in before.stays.items()}
        self._seconds = {zone: dict(sums) for zone, sums in before.stay_seconds.items()}

    def begin(self, labels: Iterable[str], zones: Iterable[str], lines: Iterable[str]) -> None:
        """Have a 0 for each that was not counted yet: a counter born at 1 hides its first event."""
        zones, lines = tuple(zones), tuple(lines)
        for zone in zones:
            for table in (self._zones, self._stays):
                table.setdefault(zone, {})
            self._seconds.setdefault(zone, {})
        for line in lines:
            ways = self._lines.setdefault(line, {})
            for way in ("in", "out"):
                ways.setdefault(way, {})
        for label in labels:
            self._objects.setdefault(label, 0)
            for zone in zones:
                self._zones[zone].setdefault(label, 0)
                self._stays[zone].setdefault(label, 0)
                self._seconds[zone].setdefault(label, 0.0)
            for line in lines:
                for counts in self._lines[line].values():
                    counts.setdefault(label, 0)

    def object(self, label: str) -> None:
        """Count a new object."""
        self._count(self._objects, label)

    def entered(self, zone: str, label: str) -> None:
        """Count an object that came into a zone."""
        self._count(self._zones.setdefault(zone, {}), label)

    def left(self, zone: str, label: str, seconds: float) -> None:
        """Count a stay in a zone that ended."""
        self._count(self._stays.setdefault(zone, {}), label)
        sums = self._seconds.setdefault(zone, {})
        sums[label] = round(sums.get(label, 0.0) + seconds, 3)

    def crossed(self, line: str, direction: Direction, label: str) -> None:
        """Count an object that crossed a line."""
        self._count(self._lines.setdefault(line, {}).setdefault(direction, {}), label)

    def totals(self) -> Totals:
        """Return a copy."""
        one = Tally(Totals(self._objects, self._zones, self._lines, self._stays, self._seconds))
        return Totals(one._objects, one._zones, one._lines, one._stays, one._seconds)

    def _count(self, counts: Counts, label: str) -> None:
        counts[label] = counts.get(label, 0) + 1
        self.changes += 1
