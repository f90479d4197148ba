"""Does it keep its pace and its memory? Runs the daemon at full speed and watches both.

Usage: make soak, or: python scripts/soak.py [--minutes 30] [--plot FILE]

Memory is judged from the third minute on: by then every buffer has its size. Exit code 1 where it
grew by more than 1 MiB. Layouts are not measured meanwhile: the camera delivers as a file does.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from daemon_run import daemon

from appliance.bench.plot import Chart, Line, draw

LIMIT_MIB = 1.0
LEAST_MINUTES = 3
SETTLED_SECONDS, SAMPLE_SECONDS, WINDOW = 120.0, 5.0, 6
CAMERA = "camera=[{source='synthetic', options={rate='file'}}]"


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if options.minutes < LEAST_MINUTES:
        parser.error(f"--minutes {options.minutes:g}: expected {LEAST_MINUTES} or more")
    samples: list[tuple[float, float, float]] = []
    with daemon(CAMERA, "accelerator.name=cpu") as one:
        one.wait_for("metrics", 60)
        while (seconds := time.monotonic() - one.began) < options.minutes * 60:
            fps = one.last["metrics"]["end_to_end_fps"] or 0.0
            samples.append((seconds / 60, one.memory_mib(), fps))
            time.sleep(SAMPLE_SECONDS)
        layout = one.last["info"]["layout"]
        dropped = one.last["metrics"]["frames"]["dropped"]
    settled = [one for one in samples if one[0] * 60 >= SETTLED_SECONDS]
    early = statistics.median(mib for _, mib, _ in settled[:WINDOW])
    late = statistics.median(mib for _, mib, _ in settled[-WINDOW:])
    rates = [fps for _, _, fps in settled]
    print(f"layout: {layout}")
    print(f"minutes {samples[-1][0]:.0f}, frames dropped {sum(dropped.values())}")
    print(f"memory after 2 minutes {early:.2f} MiB, at the end {late:.2f}: {late - early:+.2f} MiB")
    first, last = statistics.median(rates[:WINDOW]), statistics.median(rates[-WINDOW:])
    print(f"end-to-end FPS after 2 minutes {first:.1f}, at the end {last:.1f}")
    if options.plot:
        charts = [
            Chart("Resident memory", "MiB", [Line("MiB", [(m, mib) for m, mib, _ in samples])]),
            Chart("End to end", "FPS", [Line("FPS", [(m, fps) for m, _, fps in samples])]),
        ]
        draw(charts, "minutes", options.plot)
    return 0 if late - early <= LIMIT_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
