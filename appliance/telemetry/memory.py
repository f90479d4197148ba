"""Memory of this process (/proc/self/statm) and of the board (/proc/meminfo)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct

from appliance.telemetry import Gauge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BYTES_PER_KIB = 1024
_MIB = 1 << 20


class Memory(Struct, frozen=True, kw_only=True):
    """Memory of this process and of the board, bytes."""

    resident_bytes: int
    available_bytes: int
    total_bytes: int


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
    return MemoryCollector(root)


READING = Memory


def gauges(reading: Memory) -> Iterator[Gauge]:
    """Yield what Prometheus is told."""
    yield Gauge("memory_available_bytes", "Of the board.", {(): reading.available_bytes})


def describe(reading: Memory) -> Iterator[str]:
    """Yield lines for a person."""
    ours, free = reading.resident_bytes / _MIB, reading.available_bytes / _MIB
    total = reading.total_bytes / _MIB
    yield f"memory       {ours:.0f} MiB ours, {free:.0f} of {total:.0f} MiB available"
