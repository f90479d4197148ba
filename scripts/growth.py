"""What frame size and cameras cost: measure both, print Markdown, draw.

Usage: python scripts/growth.py [--plot FOLDER]

Hours of running are `make soak`'s.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench_run import bench

from appliance.bench.plot import Chart, Line, draw

ROUNDS = 5
MEMORY = ("--preload", "--runs", "1")
SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160))
CAMERAS = (1, 2, 4, 8)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes, cameras = by_size(Path(folder)), by_cameras(Path(folder))
    if options.plot:
        charts = [
            Chart("End to end, one camera", "FPS", [Line("FPS", sizes["fps"])]),
            Chart("Resizing", "ms", [Line("p50", sizes["preprocess"])]),
            Chart("CPU a frame over an invoke alone", "ratio", [Line("ratio", sizes["cpu"])]),
        ]
        draw(charts, "megapixels of a frame", options.plot / "growth-size.svg")
        charts = [Chart("All cameras together", "FPS", [Line("FPS", cameras)])]
        draw(charts, "cameras sharing one detector", options.plot / "growth-cameras.svg")


def by_size(state: Path) -> dict[str, list[tuple[float, float]]]:
    """Measure each frame size; they take turns, medians of the rounds."""
    runs: dict[tuple[int, int], list[dict[str, Any]]] = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for (width, height), its in runs.items():
            words = ("--frames", "60", "--width", str(width), "--height", str(height))
            its.append(bench(*MEMORY, *words, state=state))
    print("| frame | FPS | resize p50, ms | CPU a frame, ms | over an invoke alone |")
    print("|---|---|---|---|---|")
    lines: dict[str, list[tuple[float, float]]] = {"fps": [], "preprocess": [], "cpu": []}
    for (width, height), its in runs.items():
        fps = statistics.median(one["e2e_fps"] for one in its)
        resize = statistics.median(one["stages_ms"]["preprocess"]["p50"] for one in its)
        cpu = 1000 * statistics.median(one["cpu_seconds_per_frame"] for one in its)
        ratio = statistics.median(one["cpu_ratio"] for one in its)
        print(f"| {width}x{height} | {fps:.1f} | {resize:.2f} | {cpu:.1f} | {ratio:.3f} |")
        megapixels = width * height / 1e6
        for name, value in (("fps", fps), ("preprocess", resize), ("cpu", ratio)):
            lines[name].append((megapixels, value))
    return lines


def by_cameras(state: Path) -> list[tuple[float, float]]:
    """Measure each number of cameras; they take turns, medians of the rounds."""
    runs: dict[int, list[dict[str, Any]]] = {count: [] for count in CAMERAS}
    for _ in range(ROUNDS):
        for count, its in runs.items():
            words = ("--frames", "160", "--cameras", str(count))
            its.append(bench(*MEMORY, *words, state=state))
    print("\n| cameras | FPS of all | of one camera's rate | slowest camera, fair share |")
    print("|---|---|---|---|")
    alone = statistics.median(one["e2e_fps"] for one in runs[1])
    points = []
    for count, its in runs.items():
        fps = statistics.median(one["e2e_fps"] for one in its)
        fair = statistics.median(one["slowest_camera_fps"] * count / one["e2e_fps"] for one in its)
        print(f"| {count} | {fps:.1f} | {fps / alone:.3f} | {fair:.3f} |")
        points.append((float(count), fps))
    return points


if __name__ == "__main__":
    main()
