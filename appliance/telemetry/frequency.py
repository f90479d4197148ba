"""Processor frequencies from cpufreq (kilohertz there, hertz here)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from appliance.board.files import read_number, read_text
from appliance.telemetry import Gauge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HERTZ_PER_KILOHERTZ = 1000
_SECONDS_PER_TICK = 0.01
"""time_in_state counts in units of 10 ms (kernel documentation, cpufreq-stats)."""


class Frequency(Struct, frozen=True, kw_only=True):
    """Frequencies of the processor cores, hertz; the slowest core now, the fastest limits."""

    current_hertz: Annotated[
        int, Meta(description="Asked for by the kernel; a Pi's firmware may clamp it unseen.")
    ]
    allowed_maximum_hertz: Annotated[int, Meta(description="Limit in force now.")]
    hardware_maximum_hertz: Annotated[int, Meta(description="What the hardware can do.")]
    seconds_at_hertz: Annotated[
        dict[str, float], Meta(description="Time of the first core at each frequency since boot.")
    ]


class FrequencyCollector:
    """Reads every core under ``root``; what cores there are is looked up once."""

    def __init__(self, root: Path) -> None:
        self._cores = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq"))

    def collect(self) -> Frequency | None:
        """Return current, allowed and hardware frequency; None without cpufreq."""
        if not self._cores:
            return None
        return Frequency(
            current_hertz=min(self._all("scaling_cur_freq")),
            allowed_maximum_hertz=max(self._all("scaling_max_freq")),
            hardware_maximum_hertz=max(self._all("cpuinfo_max_freq")),
            seconds_at_hertz=_seconds(read_text(self._cores[0] / "stats/time_in_state") or ""),
        )

    def _all(self, name: str) -> list[int]:
        values = [read_number(core / name) for core in self._cores]
        found = [value * _HERTZ_PER_KILOHERTZ for value in values if value is not None]
        if not found:
            raise ValueError(f"{name}: no core has it")
        return found


def _seconds(table: str) -> dict[str, float]:
    rows = [line.split() for line in table.splitlines()]
    return {
        str(int(row[0]) * _HERTZ_PER_KILOHERTZ): round(int(row[1]) * _SECONDS_PER_TICK, 2)
        for row in rows
        if len(row) == 2
    }


def create(root: Path) -> FrequencyCollector:
    return FrequencyCollector(root)


READING = Frequency


def gauges(reading: Frequency) -> Iterator[Gauge]:
    """Yield what Prometheus is told."""
    values = {
        ("current",): reading.current_hertz,
        ("allowed",): reading.allowed_maximum_hertz,
        ("hardware",): reading.hardware_maximum_hertz,
    }
    yield Gauge("processor_frequency_hertz", "Frequency and its limits.", values, ("kind",))


def describe(reading: Frequency) -> Iterator[str]:
    """Yield lines for a person."""
    now, allowed = reading.current_hertz / 1e6, reading.allowed_maximum_hertz / 1e6
    most = reading.hardware_maximum_hertz / 1e6
    yield f"frequency    {now:.0f} MHz of {most:.0f} (allowed {allowed:.0f})"
