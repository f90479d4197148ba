"""Measure every figure that docs/performance.md claims, and print them as Markdown.

Usage: make bench, or: python scripts/benchmark.py [--video VIDEO --model MODEL] [--only NAME ...]

Ratios come from sides that take turns; medians of at least five rounds. Needs mosquitto. The figure
of half an hour's running is `make soak`'s.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_run import bench
from daemon_run import daemon

from appliance.cli.demo_broker import start_broker

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
FRAMES = 750
LOAD, EASY = 0.8, 0.4
"""Shares of the rate that the detector sustains: near its limit, and one it follows with ease."""
BY_HAND = "1x1,1x2,1x3,2x1,2x2,3x1,4x1"
SETTLE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: what, the bar, what was measured, and how much else there is to say."""

    what: str
    bar: str
    value: float
    met: bool
    note: str = ""


class Runner:
    """Runs the product's own bench, its state in a folder of its own.

    Args:
        state: where layouts are kept.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self.fps = 0.0

    def run(self, *words: str, frames: int = FRAMES) -> dict[str, Any]:
        """Return the figures of one run on preloaded frames."""
        return bench("--runs", "1", "--frames", str(frames), *words, state=self.state)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path)
    parser.add_argument("--model", type=Path, help="for the plain loop on the video")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    options = parser.parse_args()
    parts: dict[str, Callable[[Runner], list[Figure]]] = {
        "layout": layout,
        "throughput": throughput,
        "latency": latency,
        "cameras": cameras,
        "camera-memory": camera_memory,
        "start": start,
    }
    if options.video and options.model:
        parts["plain-loop"] = lambda runner: plain_loop(runner, options.video, options.model)
    chosen = {
        name: part for name, part in parts.items() if not options.only or name in options.only
    }
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, Python", end=" ")
    print(f"{platform.python_version()}; load before: {os.getloadavg()[0]:.2f}\n")
    print("| figure | bar | measured | met | |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Path(folder))
        for part in chosen.values():
            for one in part(runner):
                met = "yes" if one.met else "**no**"
                print(
                    f"| {one.what} | {one.bar} | {one.value:.4g} | {met} | {one.note} |", flush=True
                )


def layout(runner: Runner) -> list[Figure]:
    """Let auto choose, then measure every layout by hand."""
    chosen = runner.run("--preload", "--compare", "auto", "--seconds", "60", frames=400)["auto"]
    name = f"{chosen['workers']}x{chosen['threads']}"
    names = BY_HAND if name in BY_HAND else f"{BY_HAND},{name}"
    rows = runner.run("--preload", "--compare", names, frames=400)["compare"]
    fps = {row["name"]: row["e2e_fps"] for row in rows}
    best = max(fps, key=lambda key: fps[key])
    note = f"auto takes {name}; " + ", ".join(f"{k} {v:.1f}" for k, v in fps.items())
    ratio = fps[name] / fps[best]
    return [Figure("FPS of auto layout / best by hand", "≥ 0.97", ratio, ratio >= 0.97, note)]


def throughput(runner: Runner) -> list[Figure]:
    """Return efficiency and cost at full speed."""
    one = runner.run("--preload")
    runner.fps = one["e2e_fps"]
    alone = one["inference_only_fps"]
    cpu_ms = 1000 * one["cpu_seconds_per_frame"]
    layout_name = f"{one['workers']}x{one['threads']}"
    return [
        Figure(
            "efficiency, same thread budget",
            "≥ 0.95",
            one["efficiency"],
            one["efficiency"] >= 0.95,
            f"{runner.fps:.1f} FPS end to end, {alone:.1f} alone, {layout_name}",
        ),
        Figure(
            "CPU seconds per frame / of invoke alone",
            "≤ 1.10",
            one["cpu_ratio"],
            one["cpu_ratio"] <= 1.10,
            f"{cpu_ms:.2f} ms a frame",
        ),
    ]


def latency(runner: Runner) -> list[Figure]:
    """Return what is added to inference, and how steady it is under load."""
    fps = runner.fps or runner.run("--preload")["e2e_fps"]
    broker = start_broker("mosquitto")
    try:
        words = ("--preload", "--mqtt", f"127.0.0.1:{broker.port}", "--rate")
        easy = runner.run(*words, f"{EASY * fps:.2f}")
        full = runner.run(*words, f"{LOAD * fps:.2f}")
    finally:
        broker.stop()
    stages = ", ".join(f"{name} {one['p50']:.2f}" for name, one in easy["stages_ms"].items())
    spread = f"p50 {full['latency_ms']['p50']:.1f} ms, p99 {full['latency_ms']['p99']:.1f}"
    return [
        Figure(
            "p50 capture to published less p50 inference, ms",
            "≤ 3",
            easy["overhead_ms"],
            easy["overhead_ms"] <= 3,
            f"at {EASY * fps:.0f} FPS: {stages}, publish {easy['publish_ms']:.2f}",
        ),
        Figure(
            "p99 / p50 latency at 80 % load",
            "≤ 2",
            full["p99_over_p50"],
            full["p99_over_p50"] <= 2,
            f"at {LOAD * fps:.0f} FPS: {spread}",
        ),
    ]


def cameras(runner: Runner) -> list[Figure]:
    """Return what four cameras get of one's rate; one and four take turns."""
    one, four, least = [], [], []
    for _ in range(ROUNDS):
        one.append(runner.run("--preload", frames=480)["e2e_fps"])
        figures = runner.run("--preload", "--cameras", "4", frames=480)
        four.append(figures["e2e_fps"])
        least.append(figures["slowest_camera_fps"] * 4 / figures["e2e_fps"])
    ratio = statistics.median(b / a for a, b in zip(one, four, strict=True))
    note = f"the slowest camera gets {statistics.median(least):.3f} of a fair share"
    return [Figure("total FPS with 4 cameras / with 1", "≥ 0.95", ratio, ratio >= 0.95, note)]


