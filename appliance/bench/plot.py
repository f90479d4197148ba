"""Line charts as SVG, small enough for a document; no plotting library on the appliance."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 760, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 30, 28
_COLOURS = ("#0b7285", "#d9480f", "#5f3dc4", "#2b8a3e", "#868e96")
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


def draw(charts: Sequence[Chart], x_label: str) -> str:
    """Return an SVG with the charts below each other over one x axis.

    Raises:
        ValueError: there is nothing to draw.
    """
    xs = [x for chart in charts for line in chart.lines for x, _ in line.points]
    if not xs:
        raise ValueError("nothing to draw")
    span = (min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1)
    height = HEIGHT * len(charts) + 24
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'font-family="sans-serif" font-size="11">'
        ),
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, chart in enumerate(charts):
        parts.append(f'<g transform="translate(0 {number * HEIGHT})">{_chart(chart, span)}</g>')
    parts.append(
        f'<text x="{WIDTH / 2}" y="{height - 8}" text-anchor="middle">{escape(x_label)}</text>'
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _chart(chart: Chart, span: tuple[float, float]) -> str:
    values = [y for line in chart.lines for _, y in line.points] + [y for _, y in chart.limits]
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or 1.0
    low, high = low - margin, high + margin
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + (x - span[0]) / (span[1] - span[0]) * (right - _LEFT),
            bottom - (y - low) / (high - low) * (bottom - _TOP),
        )

    parts = [f'<text x="{_LEFT}" y="16" font-weight="bold">{escape(chart.title)}</text>']
    for tick in range(_TICKS + 1):
        value = low + (high - low) * tick / _TICKS
        _, y = place(span[0], value)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#e9ecef"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>')
        at = span[0] + (span[1] - span[0]) * tick / _TICKS
        x, _ = place(at, low)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{at:.4g}</text>')
    for name, value in chart.limits:
        _, y = place(span[0], value)
        text = f'text-anchor="end" fill="{_LIMIT}">{escape(name)}</text>'
        parts.append(
            f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="{_LIMIT}" stroke-dasharray="5 4"/>'
        )
        parts.append(f'<text x="{right}" y="{y - 3:.1f}" {text}')
    for line, colour in zip(chart.lines, _COLOURS, strict=False):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line.points))
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
    parts.append(_legend(chart))
    return "".join(parts)


def _legend(chart: Chart) -> str:
    x, parts = WIDTH - _RIGHT, []
    for line, colour in reversed(list(zip(chart.lines, _COLOURS, strict=False))):
        parts.append(
            f'<text x="{x}" y="16" text-anchor="end" fill="{colour}">{escape(line.name)}</text>'
        )
        x -= 7 * len(line.name) + 14
    unit = f'<text x="6" y="16" fill="#868e96">{escape(chart.unit)}</text>'
    return unit + "".join(parts)
