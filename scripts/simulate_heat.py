"""Draw what the governor does on a simulated board, and print the figures of docs/heat.md.

Usage: python scripts/simulate_heat.py [--out docs/heat.svg]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from appliance.bench.plot import Chart, Line, draw
from appliance.heat.watch import HeatPolicy
from scripts.heat_simulation.plant import PI4
from scripts.heat_simulation.run import Trace, simulate

AMBIENT, HOURS, SETTLED = 35.0, 2.0, 1800.0


def main() -> None:
    """Simulate both, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        traces = {
            "firmware alone": run(Path(folder, "a"), HeatPolicy("off", min_fps=5.0)),
            "governed": run(Path(folder, "b"), HeatPolicy("act", min_fps=5.0)),
        }
    print(f"{PI4.name}, {AMBIENT:g} °C around it, {HOURS:g} h; figures after {SETTLED / 60:g} min")
    for name, trace in traces.items():
        late = trace.after(SETTLED)
        print(
            f"{name:<16} mean {np.mean(late.fps):5.2f} FPS, standard deviation "
            f"{np.std(late.fps):5.2f}, throttled {sum(late.throttled):5.0f} s, "
            f"p99 of a frame {1000 * late.p99_frame_seconds():5.0f} ms, "
            f"hottest {max(late.celsius):.1f} °C, changes of mode {len(late.changes)}"
        )
    if options.out:
        picture(traces, options.out)


def run(folder: Path, policy: HeatPolicy) -> Trace:
    """Simulate one."""
    return simulate(PI4, folder, policy, ambient=AMBIENT, seconds=HOURS * 3600)


def picture(traces: dict[str, Trace], path: Path) -> None:
    """Draw temperature and rate of the first forty minutes."""
    charts = [
        Chart(
            "Temperature of the processor",
            "°C",
            [Line(name, minutes(trace.celsius)) for name, trace in traces.items()],
            [("the firmware slows from here on", PI4.soft_celsius)],
        ),
        Chart(
            "Frames a second, end to end",
            "FPS",
            [Line(name, minutes(trace.fps)) for name, trace in traces.items()],
            [("floor (min_fps)", 5.0)],
        ),
    ]
    draw(charts, "minutes", path)


def minutes(values: list[float]) -> list[tuple[float, float]]:
    """Return every fourth second of the first forty minutes."""
    return [(second / 60, values[second]) for second in range(0, 2401, 4)]


if __name__ == "__main__":
    main()
