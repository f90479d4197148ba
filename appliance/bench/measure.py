"""Measure: rounds of the whole pipeline, alternating with rounds of the detector alone."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.app import wire
from appliance.bench.processes import cpu_seconds, peak_memory_mib
from appliance.bench.source import LimitedSource, PreloadedSource
from appliance.clock import NS_PER_SECOND
from appliance.detectors import select
from appliance.environment import Environment
from appliance.errors import ApplianceError, MediaError, UsageError
from appliance.pipeline.statistics import spread
from appliance.quiet import keep_quiet
from appliance.runtime import Sinks
from appliance.sources import create_source
from appliance.values import StageTimes

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.accelerators import Detector
    from appliance.config import Camera, Settings
    from appliance.pipeline import Counts
    from appliance.sources import Source
    from appliance.values import Observation

ROUNDS = 5
WARM_UP = 5
"""First results and invokes of every round that are not counted: loading, caches, clocks."""
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """What to measure.

    Attributes:
        settings: model, accelerator, one camera; MQTT is not used.
        frames: results to measure, all rounds together.
        preload: keep the frames in memory.
        rate: frames a second of a live source, or None for back-pressure.
    """

    settings: Settings
    frames: int
    preload: bool
    rate: float | None


@dataclass(slots=True)
class _Recorder:
    """A filter at the end of the chain that keeps the times of every result."""

    wants_picture: bool = False
    times: list[StageTimes] = field(default_factory=list)

    def apply(self, observation: Observation) -> Observation:
        """Keep the boundaries."""
        self.times.append(observation.times)
        return observation


@dataclass(frozen=True, slots=True)
class _Round:
    end_to_end_fps: float
    camera_fps: float | None
    inference_only_fps: float
    times: list[StageTimes]
    counts: Counts
    cpu_seconds: float
    memory_mib: float


def measure(
    plan: BenchPlan, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> dict[str, Any]:
    """Return the figures named in the design, as a JSON-ready dictionary.

    Args:
        plan: what to measure.
        progress: told rounds done and in all.

    Raises:
        UsageError: fewer frames than a measurement needs.
        ApplianceError: model, accelerator or source cannot be used.
    """
    return measure_alternately((plan,), progress)[0]


def measure_alternately(
    plans: tuple[BenchPlan, ...], progress: Callable[[int, int], None] = lambda _done, _all: None
) -> list[dict[str, Any]]:
    """Return the figures of each plan, their rounds taking turns, so that noise hits all alike.

    Raises:
        UsageError: fewer frames than a measurement needs.
        ApplianceError: model, accelerator or source cannot be used.
    """
    if not plans:
        return []
    frames = plans[0].frames
    if frames < 2 * WARM_UP:
        raise UsageError(f"--frames {frames}: at least {2 * WARM_UP} are needed")
    rounds_planned = ROUNDS if frames >= ROUNDS * 4 * WARM_UP else 1
    per_round = frames // rounds_planned + WARM_UP
    environment = Environment()
    rounds: list[list[_Round]] = [[] for _ in plans]
    for number in range(rounds_planned):
        for place, plan in enumerate(plans):
            progress(number * len(plans) + place, rounds_planned * len(plans))
            rounds[place].append(_one_round(plan, environment, per_round))
    progress(rounds_planned * len(plans), rounds_planned * len(plans))
    return [_summary(plan, its) for plan, its in zip(plans, rounds, strict=True)]


def _one_round(plan: BenchPlan, environment: Environment, frames: int) -> _Round:
    recorder = _Recorder()
    runtime = wire(
        plan.settings,
        environment,
        Sinks(None, ()),
        filters=(recorder,),
        make_source=lambda camera, size: _source(plan, environment, camera, size, frames),
    )
    keep_quiet()
    lane = runtime.pipeline.lanes[0]
    began = cpu_seconds()
    runtime.pipeline.start()
    waiter = threading.Event()
    while not runtime.pipeline.finished():
        runtime.pipeline.check()
        waiter.wait(_POLL_SECONDS)
    used_seconds = cpu_seconds() - began
    memory_mib = peak_memory_mib()
    counts = lane.ledger.counts()
    runtime.pipeline.check()
    runtime.pipeline.stop()
    runtime.close()
    times = recorder.times[WARM_UP:]
    if len(times) < WARM_UP:
        raise MediaError(
            f"source {plan.settings.camera[0].source}: only {len(recorder.times)} frames, too few "
            "to measure",
            hint="a longer video, or --preload",
        )
    return _Round(
        end_to_end_fps=_rate([one.done_ns for one in times]),
        camera_fps=_camera_fps(plan, recorder.times, counts, live=lane.source.live),
        inference_only_fps=_inference_only(plan.settings, len(times)),
        times=times,
        counts=counts,
        cpu_seconds=used_seconds,
        memory_mib=memory_mib,
    )


def _source(
    plan: BenchPlan,
    environment: Environment,
    camera: Camera,
    input_size: tuple[int, int],
    frames: int,
) -> Source:
    inner = create_source(camera, input_size=input_size, clock=environment.clock)
    if plan.preload:
        return PreloadedSource(inner, frames, plan.rate, environment.clock)
    return LimitedSource(inner, frames)


def _inference_only(settings: Settings, invokes: int) -> float:
    """Return invokes a second of the detectors alone, in the pipeline's own layout."""
    chosen = select(settings, Environment())
    workers = chosen.layout.workers
    detectors = [
        chosen.accelerator.open(chosen.model, threads=chosen.layout.threads) for _ in range(workers)
    ]
    each = max(WARM_UP, invokes // workers)
    gate = threading.Barrier(workers + 1)
    failures: list[ApplianceError] = []
    threads_made = [
        threading.Thread(target=_invoke, args=(detector, each, gate, failures))
        for detector in detectors
    ]
    for thread in threads_made:
        thread.start()
    with contextlib.suppress(threading.BrokenBarrierError):  # one failed before it began
        gate.wait()
    began_ns = time.monotonic_ns()
    for thread in threads_made:
        thread.join()
    elapsed_ns = time.monotonic_ns() - began_ns
    for detector in detectors:
        detector.close()
    if failures:
        raise failures[0]
    return workers * each * NS_PER_SECOND / elapsed_ns


def _invoke(
    detector: Detector, count: int, gate: threading.Barrier, failures: list[ApplianceError]
) -> None:
    try:
        _fill(detector)
        for _ in range(WARM_UP):
            detector.infer()
        gate.wait()
        for _ in range(count):
            detector.infer()
    except ApplianceError as error:
        failures.append(error)
        gate.abort()
    except threading.BrokenBarrierError:
        return  # another one failed


def _fill(detector: Detector) -> None:
    """Load a grey picture; the view must not outlive this call."""
    with detector.input() as tensor:
        tensor[:] = 128


def _camera_fps(
    plan: BenchPlan, times: list[StageTimes], counts: Counts, *, live: bool
) -> float | None:
    if not live:
        return None
    if plan.rate is not None and plan.preload:
        return plan.rate
    seconds = (times[-1].captured_ns - times[0].captured_ns) / NS_PER_SECOND
    return (counts.captured - 1) / seconds if seconds > 0 else None


def _rate(stamps_ns: list[int]) -> float:
    """Return events a second between the first and the last stamp (n - 1 intervals)."""
    elapsed_ns = stamps_ns[-1] - stamps_ns[0]
    return (len(stamps_ns) - 1) * NS_PER_SECOND / elapsed_ns if elapsed_ns > 0 else 0.0


def _efficiency(one: _Round) -> float:
    if one.camera_fps is None:
        return one.end_to_end_fps / one.inference_only_fps
    return one.end_to_end_fps / min(one.camera_fps, one.inference_only_fps)


def _summary(plan: BenchPlan, rounds: list[_Round]) -> dict[str, Any]:
    durations = np.asarray([t.durations_ns for one in rounds for t in one.times], np.int64)
    latencies = np.asarray([t.latency_ns for one in rounds for t in one.times], np.int64)
    dropped: dict[str, int] = {}
    for one in rounds:
        for reason, count in one.counts.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    processed = sum(one.counts.processed for one in rounds)
    camera_rates = [one.camera_fps for one in rounds if one.camera_fps is not None]
    chosen = select(plan.settings, Environment())
    camera = plan.settings.camera[0]
    return {
        "source": camera.source,
        "size": [camera.width, camera.height],
        "preload": plan.preload,
        "rounds": len(rounds),
        "e2e_fps": round(statistics.median(one.end_to_end_fps for one in rounds), 3),
        "camera_fps": round(statistics.median(camera_rates), 3) if camera_rates else None,
        "inference_only_fps": round(statistics.median(one.inference_only_fps for one in rounds), 3),
        "efficiency": round(statistics.median(_efficiency(one) for one in rounds), 4),
        "frames": {
            "captured": sum(one.counts.captured for one in rounds),
            "processed": processed,
            "dropped": dropped,
        },
        "stages_ms": {
            name: _spread_ms(durations[:, column]) for column, name in enumerate(StageTimes.NAMES)
        },
        "latency_ms": _spread_ms(latencies),
        "cpu_seconds_per_frame": round(sum(one.cpu_seconds for one in rounds) / processed, 6),
        "rss_mib": round(max(one.memory_mib for one in rounds), 1),
        "model": chosen.model.id,
        "accelerator": chosen.accelerator.name,
        "workers": chosen.layout.workers,
        "threads": chosen.layout.threads,
        "warmup": {"frames": WARM_UP * len(rounds)},
    }


def _spread_ms(durations_ns: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> dict[str, float]:
    one = spread(durations_ns)
    return {"mean": one.mean, "p50": one.p50, "p95": one.p95, "p99": one.p99, "max": one.max}