def camera_memory(_runner: Runner) -> list[Figure]:
    """Return what cameras cost a daemon in memory, at the same total rate."""
    sizes = {}
    for count in (1, 4, 8):
        described = ", ".join(
            f"{{name='c{n}', source='synthetic', fps={16 / count}}}" for n in range(count)
        )
        with daemon(f"camera=[{described}]", "accelerator.name=cpu") as one:
            one.wait_for("metrics", 60)
            time.sleep(SETTLE_SECONDS)
            sizes[count] = one.memory_mib()
    each = (sizes[8] - sizes[1]) / 7
    note = ", ".join(f"{count} cameras {mib:.0f} MiB" for count, mib in sizes.items())
    return [Figure("memory for each further camera, MiB", "≤ 15", each, each <= 15, note)]


def start(runner: Runner) -> list[Figure]:
    """Return seconds from exec to the first detection and of the end, of a probe, and memory."""
    seconds, ends, probes = [], [], []
    for _ in range(ROUNDS):
        words = ("camera=[{source='synthetic'}]", "accelerator.name=cpu")
        with daemon(*words, state=runner.state) as one:
            seconds.append(one.wait_for("detections", 60))
        ends.append(one.end_seconds)
        began = time.monotonic()
        command = [sys.executable, "-m", "appliance", "probe"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        probes.append(time.monotonic() - began)
    with daemon(*words) as one:  # a first start: layouts are measured after a minute
        one.wait_for("metrics", 60)
        before = one.memory_mib()
        one.wait_until(lambda: one.last["info"]["layout"].startswith("measured"), 150)
        time.sleep(SETTLE_SECONDS)
        after, highest = one.memory_mib(), one.memory_mib("VmHWM")
    first, worst = statistics.median(seconds), max(before, after)
    last, probe = max(ends), statistics.median(probes)
    note = f"{before:.0f} before layouts are measured, {after:.0f} after, {highest:.0f} meanwhile"
    return [
        Figure(
            "start to first published detection, s", "≤ 1.5", first, first <= 1.5, "median of 5"
        ),
        Figure("SIGTERM to the process's end, s", "≤ 2", last, last <= 2, "longest of 5"),
        Figure("appliance probe, s", "≤ 3", probe, probe <= 3, "median of 5"),
        Figure("resident memory, one synthetic camera, MiB", "≤ 150", worst, worst <= 150, note),
    ]


def plain_loop(runner: Runner, video: Path, model: Path) -> list[Figure]:
    """Return our rate on a video over a plain OpenCV loop's, all three taking turns."""
    ours, loops = [], {"unset": [], "2": []}  # type: ignore[var-annotated]
    for _ in range(ROUNDS):
        words = ("--source", str(video), "--model", str(model))
        ours.append(runner.run(*words, frames=200)["e2e_fps"])
        for threads, rates in loops.items():
            more = () if threads == "unset" else ("--threads", threads)
            script = Path(__file__).with_name("plain_loop.py")
            command = [sys.executable, str(script), str(video), str(model), *more]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rates.append(float(out.split()[0]))
    mine = statistics.median(ours)
    unset, two = (statistics.median(rates) for rates in loops.values())
    note = f"{mine:.1f} FPS; loop {unset:.1f}; with 2 threads {two:.1f}, so {mine / two:.2f} of it"
    ratio = statistics.median(a / b for a, b in zip(ours, loops["unset"], strict=True))
    return [Figure("FPS on the video / a plain loop", "≥ 1.6", ratio, ratio >= 1.6, note)]


if __name__ == "__main__":
    main()
