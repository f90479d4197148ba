"""Telemetry of the board: one file a collector, roots as parameters, no process per reading.

Absent is not failed and not zero: a collector returns None where the board has no such thing,
and raises where it should be readable and is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from appliance.clock import NS_PER_MS
from appliance.telemetry.readings import (
    AcceleratorHeat,
    Cause,
    Cooling,
    Fan,
    Frequency,
    Memory,
    Supply,
    Thermal,
    Throttle,
)

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.clock import Clock

# name in `health`: module
REGISTRY: dict[str, str] = {
    "thermal": "appliance.telemetry.thermal",
    "frequency": "appliance.telemetry.frequency",
    "throttle": "appliance.telemetry.throttle",
    "supply": "appliance.telemetry.supply",
    "fan": "appliance.telemetry.fan",
    "cooling": "appliance.telemetry.cooling",
    "accelerators": "appliance.telemetry.accelerators",
    "memory": "appliance.telemetry.memory",
}


class Collector(Protocol):
    """Reads one kind of thing."""

    def collect(self) -> msgspec.Struct | None:
        """Return the reading, or None where the board has no such thing.

        Raises:
            OSError, ValueError: it is there but cannot be read or understood.
            PartialReading: some of it could be read.
        """


class PartialReading(ValueError):  # noqa: N818 - half a success
    """Some of the files cannot be read or understood; the rest is here.

    Args:
        reading: what could be read, or None.
        problems: what could not, one text each.
    """

    def __init__(self, reading: msgspec.Struct | None, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.reading = reading


class CollectorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one collector fared: it read something, found nothing to read, or failed."""

    success: bool
    duration_ms: float
    error: str = ""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All readings at one instant; None is absent or failed (see ``collectors``)."""

    thermal: Thermal | None = None
    frequency: Frequency | None = None
    throttle: Throttle | None = None
    supply: Supply | None = None
    fan: Fan | None = None
    cooling: Cooling | None = None
    accelerators: AcceleratorHeat | None = None
    memory: Memory | None = None
    collectors: dict[str, CollectorStatus]

    @property
    def causes(self) -> tuple[Cause, ...] | None:
        """Return why the platform says that it is slowed now.

        None where nothing would say so, or what would cannot be read now.
        """
        teller = "throttle" if self.throttle is not None else "cooling"
        for name in ("throttle", teller):
            if name in self.collectors and not self.collectors[name].success:
                return None
        alarm = self.supply.under_voltage if self.supply else None
        if self.throttle is None and self.cooling is None and alarm is None:
            return None
        found: list[Cause] = list(self.throttle.now) if self.throttle else []
        if self.cooling is not None and self.throttle is None:
            found += self.cooling.now
        if alarm and self.throttle is None:
            found.append("under_voltage")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """All collectors of the registry over one root."""

    collectors: dict[str, Collector]
    clock: Clock

    @classmethod
    def over(cls, root: Path, clock: Clock) -> Telemetry:
        """Return the collectors over ``root`` (normally ``/``)."""
        made: dict[str, Collector] = {
            name: import_module(module).create(root) for name, module in REGISTRY.items()
        }
        return cls(made, clock)

    def snapshot(self) -> Snapshot:
        """Read everything; a failing collector never fails the snapshot."""
        readings: dict[str, Any] = {}
        statuses = {}
        for name, collector in self.collectors.items():
            began_ns = self.clock.monotonic_ns()
            error = ""
            try:
                readings[name] = collector.collect()
            except PartialReading as why:
                readings[name], error = why.reading, str(why)
            except (OSError, ValueError, LookupError) as why:
                error = f"{type(why).__name__}: {why}"
            duration_ms = (self.clock.monotonic_ns() - began_ns) / NS_PER_MS
            statuses[name] = CollectorStatus(
                success=not error, duration_ms=round(duration_ms, 3), error=error
            )
        return Snapshot(**readings, collectors=statuses)
