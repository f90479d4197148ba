"""From rounds to figures: medians over rounds, distributions over all results, pure."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.bench.alone import WARM_UP
from appliance.clock import NS_PER_MS
from appliance.config.addresses import without_secrets
from appliance.pipeline.statistics import spread
from appliance.values import StageTimes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from appliance.bench.plan import BenchPlan, Round

BINS = 40


def summarise(plan: BenchPlan, rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the figures named in the design, JSON-ready.

    Args:
        plan: what was measured.
        rounds: what they gave.
    """
    chosen = rounds[-1].selection
    times = [one for its in rounds for one in its.times]
    durations = np.asarray([one.durations_ns for one in times], np.int64)
    latencies = np.asarray([one.latency_ns for one in times], np.int64)
    camera = plan.settings.camera[0]
    stages = {
        name: _spread_ms(durations[:, column]) for column, name in enumerate(StageTimes.NAMES)
    }
    latency = _spread_ms(latencies)
    published = [one.publish_ms for one in rounds if one.publish_ms is not None]
    publish_ms = statistics.median(published) if published else None
    return {
        "source": without_secrets(camera.source),
        "size": list(rounds[-1].size),
        "cameras": len(plan.settings.camera),
        "preload": plan.preload,
        "rounds": len(rounds),
        "e2e_fps": _median(rounds, lambda one: one.end_to_end_fps, 3),
        "slowest_camera_fps": _median(rounds, lambda one: one.slowest_fps, 3),
        "camera_fps": _median(rounds, lambda one: one.camera_fps, 3),
        "inference_only_fps": _median(rounds, lambda one: one.alone.fps, 3),
        "efficiency": _median(rounds, lambda one: one.efficiency, 4),
        "frames": {
            "captured": sum(one.captured for its in rounds for one in its.counts),
            "processed": sum(one.processed for one in rounds),
            "dropped": _dropped(rounds),
        },
        "stages_ms": stages,
        "publish_ms": publish_ms,
        "latency_ms": latency,
        "overhead_ms": round(latency["p50"] + (publish_ms or 0.0) - stages["inference"]["p50"], 4),
        "p99_over_p50": round(latency["p99"] / latency["p50"], 4),
        "latency_histogram": _histogram(latencies),
        "cpu_seconds_per_frame": round(
            sum(one.cpu_seconds for one in rounds) / sum(one.processed for one in rounds), 6
        ),
        "cpu_seconds_per_invoke": _median(rounds, lambda one: one.alone.cpu_seconds, 6),
        "cpu_ratio": _median(rounds, lambda one: one.cpu_ratio, 4),
        "rss_mib": round(max(one.memory_mib for one in rounds), 1),
        "model": chosen.model.id,
        "accelerator": chosen.accelerator.name,
        "workers": chosen.layout.workers,
        "threads": chosen.layout.threads,
        "layout": chosen.layout.why,
        "warmup": {"frames": WARM_UP * len(rounds) * len(plan.settings.camera)},
    }


def _median(
    rounds: Sequence[Round], figure: Callable[[Round], float | None], digits: int
) -> float | None:
    values = [value for value in map(figure, rounds) if value is not None]
    return round(statistics.median(values), digits) if values else None


def _dropped(rounds: Sequence[Round]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for its in rounds:
        for one in its.counts:
            total.update(one.dropped)
    return dict(total)


def _histogram(latencies_ns: NDArray[np.int64]) -> dict[str, list[float]]:
    """Return counts and edges up to the 99.5th percentile; what is beyond is in the last bin."""
    top = float(np.percentile(latencies_ns, 99.5))
    counts, edges = np.histogram(np.minimum(latencies_ns, top), BINS)
    return {
        "edges_ms": [round(float(one) / NS_PER_MS, 3) for one in edges],
        "counts": [float(one) for one in counts],
    }


def _spread_ms(durations_ns: NDArray[np.int64]) -> dict[str, float]:
    one = spread(durations_ns)
    return {"mean": one.mean, "p50": one.p50, "p95": one.p95, "p99": one.p99, "max": one.max}
