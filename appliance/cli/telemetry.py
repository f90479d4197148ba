"""``appliance telemetry``: what the board's sensors say now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from appliance.cli.common import print_json
from appliance.clock import SystemClock
from appliance.telemetry import Snapshot, Telemetry

if TYPE_CHECKING:
    import argparse

_MIB = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--root", type=Path, default=Path("/"), help="read under another root")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Print one snapshot."""
    snapshot = Telemetry.over(options.root, SystemClock()).snapshot()
    if options.json:
        print_json(snapshot)
    else:
        for line in describe(snapshot):
            print(line)
    return 0


def describe(snapshot: Snapshot) -> list[str]:
    """Return the snapshot as lines for a person."""
    lines = []
    if snapshot.thermal:
        zones = ", ".join(f"{k} {v:.1f} °C" for k, v in snapshot.thermal.zones_celsius.items())
        lines.append(f"temperature  {snapshot.thermal.temperature_celsius} °C ({zones})")
    if snapshot.frequency:
        one = snapshot.frequency
        top = one.hardware_maximum_hertz / 1e6
        lines.append(
            f"frequency    {one.current_hertz / 1e6:.0f} MHz of {top:.0f}"
            f" (allowed {one.allowed_maximum_hertz / 1e6:.0f})"
        )
    if snapshot.throttle:
        two = snapshot.throttle
        now, past = ", ".join(two.now) or "no", ", ".join(two.since_boot) or "no"
        lines.append(f"throttled    now: {now}; since boot: {past} ({two.source})")
    if snapshot.memory:
        three = snapshot.memory
        lines.append(
            f"memory       {three.resident_bytes / _MIB:.0f} MiB ours, "
            f"{three.available_bytes / _MIB:.0f} of {three.total_bytes / _MIB:.0f} MiB available"
        )
    for name, status in snapshot.collectors.items():
        if status.error:
            lines.append(f"{name:<12} failed: {status.error}")
        elif getattr(snapshot, name) is None:
            lines.append(f"{name:<12} not on this board")
    return lines
