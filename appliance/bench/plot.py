"""Pictures of measurements, by matplotlib, which is on no appliance: the extra ``plot``."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

from appliance.errors import UnavailableError, UsageError
from appliance.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES = 7.6
CHART_INCHES = 1.9
DOTS_PER_INCH = 200
"""Of a PNG, for screens that show it at half its size."""
_SETTINGS: Any = {
    "font.size": 8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "lines.linewidth": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e9ecef",
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "appliance",  # the same figures make the same file
}
_LIMIT = "#c92a2a"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its name, and (x, y) pairs in order."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart.

    Attributes:
        title: above it.
        unit: of y.
        lines: drawn over each other.
        limits: horizontal lines with a name, such as temperatures.
    """

    title: str
    unit: str
    lines: Sequence[Line]
    limits: Sequence[tuple[str, float]] = ()


def check_picture(path: Path) -> None:
    """Check that a picture can be written to ``path``.

    Raises:
        UsageError: its ending is neither .svg nor .png, or its folder is not there.
        UnavailableError: matplotlib is not installed.
    """
    if path.suffix not in {".svg", ".png"}:
        raise UsageError(f"--plot {path}: expected a file ending in .svg or .png")
    if not path.parent.is_dir():
        raise UsageError(f"--plot {path}: {path.parent} is no folder")
    if find_spec("matplotlib") is None:
        raise UnavailableError(
            f"--plot {path}: matplotlib is not installed",
            hint="pip install 'appliance[plot]', or pip install matplotlib",
        )


def draw(charts: Sequence[Chart], x_label: str, path: Path) -> None:
    """Draw the charts below each other over one x axis.

    Raises:
        ValueError: there is nothing to draw.
        UsageError, UnavailableError: see ``check_picture``.
    """
    if not any(line.points for chart in charts for line in chart.lines):
        raise ValueError("nothing to draw")
    with _sheet(path, CHART_INCHES * len(charts) + 0.3) as figure:
        axes = figure.subplots(len(charts), sharex=True, squeeze=False)[:, 0]
        for one, chart in zip(axes, charts, strict=True):
            _chart(one, chart)
        axes[-1].set_xlabel(x_label)


def draw_measurement(figures: dict[str, Any], path: Path) -> None:
    """Draw the stages' waterfall (means, which add up) over the latencies' histogram.

    Raises:
        UsageError, UnavailableError: see ``check_picture``.
    """
    with _sheet(path, 4.0) as figure:
        waterfall, histogram = figure.subplots(2)
        layout = f"{figures['workers']}x{figures['threads']}"
        rates = (
            f"{figures['e2e_fps']:.1f} FPS end to end, {figures['inference_only_fps']:.1f} alone"
        )
        figure.suptitle(f"{figures['model']} on {figures['accelerator']}, {layout}: {rates}")
        _waterfall(waterfall, figures)
        _histogram(histogram, figures)


@contextmanager
def _sheet(path: Path, height_inches: float) -> Iterator[Figure]:
    """Yield an empty figure; write it when it is drawn."""
    check_picture(path)
    from matplotlib import rc_context  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context(_SETTINGS):
        figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
        yield figure
        content, kind = BytesIO(), path.suffix.removeprefix(".")
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(content, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
    write_whole(path, content.getvalue())


def _chart(axes: Axes, chart: Chart) -> None:
    axes.set_title(chart.title, loc="left", fontsize=9)
    axes.set_ylabel(chart.unit)
    for line in chart.lines:
        axes.plot(*zip(*line.points, strict=True), label=line.name)
    for name, value in chart.limits:
        axes.axhline(value, color=_LIMIT, linewidth=0.8, label=name)
    if len(chart.lines) + len(chart.limits) > 1:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, borderaxespad=0.2)


def _waterfall(axes: Axes, figures: dict[str, Any]) -> None:
    stages = {name: one["mean"] for name, one in figures["stages_ms"].items()}
    if figures["publish_ms"] is not None:
        stages["publish"] = figures["publish_ms"]
    begin = 0.0
    for number, (name, milliseconds) in enumerate(stages.items()):
        axes.barh(name, milliseconds, left=begin, color=f"C{number}")
        begin += milliseconds
        axes.annotate(f" {milliseconds:.2f}", (begin, number), va="center")
    axes.invert_yaxis()
    axes.set_xlim(0, begin * 1.08)
    axes.set_title("where a frame's time goes: mean of each stage, ms", loc="left", fontsize=9)


def _histogram(axes: Axes, figures: dict[str, Any]) -> None:
    histogram, latency = figures["latency_histogram"], figures["latency_ms"]
    axes.stairs(histogram["counts"], histogram["edges_ms"], fill=True)
    words = f"latency: p50 {latency['p50']:.1f}, p95 {latency['p95']:.1f}, p99 {latency['p99']:.1f}"
    axes.set_title(f"{words} ms; the last bar holds what is beyond", loc="left", fontsize=9)
