"""A measurement as a picture: where a frame's time goes, and how latencies are spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.bench.canvas import canvas_for
from appliance.bench.plot import COLOURS, GRID, QUIET

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.bench.canvas import Canvas

WIDTH, HEIGHT = 760, 400
_LEFT, _RIGHT = 96, 64
_BAR, _STEP = 16, 24
_WATERFALL_TOP = 56
_HISTOGRAM_TOP, _HISTOGRAM_BOTTOM = 230, 366
_TICKS = 8


def draw_measurement(figures: dict[str, Any], path: Path) -> None:
    """Draw the stages' waterfall (means, which add up) over the latencies' histogram.

    Raises:
        UsageError: the file's ending is neither .svg nor .png.
    """
    canvas = canvas_for(path, WIDTH, HEIGHT)
    title = (
        f"{figures['model']} on {figures['accelerator']}, {figures['workers']}x{figures['threads']}"
    )
    rates = f"{figures['e2e_fps']:.1f} FPS end to end, {figures['inference_only_fps']:.1f} alone"
    canvas.text((_LEFT, 18), f"{title}: {rates}")
    _waterfall(canvas, figures)
    _histogram(canvas, figures)
    canvas.save(path)


def _waterfall(canvas: Canvas, figures: dict[str, Any]) -> None:
    stages = {name: one["mean"] for name, one in figures["stages_ms"].items()}
    if figures["publish_ms"] is not None:
        stages["publish"] = figures["publish_ms"]
    total = sum(stages.values())
    pixels = (WIDTH - _LEFT - _RIGHT) / total
    canvas.text((_LEFT, 42), "where a frame's time goes: mean of each stage, ms", colour=QUIET)
    x, y = float(_LEFT), float(_WATERFALL_TOP)
    for (name, milliseconds), colour in zip(stages.items(), _colours(), strict=False):
        canvas.text((_LEFT - 8, y + 12), name, anchor="end")
        canvas.rectangle((x, y), (max(1.0, milliseconds * pixels), _BAR), colour)
        x += milliseconds * pixels
        canvas.text((x + 6, y + 12), f"{milliseconds:.2f}")
        y += _STEP


def _histogram(canvas: Canvas, figures: dict[str, Any]) -> None:
    histogram, latency = figures["latency_histogram"], figures["latency_ms"]
    edges, counts = histogram["edges_ms"], histogram["counts"]
    low, high = edges[0], edges[-1]
    pixels = (WIDTH - _LEFT - _RIGHT) / max(high - low, 1e-9)
    height = (_HISTOGRAM_BOTTOM - _HISTOGRAM_TOP) / max(counts)
    words = f"latency: p50 {latency['p50']:.1f}, p95 {latency['p95']:.1f}, p99 {latency['p99']:.1f}"
    canvas.text((_LEFT, _HISTOGRAM_TOP - 12), f"{words} ms; the last bar holds what is beyond")
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        x, top = _LEFT + (left - low) * pixels, _HISTOGRAM_BOTTOM - count * height
        size = (max(1.0, (right - left) * pixels - 1), count * height)
        canvas.rectangle((x, top), size, COLOURS[0])
    canvas.line(((_LEFT, _HISTOGRAM_BOTTOM), (WIDTH - _RIGHT, _HISTOGRAM_BOTTOM)), GRID)
    for tick in range(_TICKS + 1):
        value = low + (high - low) * tick / _TICKS
        x = _LEFT + (value - low) * pixels
        canvas.text((x, _HISTOGRAM_BOTTOM + 16), f"{value:.1f}", anchor="middle", colour=QUIET)


def _colours() -> tuple[str, ...]:
    return (*COLOURS[:4], COLOURS[0], COLOURS[1])
