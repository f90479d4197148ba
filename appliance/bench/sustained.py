"""How fast is it once it is warm? Runs until temperature and rate are steady, or time is up."""

from __future__ import annotations

import statistics
import threading
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.bench.outage import check_outage
from appliance.bench.plot import Chart, Line, draw
from appliance.clock import NS_PER_SECOND
from appliance.config.addresses import without_secrets
from appliance.daemon.sinks import Sinks
from appliance.daemon.tuning import keep_quiet, sweep
from appliance.daemon.wiring import wire
from appliance.errors import MediaError
from appliance.heat.causes import Causes
from appliance.sources import create_source
from appliance.telemetry.frequency import Frequency
from appliance.telemetry.thermal import Thermal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.bench.plan import BenchPlan
    from appliance.daemon.unit import Unit
    from appliance.selection.environment import Environment

WINDOW_SECONDS = 5.0
STEADY_WINDOWS = 12
"""A minute: the time constant of a small board."""
STEADY_CELSIUS = 1.0
STEADY_RATIO = 0.03
"""Steady: within a minute the temperature moves by less than a degree, the rate by less than 3 %
of its mean (standard deviation)."""
LONGEST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One window.

    Attributes:
        seconds: since the start, at the window's end.
        fps: results a second.
        celsius: of the processor; None where it cannot be read.
        megahertz: of the slowest core; None likewise.
        causes: why the platform says it is slowed.
        inference_ms: median.
    """

    seconds: float
    fps: float
    celsius: float | None
    megahertz: float | None
    causes: tuple[str, ...]
    inference_ms: float | None


def sustain(
    plan: BenchPlan,
    environment: Environment,
    *,
    longest_seconds: float = LONGEST_SECONDS,
    window_seconds: float = WINDOW_SECONDS,
    progress: Callable[[Sample], None] = lambda _sample: None,
) -> dict[str, Any]:
    """Return cold and sustained rates, time to the first throttling, and the curve.

    The governor is off: what the board does by itself is measured.

    Raises:
        ApplianceError: model, accelerator or source cannot be used.
    """
    governor = msgspec.structs.replace(plan.settings.governor, mode="off")
    settings = msgspec.structs.replace(plan.settings, governor=governor)
    clock = environment.clock
    unit = wire(
        settings,
        environment,
        Sinks(),
        make_source=lambda camera, size: create_source(camera, input_size=size, clock=clock),
    )
    keep_quiet()
    never, causes = threading.Event(), Causes()
    causes.look(unit.telemetry.snapshot())  # what was counted before is not the bench's
    unit.start()
    began_ns = clock.monotonic_ns()

    def take() -> Sample | None:
        if unit.pipeline.finished():
            return None
        clock.wait(never, window_seconds)
        unit.pipeline.check()
        check_outage(unit.pipeline.lanes, clock.monotonic_ns())
        return _sample(unit, causes, (clock.monotonic_ns() - began_ns) / NS_PER_SECOND)

    try:
        samples = until_steady(take, longest_seconds, progress)
    finally:
        unit.stop()
    if not samples:
        raise MediaError(
            f"source {without_secrets(settings.camera[0].source)}: ended within one window",
            hint="a looped or live source",
        )
    return summary(samples, unit)


def until_steady(
    take: Callable[[], Sample | None], longest_seconds: float, progress: Callable[[Sample], None]
) -> list[Sample]:
    """Return samples until they are steady, ``take`` has no more, or the time is up."""
    samples: list[Sample] = []
    while not steady(samples) and (sample := take()) is not None:
        samples.append(sample)
        progress(sample)
        if sample.seconds >= longest_seconds:
            break
    return samples


def steady(samples: list[Sample]) -> bool:
    """Say whether the last minute was steady; the rate alone counts without a thermometer."""
    last = samples[-STEADY_WINDOWS:]
    if len(last) < STEADY_WINDOWS:
        return False
    rates = [one.fps for one in last]
    if not any(rates) or statistics.pstdev(rates) > STEADY_RATIO * statistics.mean(rates):
        return False
    heat = [one.celsius for one in last if one.celsius is not None]
    return not heat or max(heat) - min(heat) < STEADY_CELSIUS


def summary(samples: list[Sample], unit: Unit) -> dict[str, Any]:
    """Return the figures, JSON-ready."""
    last = samples[-STEADY_WINDOWS:]
    throttled = next((one.seconds for one in samples if one.causes), None)
    heat = [one.celsius for one in samples if one.celsius is not None]
    cold = samples[1] if len(samples) > 1 else samples[0]  # the first holds the start-up
    return {
        "accelerator": unit.engine.selection.accelerator.name,
        "model": unit.engine.selection.model.id,
        "cold_fps": round(cold.fps, 3),
        "sustained_fps": round(statistics.median(one.fps for one in last), 3),
        "steady": steady(samples),
        "seconds": round(samples[-1].seconds, 1),
        "seconds_to_first_throttle": None if throttled is None else round(throttled, 1),
        "causes": sorted({cause for one in samples for cause in one.causes}),
        "celsius_start": heat[0] if heat else None,
        "celsius_end": heat[-1] if heat else None,
        "curve": [asdict(replace(one, seconds=round(one.seconds, 1))) for one in samples],
    }


def draw_curve(figures: dict[str, Any], path: Path) -> None:
    """Draw rate, temperature and clock over time."""
    curve = figures["curve"]
    charts = [
        Chart(
            "Frames a second, end to end",
            "FPS",
            [Line("FPS", [(one["seconds"], one["fps"]) for one in curve])],
        )
    ]
    for title, unit, key in (("Temperature", "°C", "celsius"), ("Clock", "MHz", "megahertz")):
        points = [(one["seconds"], one[key]) for one in curve if one[key] is not None]
        if points:
            charts.append(Chart(title, unit, [Line(title.lower(), points)]))
    draw(charts, "seconds", path)


def _sample(unit: Unit, causes: Causes, seconds: float) -> Sample:
    windows = [lane.statistics.roll() for lane in unit.pipeline.lanes]
    snapshot = unit.telemetry.snapshot()
    thermal, frequency = snapshot.get(Thermal), snapshot.get(Frequency)
    sweep()
    inference = windows[0].stages.get("inference")
    return Sample(
        seconds=seconds,
        fps=round(sum(one.frames / one.seconds for one in windows), 3),
        celsius=thermal.temperature_celsius if thermal else None,
        megahertz=frequency.current_hertz / 1e6 if frequency else None,
        causes=causes.look(snapshot) or (),
        inference_ms=round(inference.p50, 3) if inference else None,
    )
