"""Why the platform says that it is slowed: from one snapshot of the board after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from appliance.telemetry.cooling import Cooling, cause_of
from appliance.telemetry.supply import Supply
from appliance.telemetry.throttle import CAUSES, Throttle

if TYPE_CHECKING:
    from appliance.telemetry import Cause, Snapshot


class Causes:
    """Remembers from look to look what boards do not: counters, and flags that were set.

    Attributes:
        tells_of_heat: whether the last look could have seen that heat slows the board. An alarm of
            the supply alone cannot: that it is silent does not mean that nothing slows it.
    """

    def __init__(self) -> None:
        self.tells_of_heat = False
        self._counts: dict[str, int] = {}
        self._seen: set[Cause] = set()

    def look(self, snapshot: Snapshot) -> tuple[Cause, ...] | None:
        """Return the causes in force now.

        None where nothing would say so, or what would cannot be read now: counters are held against
        this look's only if it told something, so what they counted meanwhile is told next time.
        """
        if not snapshot.collectors and not snapshot.readings:
            return None  # nothing answered in time
        throttle, cooling = snapshot.get(Throttle), snapshot.get(Cooling)
        supply = snapshot.get(Supply)
        self.tells_of_heat = False
        failed = {name for name, one in snapshot.collectors.items() if not one.success}
        if "throttle" in failed:
            return None
        if throttle is not None:
            self.tells_of_heat = True
            return throttle.now
        if "cooling" in failed:
            return None
        alarm = supply.under_voltage if supply else None
        has_counted = bool(self._counts)  # counters tell nothing until they are looked at again
        moved = self._moved(cooling)
        self.tells_of_heat = has_counted or (cooling is not None and cooling.limited_by is not None)
        if not self.tells_of_heat and alarm is None:
            return None
        found: list[Cause] = ["thermal"] if cooling is not None and cooling.limited_by else []
        found += [cause_of(counter) for counter in moved]
        if alarm:
            found.append("under_voltage")
        return tuple(dict.fromkeys(found))

    def remembered(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with what its flags said at any look before.

        The flags of sysfs remember no further than the kernel's last poll.
        """
        throttle = snapshot.get(Throttle)
        if throttle is None:
            return snapshot
        self._seen |= {*throttle.now, *throttle.since_boot}
        since_boot = tuple(cause for cause in CAUSES if cause in self._seen)
        told = replace(throttle, since_boot=since_boot)
        return replace(snapshot, readings={**snapshot.readings, "throttle": told})

    def _moved(self, cooling: Cooling | None) -> list[str]:
        """Return the counters that moved on since the last look; one that began anew did not."""
        counts = cooling.events_total if cooling is not None else {}
        known = self._counts
        self._counts = {**known, **counts}  # what cannot be read now stays as it was known
        return [name for name, count in counts.items() if count > known.get(name, count)]
