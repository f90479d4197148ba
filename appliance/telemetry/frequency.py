"""Processor frequencies from cpufreq (kilohertz there, hertz here)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.telemetry.readings import Frequency

if TYPE_CHECKING:
    from pathlib import Path

_HERTZ_PER_KILOHERTZ = 1000


class FrequencyCollector:
    """Reads every core under ``root``."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "sys/devices/system/cpu"

    def collect(self) -> Frequency | None:
        """Return current, allowed and hardware frequency; None without cpufreq."""
        cores = sorted(self._folder.glob("cpu[0-9]*/cpufreq"))
        if not cores:
            return None
        return Frequency(
            current_hertz=min(_hertz(core / "scaling_cur_freq") for core in cores),
            allowed_maximum_hertz=max(_hertz(core / "scaling_max_freq") for core in cores),
            hardware_maximum_hertz=max(_hertz(core / "cpuinfo_max_freq") for core in cores),
        )


def _hertz(path: Path) -> int:
    return int(path.read_text()) * _HERTZ_PER_KILOHERTZ


def create(root: Path) -> FrequencyCollector:
    """Return the collector."""
    return FrequencyCollector(root)
