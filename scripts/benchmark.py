"""Measure what docs/performance.md claims, and print it as Markdown.

Usage: make bench, or: python scripts/benchmark.py [VIDEO]
Needs mosquitto for the start-up figures. Ratios come from alternating rounds in one run.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from appliance.demo_broker import start_broker

STARTS = 5
CASES = {
    "1280x720 in memory": ["--preload"],
    "1280x720 synthetic, rendered while measuring": [],
    "640x480 in memory": ["--preload", "--width", "640", "--height", "480"],
    "1920x1080 in memory": ["--preload", "--width", "1920", "--height", "1080"],
    "live at 15 FPS, 1280x720": ["--rate", "15"],
}


def bench(arguments: list[str]) -> dict[str, Any]:
    """Return the figures of one bench run."""
    command = [sys.executable, "-m", "appliance", "bench", "--json", "--frames", "300", *arguments]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, Any] = json.loads(out)
    return figures


def start_up() -> tuple[float, float]:
    """Return seconds from exec to the first published detection, and peak memory in MiB."""
    broker = start_broker("mosquitto")
    arrived: list[float] = []
    listener = Client(CallbackAPIVersion.VERSION2)
    listener.on_message = lambda *_: arrived.append(time.monotonic())
    listener.connect("127.0.0.1", broker.port)
    listener.subscribe("+/+/+/detections")
    listener.loop_start()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        daemon = subprocess.Popen(
            [
                *(sys.executable, "-m", "appliance", "run", "--frames", "60"),
                *("--set", "camera=[{source='synthetic'}]", "--set", "mqtt.host=127.0.0.1"),
                *("--set", f"mqtt.port={broker.port}"),
            ],
            env={**os.environ, "RUNTIME_DIRECTORY": folder},
            stderr=subprocess.DEVNULL,
        )
        peak = 0.0
        while daemon.poll() is None:
            peak = max(peak, memory_mib(daemon.pid))
            time.sleep(0.05)
    listener.loop_stop()
    broker.stop()
    return arrived[0] - began, peak


def memory_mib(pid: int) -> float:
    """Return the process's peak resident memory so far."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    """Print the tables."""
    cases = dict(CASES)
    if len(sys.argv) > 1:
        cases[f"{Path(sys.argv[1]).name}, back-pressure"] = ["--source", sys.argv[1]]
    print("| case | end-to-end FPS | inference-only FPS | efficiency | CPU ms/frame | peak MiB |")
    print("|---|---|---|---|---|---|")
    for name, arguments in cases.items():
        one = bench(arguments)
        print(
            f"| {name} | {one['e2e_fps']:.1f} | {one['inference_only_fps']:.1f} | "
            f"{one['efficiency']:.3f} | {one['cpu_seconds_per_frame'] * 1000:.1f} | "
            f"{one['rss_mib']:.0f} |",
            flush=True,
        )
    starts = [start_up() for _ in range(STARTS)]
    seconds = statistics.median(one[0] for one in starts)
    print(f"\nStart to first published detection: {seconds:.2f} s (median of {STARTS}).")
    print(f"Peak resident memory of the daemon: {max(one[1] for one in starts):.0f} MiB.")


if __name__ == "__main__":
    main()
