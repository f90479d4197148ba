"""What one poll of all collectors costs, on the boards of the fixtures and on this machine.

Usage: python scripts/poll_cost.py
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from appliance.clock import SystemClock
from appliance.telemetry import Telemetry

ROOTS = Path(__file__).resolve().parent.parent / "tests/fixtures/roots"
POLLS = 200


def main() -> None:
    """Print the median of many polls, milliseconds, and the CPU time."""
    for root in (Path("/"), *(ROOTS / n for n in ("pi3b+", "pi4", "pi5", "jetson-nano", "rk3588"))):
        telemetry = Telemetry.over(root, SystemClock())
        telemetry.snapshot()
        taken, cpu = [], time.process_time()
        for _ in range(POLLS):
            began = time.perf_counter()
            telemetry.snapshot()
            taken.append(time.perf_counter() - began)
        cpu = (time.process_time() - cpu) / POLLS
        name = root.name or "this machine"
        print(
            f"{name:<14} {statistics.median(taken) * 1e3:6.3f} ms, CPU {cpu * 1e3:6.3f} ms a poll"
        )


if __name__ == "__main__":
    main()
