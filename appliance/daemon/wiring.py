"""The composition root: the one place that knows concrete classes and wires them together."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from appliance.accelerators import Registry
from appliance.daemon.heatwatch import HeatWatch
from appliance.daemon.sinks import check_sinks, device_of
from appliance.daemon.unit import Unit
from appliance.filters import check_filters, create_filters
from appliance.filters.labels import LabelFilter
from appliance.models import Vocabulary
from appliance.pipeline import Lane, Pipeline
from appliance.pipeline.exchange import Exchange
from appliance.pipeline.lane import FROZEN_SECONDS
from appliance.pipeline.pace import Pace
from appliance.pipeline.worker import Worker
from appliance.reports.reporter import Identity, Reporter, new_boot_id
from appliance.selection.choose import (
    AUTO,
    choose,
    load_model,
    make_selector,
    make_switch,
    open_detectors,
)
from appliance.sources import RepeatsPictures, check_source, create_source, view_of
from appliance.telemetry import Telemetry
from appliance.vision.motion import MotionGate

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.clock import Clock
    from appliance.config import CameraSettings, Settings
    from appliance.daemon.sinks import Sinks
    from appliance.filters import Filter
    from appliance.models import Labels
    from appliance.selection.environment import Environment
    from appliance.sources import Source
    from appliance.values import Observation


def wire(
    settings: Settings,
    environment: Environment,
    sinks: Sinks,
    *,
    extra_filters: Callable[[str], tuple[Filter, ...]] = lambda _camera: (),
    on_change: Callable[[], None] = lambda: None,
    make_source: Callable[[CameraSettings, tuple[int, int]], Source] | None = None,
    previous: Unit | None = None,
) -> Unit:
    """Return the appliance of ``settings``: model loaded, detectors open, nothing started.

    Args:
        settings: the configuration.
        environment: what surrounds the process.
        sinks: where messages go.
        extra_filters: makes those of a camera that come after the configured ones.
        on_change: called when a thread ended.
        make_source: makes a camera's source for an input size, instead of the registry.
        previous: what ran before a reload, stopped: numbers, books and what is known of heat go on.

    Raises:
        ApplianceError: model, labels, accelerator or a camera's options cannot be used.
    """
    clock = environment.clock
    selector = make_selector(settings, environment)
    choice = choose(settings, selector)
    selection = choice.selection
    model, layout = selection.model, selection.layout
    vocabulary = Vocabulary(model.labels)
    device = device_of(settings, environment)
    boot_id = previous.reporter.boot_id if previous else new_boot_id()
    identity = Identity(device, boot_id, layout.workers, vocabulary)
    reporter = previous.reporter if previous else Reporter(identity, sinks.all, clock)
    lanes_before = {lane.name: lane for lane in previous.pipeline.lanes} if previous else {}
    input_size = (model.input_width, model.input_height)
    exchange: Exchange[Lane] = Exchange(len(settings.camera))
    make = make_source or _registry_source(clock)
    pace = Pace()
    sources = tuple(make(camera, input_size) for camera in settings.camera)
    lanes = tuple(
        Lane(
            index=index,
            name=camera.name,
            source=source,
            view=view_of(camera),
            filters=(*_filters(settings, camera, model.labels), *extra_filters(camera.name)),
            emit=_emitter(reporter),
            on_event=reporter.camera_event,
            clock=clock,
            pace=pace.lane(),
            gate=_gate(camera),
            period_seconds=1 / camera.fps,
            frozen_seconds=partial(_frozen_seconds, camera, source),
            on_change=on_change,
            before=lanes_before.get(camera.name),
        )
        for index, (camera, source) in enumerate(zip(settings.camera, sources, strict=True))
    )
    switch = make_switch(
        settings,
        selector,
        selection,
        lost_reason=choice.lost_reason,
        on_event=reporter.accelerator_event,
        clock=clock,
    )
    detectors = open_detectors(settings, selection, switch)
    workers = tuple(
        Worker(
            name=f"worker {number}",
            detector=detector,
            vocabulary=vocabulary,
            score_threshold=settings.model.score_threshold,
            clock=clock,
            may_work=_may_work(pace, number, clock),
        )
        for number, detector in enumerate(detectors)
    )
    heat = previous.heat if previous else HeatWatch(settings.governor, pace, reporter)
    heat.carry_over(settings.governor, pace, reporter)
    reporter.use(identity, sinks.all)
    return Unit(
        settings=settings,
        environment=environment,
        device=device,
        selection=selection,
        switch=switch,
        provisional=choice.provisional,
        pipeline=Pipeline(lanes, workers, exchange, on_change),
        pace=pace,
        heat=heat,
        reporter=reporter,
        telemetry=previous.telemetry if previous else Telemetry.over(environment.root, clock),
        sinks=sinks,
    )


def check_settings(settings: Settings, environment: Environment, running: Unit) -> None:
    """Check new settings while the old ones run, as far as that goes without opening anything.

    Raises:
        ApplianceError: they cannot be used.
    """
    for camera in settings.camera:
        check_source(camera)
        check_filters(camera)
    check_sinks(settings, environment)
    if settings.accelerator.name != AUTO:
        Registry(paths=environment.accelerators).get(settings.accelerator.name)
    old, model = running.settings, None
    if (settings.accelerator, settings.model.name) == (old.accelerator, old.model.name):
        model = running.selection.model
    elif settings.model.name != AUTO:
        model = load_model(settings.model.name)
    if model is not None:
        model.labels.ids(settings.model.labels)


def _filters(settings: Settings, camera: CameraSettings, labels: Labels) -> tuple[Filter, ...]:
    """Return a camera's filters: the labels of all cameras, then its own."""
    wanted = settings.model.labels
    common = (LabelFilter(labels.ids(wanted)),) if wanted else ()
    return (*common, *create_filters(camera, labels))


def _gate(camera: CameraSettings) -> MotionGate | None:
    motion = camera.motion
    if not motion.gate:
        return None
    return MotionGate(view_of(camera), motion.threshold, motion.keepalive_seconds)


def _frozen_seconds(camera: CameraSettings, source: Source) -> float:
    if camera.frozen_seconds != "auto":
        return camera.frozen_seconds
    return source.repeats_seconds if isinstance(source, RepeatsPictures) else FROZEN_SECONDS


def _registry_source(clock: Clock) -> Callable[[CameraSettings, tuple[int, int]], Source]:
    return lambda camera, size: create_source(camera, input_size=size, clock=clock)


def _may_work(pace: Pace, number: int, clock: Clock) -> Callable[[], bool]:
    return lambda: pace.may_work(number, clock.monotonic_ns())


def _emitter(reporter: Reporter) -> Callable[[Observation, Lane], int]:
    def emit(observation: Observation, lane: Lane) -> int:
        return reporter.detections(observation, lane.statistics.published)

    return emit
