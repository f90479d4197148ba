"""CPU time and memory of ourselves and of the child processes that run detectors."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds() -> float:
    """Return CPU seconds used so far by us and by the children that live now."""
    return time.process_time() + sum(_cpu_seconds(pid) for pid in _children())


def peak_memory_mib() -> float:
    """Return the sum of our peak resident memory and that of the children that live now."""
    return _peak_mib(os.getpid()) + sum(_peak_mib(pid) for pid in _children())


def forget_peak_memory() -> None:
    """Let our peak begin anew (proc(5), clear_refs 5); where that is not allowed it goes on."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def _children() -> list[int]:
    lists = Path("/proc/self/task").glob("*/children")
    return [int(pid) for one in lists for pid in _text(one).split()]


def _cpu_seconds(pid: int) -> float:
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS if len(fields) > 12 else 0.0


def _peak_mib(pid: int) -> float:
    for line in _text(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # it ended meanwhile
