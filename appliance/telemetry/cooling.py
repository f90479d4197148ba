"""Thermal throttling as the kernel tells it, on boards without a Raspberry Pi's firmware flags.

A cooling device that limits a processor (``cpufreq-cpu0``, ``Processor``, ``devfreq-...``) and is
at work; x86's thermal_throttle counters; Jetson Orin's over-current counters. A frequency below its
maximum alone is not throttling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from appliance.board.files import explain, read_number, read_text
from appliance.telemetry import Cause, Gauge, PartialReading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LIMITERS = ("cpufreq-", "thermal-cpufreq", "devfreq-", "thermal-devfreq", "Processor", "cpu-")
_UNASKED = "Processor"
"""ACPI's own: few machines ever ask it to limit, so that it rests says nothing of the heat."""
_ORIN_CAUSES: dict[str, Cause] = {
    "oc1_event_cnt": "under_voltage",
    "oc2_event_cnt": "throttled",
    "oc3_event_cnt": "throttled",
}
"""hwmon ``soctherm_oc``: under-voltage, average and instantaneous over-current (jetson_stats)."""


class Cooling(Struct, frozen=True, kw_only=True):
    """What the kernel does against heat, on boards without a Raspberry Pi's firmware flags."""

    limited_by: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="Cooling devices at work that limit a processor; null where none would "
            "tell."
        ),
    ]
    events_total: Annotated[
        dict[str, int], Meta(description="Thermal-throttle events since boot, by counter.")
    ]


class CoolingCollector:
    """Reads cooling devices and counters under ``root``; what there is is looked up once."""

    def __init__(self, root: Path) -> None:
        devices = sorted((root / "sys/class/thermal").glob("cooling_device*"))
        self._devices = [(one, name) for one in devices if (name := _kind(one))]
        self._tells = any(not name.startswith(_UNASKED) for _, name in self._devices)
        cpus = root / "sys/devices/system/cpu"
        self._counters = _counters(cpus)
        monitors = sorted((root / "sys/class/hwmon").glob("hwmon*/oc*_event_cnt"))
        self._events = [one for one in monitors if one.name in _ORIN_CAUSES]

    def collect(self) -> Cooling | None:
        """Return what limits the processors now; None where nothing would tell."""
        if not (self._devices or self._counters or self._events):
            return None
        problems: list[str] = []
        limited = []
        for device, name in self._devices:
            state = self._number(device / "cur_state", problems)
            if state is not None and state > 0:
                limited.append(name)
        if problems:  # what limits cannot be told, so nothing is
            raise PartialReading(None, problems)
        events = {}
        for counter in (*self._counters, *self._events):
            count = self._number(counter, problems)
            if count is not None:
                events[_name(counter)] = count
        reading = Cooling(
            limited_by=tuple(limited) if self._tells or limited else None, events_total=events
        )
        if problems:
            raise PartialReading(reading, problems)
        return reading

    @staticmethod
    def _number(path: Path, problems: list[str]) -> int | None:
        try:
            return read_number(path)
        except (OSError, ValueError) as error:
            problems.append(explain(path, error))
            return None


def cause_of(counter: str) -> Cause:
    """Return what it means that a counter of ``events_total`` moved."""
    return _ORIN_CAUSES.get(counter.rpartition(" ")[2], "thermal")


def _name(counter: Path) -> str:
    """Return a counter's name: the processor or monitor that it belongs to, and its file."""
    folder = counter.parent
    if folder.name == "thermal_throttle":
        return f"{folder.parent.name} {counter.name}"
    try:
        monitor = read_text(folder / "name")  # the folder's number moves from boot to boot
    except OSError:
        monitor = None
    return f"{monitor or folder.name} {counter.name}"


def _counters(cpus: Path) -> list[Path]:
    """Return x86's counters: each core's, and each package's once."""
    found = sorted(cpus.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    packages: dict[str, Path] = {}
    for counter in sorted(cpus.glob("cpu[0-9]*/thermal_throttle/package_throttle_count")):
        try:
            number = read_text(counter.parent.parent / "topology/physical_package_id") or "0"
        except OSError:
            number = "0"
        packages.setdefault(number, counter)
    return found + list(packages.values())


def _kind(device: Path) -> str:
    """Return the type of a cooling device that limits a processor; else nothing."""
    try:
        kind = read_text(device / "type") or ""
    except OSError:
        return ""
    if not kind.startswith(_LIMITERS):
        return ""
    try:
        most = read_number(device / "max_state")
    except (OSError, ValueError):
        most = None  # `collect` says why, if it matters
    return "" if most == 0 else kind  # one that cannot limit anything, as virtual machines have


def create(root: Path) -> CoolingCollector:
    return CoolingCollector(root)


READING = Cooling


def gauges(reading: Cooling) -> Iterator[Gauge]:
    """Yield what Prometheus is told."""
    events = {(counter,): float(count) for counter, count in reading.events_total.items()}
    yield Gauge("throttle_events", "Counted by the kernel since boot.", events, ("counter",))


def describe(reading: Cooling) -> Iterator[str]:
    """Yield lines for a person."""
    if reading.limited_by:
        yield f"limited by   {', '.join(reading.limited_by)}"
    if any(reading.events_total.values()):
        counted = ", ".join(f"{n} {count}" for n, count in reading.events_total.items() if count)
        yield f"events       {counted}"
