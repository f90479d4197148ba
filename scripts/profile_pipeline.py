"""Where the processor's time goes while frames flow: a sampling profile of the whole pipeline.

Usage: python scripts/profile_pipeline.py [--flame FILE.svg]    (needs `pip install py-spy`)

Samples of threads that wait count for nothing. Each sample belongs to the innermost part of the
list below that is on its stack.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

SAMPLES_PER_SECOND = 250
FRAMES = 1500
# Part, and what marks it on a stack, innermost first.
PARTS = (
    ("invoke", "Interpreter.invoke"),
    ("resize and colours, into the tensor", "Preprocessor.run"),
    ("decode: threshold, boxes, suppression", "CpuDetector.detections"),
    ("message: made and encoded", "Reporter.detections"),
    ("order, filters, books", "Lane.submit"),
    ("worker, besides", "Worker.run"),
    ("capture: frame taken, booked, handed over", "Lane.run"),
)

PIPELINE = ("Worker.run", "Lane.run")
"""What marks the pipeline's own threads; the bench runs the detectors alone too."""


def main() -> None:
    """Profile, print Markdown, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flame", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "stacks.txt")
        figures = record(raw, "raw")
        stacks = raw.read_text("utf-8").splitlines()
    if options.flame:
        record(options.flame, "flamegraph")
    shares = Counter[str]()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        part = next((name for name, mark in PARTS if mark in stack), None)
        if part is not None and any(mark in stack for mark in PIPELINE):
            shares[part] += int(count)
    total = sum(shares.values())
    cpu_ms = 1000 * figures["cpu_seconds_per_frame"]
    print(f"{total} samples, {cpu_ms:.1f} ms of CPU a frame, {figures['e2e_fps']:.1f} FPS\n")
    print("| part | share of the pipeline's CPU | ms a frame |\n|---|---|---|")
    for name, _ in PARTS:
        share = shares[name] / total
        print(f"| {name} | {100 * share:.1f} % | {cpu_ms * share:.2f} |")


def record(path: Path, form: str) -> dict[str, float]:
    """Run the bench on frames in memory under py-spy; return its figures."""
    bench = [sys.executable, "-m", "appliance", "bench", "--json", "--runs", "1", "--preload"]
    out = subprocess.run(
        [
            *("py-spy", "record", "--nonblocking", "--rate", str(SAMPLES_PER_SECOND)),
            *("--format", form, "--output", str(path), "--"),
            *(*bench, "--accelerator", "cpu", "--frames", str(FRAMES)),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    figures: dict[str, float] = json.loads(next(o for o in out.splitlines() if o.startswith("{")))
    return figures


if __name__ == "__main__":
    main()
