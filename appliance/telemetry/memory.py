"""Memory of this process (/proc/self/statm) and of the board (/proc/meminfo)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from appliance.telemetry.readings import Memory

if TYPE_CHECKING:
    from pathlib import Path

_BYTES_PER_KIB = 1024


class MemoryCollector:
    """Reads /proc under ``root``."""

    def __init__(self, root: Path) -> None:
        self._proc = root / "proc"
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")

    def collect(self) -> Memory | None:
        """Return resident, available and total memory; None without /proc."""
        if not (self._proc / "meminfo").exists():
            return None
        lines = (self._proc / "meminfo").read_text().splitlines()
        fields = {line.split(":")[0]: int(line.split()[1]) for line in lines if ":" in line}
        resident_pages = int((self._proc / "self/statm").read_text().split()[1])
        if "MemAvailable" not in fields or "MemTotal" not in fields:
            raise ValueError("meminfo: has no MemAvailable or MemTotal")
        return Memory(
            resident_bytes=resident_pages * self._page_bytes,
            available_bytes=fields["MemAvailable"] * _BYTES_PER_KIB,
            total_bytes=fields["MemTotal"] * _BYTES_PER_KIB,
        )


def create(root: Path) -> MemoryCollector:
    """Return the collector."""
    return MemoryCollector(root)
