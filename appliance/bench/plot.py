"""Line charts, small enough for a document; no plotting library on the appliance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.bench.canvas import canvas_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from appliance.bench.canvas import Canvas, Point

WIDTH, HEIGHT = 760, 190
COLOURS = ("#0b7285", "#d9480f", "#5f3dc4", "#2b8a3e", "#868e96")
GRID, QUIET = "#e9ecef", "#868e96"
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 30, 28
_LIMIT = "#c92a2a"
_TICKS = 4


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


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where values lie on the paper: the first x and y, and pixels for one of each."""

    x0: float
    y0: float
    x_pixels: float
    y_pixels: float
    bottom: float

    def place(self, x: float, y: float) -> Point:
        return _LEFT + (x - self.x0) * self.x_pixels, self.bottom - (y - self.y0) * self.y_pixels


def draw(charts: Sequence[Chart], x_label: str, path: Path) -> None:
    """Draw the charts below each other over one x axis.

    Raises:
        ValueError: there is nothing to draw.
        UsageError: the file's ending is neither .svg nor .png.
    """
    xs = [x for chart in charts for line in chart.lines for x, _ in line.points]
    if not xs:
        raise ValueError("nothing to draw")
    span = (min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1)
    height = HEIGHT * len(charts) + 24
    canvas = canvas_for(path, WIDTH, height)
    for number, chart in enumerate(charts):
        _chart(canvas, chart, span, number * HEIGHT)
    canvas.text((WIDTH / 2, height - 8), x_label, anchor="middle")
    canvas.save(path)


def _chart(canvas: Canvas, chart: Chart, span: tuple[float, float], top: float) -> None:
    values = [y for line in chart.lines for _, y in line.points] + [y for _, y in chart.limits]
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or 1.0
    low, high = low - margin, high + margin
    right, bottom = WIDTH - _RIGHT, top + HEIGHT - _BOTTOM
    scale = _Scale(
        span[0],
        low,
        (right - _LEFT) / (span[1] - span[0]),
        (bottom - top - _TOP) / (high - low),
        bottom,
    )
    for tick in range(_TICKS + 1):
        value = low + (high - low) * tick / _TICKS
        _, y = scale.place(span[0], value)
        canvas.line(((_LEFT, y), (right, y)), GRID)
        canvas.text((_LEFT - 6, y + 4), f"{value:.4g}", anchor="end")
        at = span[0] + (span[1] - span[0]) * tick / _TICKS
        canvas.text((scale.place(at, low)[0], bottom + 14), f"{at:.4g}", anchor="middle")
    for name, value in chart.limits:
        _, y = scale.place(span[0], value)
        canvas.line(((_LEFT, y), (right, y)), _LIMIT)
        canvas.text((right, y - 3), name, anchor="end", colour=_LIMIT)
    for line, colour in zip(chart.lines, COLOURS, strict=False):
        canvas.line([scale.place(*point) for point in line.points], colour, 1.5)
    _head(canvas, chart, top + 16)


def _head(canvas: Canvas, chart: Chart, y: float) -> None:
    """Write title, unit, and the lines' names in their colours."""
    canvas.text((_LEFT, y), chart.title)
    canvas.text((6, y), chart.unit, colour=QUIET)
    x = float(WIDTH - _RIGHT)
    for line, colour in reversed(list(zip(chart.lines, COLOURS, strict=False))):
        canvas.text((x, y), line.name, anchor="end", colour=colour)
        x -= 7 * len(line.name) + 14
