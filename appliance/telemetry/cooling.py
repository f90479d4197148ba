"""Thermal throttling as the kernel tells it, on boards without a Raspberry Pi's firmware flags.

A cooling device that limits a processor (``cpufreq-cpu0``, ``Processor``, ``devfreq-...``) and is
at work; x86's thermal_throttle counters that moved since the last poll; Jetson Orin's over-current
counters. A frequency below its maximum alone is not throttling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.board.files import explain, read_number, read_text
from appliance.telemetry import PartialReading
from appliance.telemetry.readings import Cause, Cooling

if TYPE_CHECKING:
    from pathlib import Path

_LIMITERS = ("cpufreq-", "thermal-cpufreq", "devfreq-", "thermal-devfreq", "Processor", "cpu-")
_ORIN_CAUSES: dict[str, Cause] = {
    "oc1_event_cnt": "under_voltage",
    "oc2_event_cnt": "throttled",
    "oc3_event_cnt": "throttled",
}
"""hwmon ``soctherm_oc``: under-voltage, average and instantaneous over-current (jetson_stats)."""


class CoolingCollector:
    """Reads cooling devices and counters under ``root``; what there is is looked up once."""

    def __init__(self, root: Path) -> None:
        devices = sorted((root / "sys/class/thermal").glob("cooling_device*"))
        self._devices = [(one, name) for one in devices if (name := _kind(one))]
        cpus = root / "sys/devices/system/cpu"
        self._counters = _counters(cpus)
        monitors = sorted((root / "sys/class/hwmon").glob("hwmon*/oc*_event_cnt"))
        self._events = [one for one in monitors if one.name in _ORIN_CAUSES]
        self._last: dict[Path, int] = {}

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
        causes: list[Cause] = ["thermal"] if limited else []
        total = None
        for counter in (*self._counters, *self._events):
            moved, value = self._moved(counter, problems)
            total = (total or 0) + value
            if moved:
                limited.append(f"{counter.parent.parent.name} {counter.name}")
                causes.append(_ORIN_CAUSES.get(counter.name, "thermal"))
        reading = Cooling(
            now=tuple(dict.fromkeys(causes)), limited_by=tuple(limited), events_total=total
        )
        if problems:
            raise PartialReading(reading, problems)
        return reading

    def _moved(self, counter: Path, problems: list[str]) -> tuple[bool, int]:
        """Return whether a counter moved since the last poll, and its value."""
        last = self._last.get(counter)
        value = self._number(counter, problems)
        if value is None:  # off-line, or unreadable: what was known stays
            return False, last or 0
        self._last[counter] = value
        return last is not None and value > last, value

    @staticmethod
    def _number(path: Path, problems: list[str]) -> int | None:
        try:
            return read_number(path)
        except (OSError, ValueError) as error:
            problems.append(explain(path, error))
            return None


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
    return kind if kind.startswith(_LIMITERS) else ""


def create(root: Path) -> CoolingCollector:
    """Return the collector."""
    return CoolingCollector(root)
