"""Processor time of the machine (/proc/stat) and of this process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_IDLE, _IOWAIT, _STEAL = 3, 4, 7
"""Places in the line ``cpu`` of /proc/stat, user first (proc_stat(5)); guests' time, which follows,
is in the user's already."""


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Processor time since boot, all processors together, seconds.

    Attributes:
        total: that passed, steal by a hypervisor included.
        idle: of it, spent waiting.
        own: of it, used by this process.
    """

    total: float
    idle: float
    own: float


def cpu_times(root: Path) -> CpuTimes | None:
    """Return both; None where the machine does not tell."""
    try:
        first = (root / "proc/stat").read_text().splitlines()[0].split()
        ticks = [int(one) for one in first[1 : _STEAL + 2]]
    except (OSError, ValueError, IndexError):
        return None
    if len(ticks) <= _STEAL:
        return None
    hertz = os.sysconf("SC_CLK_TCK")
    own = os.times()
    return CpuTimes(
        total=sum(ticks) / hertz,
        idle=(ticks[_IDLE] + ticks[_IOWAIT]) / hertz,
        own=own.user + own.system,
    )
