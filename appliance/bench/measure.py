"""Measure: rounds of the whole pipeline, alternating with rounds of the detector alone."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.bench.alone import WARM_UP, invoke_alone, warm_up
from appliance.bench.outage import check_outage
from appliance.bench.plan import BenchPlan, Round
from appliance.bench.processes import cpu_seconds, forget_peak_memory, peak_memory_mib
from appliance.bench.source import LimitedSource, PreloadedSource, preload
from appliance.clock import NS_PER_SECOND
from appliance.config.addresses import without_secrets
from appliance.daemon.sinks import make_sinks
from appliance.daemon.tuning import keep_quiet
from appliance.daemon.wiring import wire
from appliance.errors import BrokerUnavailableError, MediaError, UsageError
from appliance.selection.environment import Environment
from appliance.sources import create_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.clock import Clock
    from appliance.config import CameraSettings
    from appliance.daemon.unit import Unit
    from appliance.pipeline import Counts, Lane
    from appliance.sources import Source
    from appliance.values import Frame, Observation, StageTimes

    Progress = Callable[[float, float], None]

ROUNDS, MOST_ROUNDS = 5, 15
_ROUND_FRAMES = 50
"""Short rounds, so that a machine whose pace changes hits both sides of a ratio alike."""
_POLL_SECONDS = 0.05


def quiet(_done: float, _all: float) -> None:
    """Show no progress."""


@dataclass(slots=True)
class _Recorder:
    """A filter at the end of the chain that keeps the times of every result, and the last size."""

    wants_picture: bool = False
    size: tuple[int, int] = (0, 0)
    times: dict[str, list[StageTimes]] = field(default_factory=dict)

    def apply(self, observation: Observation) -> Observation:
        """Keep the boundaries."""
        self.size = observation.width, observation.height
        self.times.setdefault(observation.camera, []).append(observation.times)
        return observation


def measure_alternately(
    plans: tuple[BenchPlan, ...],
    progress: Progress = quiet,
    *,
    budget_seconds: float | None = None,
) -> list[list[Round]]:
    """Return the rounds of each plan, taking turns, so that noise hits all alike.

    Args:
        plans: what to measure.
        progress: told rounds done and in all.
        budget_seconds: begin no further round of all plans after so long; one is always run.

    Raises:
        UsageError: fewer frames than a measurement needs.
        ApplianceError: model, accelerator or source cannot be used.
    """
    if not plans:
        return []
    frames, cameras = plans[0].frames, len(plans[0].settings.camera)
    least = 2 * WARM_UP * cameras
    if frames < least:
        raise UsageError(f"--frames {frames}: at least {least} are needed")
    planned = 1
    if frames >= ROUNDS * 2 * least:
        planned = max(ROUNDS, min(MOST_ROUNDS, frames // (_ROUND_FRAMES * cameras)))
    each = frames // (planned * cameras) + WARM_UP
    environment = Environment()
    pools = _pools(plans, environment)
    rounds: list[list[Round]] = [[] for _ in plans]
    began = time.monotonic()
    for number in range(planned):
        if number and budget_seconds is not None and time.monotonic() - began > budget_seconds:
            break
        for place, plan in enumerate(plans):
            done = number * len(plans) + place

            def part(share: float, done: int = done) -> None:
                progress(done + share, planned * len(plans))

            pool = pools.get(id(plan))
            turn = _one_round(plan, environment, each, pool, part, alone_first=bool(number % 2))
            rounds[place].append(turn)
    progress(planned * len(plans), planned * len(plans))
    return rounds


def _one_round(
    plan: BenchPlan,
    environment: Environment,
    each: int,
    pool: list[Frame] | None,
    progress: Callable[[float], None],
    *,
    alone_first: bool,
) -> Round:
    """Run the pipeline for ``each`` frames of every camera, and the detectors alone."""
    recorder = _Recorder()
    sinks = make_sinks(plan.settings, environment)

    def source(camera: CameraSettings, size: tuple[int, int]) -> Source:
        if pool is not None:
            return PreloadedSource(pool, each, plan.rate, environment.clock)
        return LimitedSource(create_source(camera, input_size=size, clock=environment.clock), each)

    unit = wire(
        plan.settings, environment, sinks, extra_filters=lambda _: (recorder,), make_source=source
    )
    lanes = unit.pipeline.lanes
    alone = invoke_alone(unit.engine.selection, each * len(lanes)) if alone_first else None
    keep_quiet()
    forget_peak_memory()
    try:
        used = _run(unit, each * len(lanes), progress, environment.clock)
    finally:
        sinks.close()
        unit.engine.close()
    memory_mib = peak_memory_mib()
    published = [
        window.stages["publish"].p50
        for lane in lanes
        for window in (lane.statistics.roll(),)
        if "publish" in window.stages
    ]
    if plan.settings.mqtt.enabled and len(published) < len(lanes):
        raise BrokerUnavailableError(
            f"broker {plan.settings.mqtt.host}:{plan.settings.mqtt.port}: took no messages",
            hint="is it running, and does it let everybody in?",
        )
    counts = tuple(lane.ledger.counts() for lane in lanes)
    kept = {name: its[WARM_UP:] for name, its in recorder.times.items()}
    if len(kept) < len(lanes) or min(map(len, kept.values())) < WARM_UP:
        raise MediaError(
            f"source {without_secrets(plan.settings.camera[0].source)}: too few frames to measure",
            hint=_why_few(counts),
        )
    times = sorted((one for its in kept.values() for one in its), key=lambda one: one.done_ns)
    return Round(
        selection=unit.engine.selection,
        size=recorder.size,
        end_to_end_fps=_rate(times),
        camera_fps=_camera_fps(lanes, recorder),
        slowest_fps=min(_rate(its) for its in kept.values()),
        alone=alone or invoke_alone(unit.engine.selection, len(times)),
        times=times,
        publish_ms=max(published, default=None),
        counts=counts,
        cpu_seconds=used,
        memory_mib=memory_mib,
    )


def _run(unit: Unit, expected: int, progress: Callable[[float], None], clock: Clock) -> float:
    """Run the pipeline to its sources' end; return the processor time it took.

    Its detectors are warmed up before, as those that run alone are.
    """
    pipeline, waiter = unit.pipeline, threading.Event()
    for worker in pipeline.workers:
        warm_up(worker.detector)
    began = cpu_seconds()
    pipeline.start()
    try:
        while not pipeline.finished():
            pipeline.check()
            check_outage(pipeline.lanes, clock.monotonic_ns())
            ended = sum(_ended(lane) for lane in pipeline.lanes)
            progress(min(1.0, ended / expected))
            waiter.wait(_POLL_SECONDS)
        used = cpu_seconds() - began
        pipeline.check()
    finally:
        pipeline.stop()
    return used


def _why_few(counts: tuple[Counts, ...]) -> str:
    """Say what to do about too few results, by what became of the frames."""
    corrupt = sum(one.dropped["corrupt"] for one in counts)
    if not corrupt:
        return "a longer video, or --preload"
    captured = sum(one.captured for one in counts)
    return f"{corrupt} of {captured} could not be decoded"


def _ended(lane: Lane) -> int:
    counts = lane.ledger.counts()
    return counts.captured - counts.in_flight


def _pools(plans: tuple[BenchPlan, ...], environment: Environment) -> dict[int, list[Frame]]:
    """Return the ring in memory of each plan that wants one; plans of one camera share theirs."""
    pools: dict[int, list[Frame]] = {}
    for plan in plans:
        if not plan.preload:
            continue
        camera = plan.settings.camera[0]
        same = next(
            (pools[id(p)] for p in plans if id(p) in pools and p.settings.camera[0] == camera), None
        )
        pools[id(plan)] = same or preload(
            create_source(camera, input_size=(300, 300), clock=environment.clock)
        )
    return pools


def _camera_fps(lanes: tuple[Lane, ...], recorder: _Recorder) -> float | None:
    if not lanes[0].source.live:
        return None
    total = 0.0
    for lane in lanes:
        times = recorder.times[lane.name]
        seconds = (times[-1].captured_ns - times[0].captured_ns) / NS_PER_SECOND
        total += (lane.ledger.counts().captured - 1) / seconds if seconds > 0 else 0.0
    return total or None


def _rate(times: list[StageTimes]) -> float:
    """Return results a second between the first and the last (n - 1 intervals)."""
    elapsed_ns = times[-1].done_ns - times[0].done_ns
    return (len(times) - 1) * NS_PER_SECOND / elapsed_ns if elapsed_ns > 0 else 0.0
