"""The composition root: puts a unit together, or changes what a new configuration changes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.accelerators import Registry
from appliance.daemon.cameras import check_labels, make_lanes, plan_cameras
from appliance.daemon.engine import Engine, make_engine, origin_of
from appliance.daemon.heatwatch import HeatWatch
from appliance.daemon.objectbook import ObjectBook
from appliance.daemon.ownership import Ownership
from appliance.daemon.sinks import check_sinks, device_of
from appliance.daemon.unit import Unit
from appliance.errors import ApplianceError
from appliance.filters import check_filters
from appliance.models import Labels, Vocabulary
from appliance.objects.admission import lowest_of
from appliance.pipeline import Pipeline
from appliance.pipeline.pace import Pace
from appliance.reports.reporter import Reporter
from appliance.reports.sender import Identity, new_boot_id
from appliance.selection.choose import AUTO, load_model
from appliance.sources import check_source, create_source
from appliance.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.config import CameraSettings, Settings
    from appliance.daemon.sinks import Sinks
    from appliance.filters import Filter
    from appliance.selection.environment import Environment
    from appliance.sources import Source


def wire(
    settings: Settings,
    environment: Environment,
    sinks: Sinks,
    *,
    extra_filters: Callable[[str], tuple[Filter, ...]] = lambda _camera: (),
    on_change: Callable[[], None] = lambda: None,
    make_source: Callable[[CameraSettings, tuple[int, int]], Source] | None = None,
    previous: Unit | None = None,
    choose_again: bool = False,
    book: ObjectBook | None = None,
    ownership: Ownership | None = None,
) -> Unit:
    """Return the appliance of ``settings``: model loaded, detectors open, nothing new started.

    Args:
        settings: the configuration.
        environment: what surrounds the process.
        sinks: where messages go.
        extra_filters: makes those of a camera that come after the configured ones.
        on_change: called when a thread ended.
        make_source: makes a camera's source for an input size, instead of the registry.
        previous: what runs. What the settings leave as it is goes on; the rest is stopped here.
            Numbers, books and what is known of heat go on in any case.
        choose_again: choose the accelerator anew, though its settings are the same.
        book: what was counted so far; None to begin at 0.
        ownership: of retained topics, as earlier starts left it.

    Raises:
        ApplianceError: model, labels, accelerator or a camera's options cannot be used; or what
            has to go hangs.
    """
    clock = environment.clock
    book = previous.book if previous else book or ObjectBook()
    pace = previous.pace if previous else Pace()
    pipeline = previous.pipeline if previous else Pipeline(on_change=on_change)
    device = device_of(settings, environment)
    if previous:
        reporter = previous.reporter
        reporter.use_sinks(sinks.all, device)
    else:
        nothing_seen = Vocabulary(Labels(()))
        reporter = Reporter(Identity(device, new_boot_id(), 1, nothing_seen), sinks.all, clock)
    engine = None if choose_again else _kept_engine(settings, previous)
    is_new = engine is None
    if engine is None:
        if previous is not None:
            pipeline.retire(previous.engine.workers)
            previous.engine.close()
        known = previous.engine.vocabulary if previous else None
        engine = make_engine(settings, environment, pace, reporter.accelerator_event, known)
    try:
        plan = plan_cameras(
            settings,
            engine,
            clock,
            extra_filters=extra_filters,
            make_source=make_source,
            previous=previous,
            tally=book.tally,
        )
    except ApplianceError:
        if is_new:
            engine.discard()
        raise
    for worker in engine.workers:
        worker.score_threshold = lowest_of(settings)
    before = previous.known if previous else {}
    going = [lane for lane in pipeline.lanes if lane not in plan.kept.values()]
    pipeline.retire(going)
    for lane in going:
        lane.end("stopped")
    pace.keep(lane.pace for lane in pipeline.lanes)
    lanes = make_lanes(plan, reporter, pace, clock, on_change=on_change, before=before)
    pipeline.use(lanes, engine.workers)
    heat = previous.heat if previous else HeatWatch(settings.governor, pace, reporter)
    heat.use(settings.governor)
    reporter.use(Identity(device, reporter.boot_id, len(engine.workers), engine.vocabulary))
    return Unit(
        settings=settings,
        environment=environment,
        device=device,
        engine=engine,
        lanes=lanes,
        watches=plan.watches,
        photographers=plan.photographers,
        known={**before, **{lane.name: lane for lane in lanes}},
        pipeline=pipeline,
        pace=pace,
        heat=heat,
        reporter=reporter,
        telemetry=previous.telemetry if previous else Telemetry.over(environment.root, clock),
        sinks=sinks,
        book=book,
        ownership=previous.ownership if previous else ownership or Ownership(),
    )


def check_settings(settings: Settings, environment: Environment, running: Unit) -> None:
    """Check new settings while the old ones run, as far as that goes without opening a device.

    Raises:
        ApplianceError: they cannot be used.
    """
    for camera in settings.camera:
        check_source(camera)
        check_filters(camera)
        if camera not in running.settings.camera:
            _check_files(camera, running)
    check_sinks(settings, environment)
    known = Registry(settings.accelerator.options, environment.accelerators)
    if settings.accelerator.name != AUTO:
        known.get(settings.accelerator.name)
    model = None
    if origin_of(settings) == running.engine.made_from:
        model = running.engine.selection.model
    elif settings.model.name != AUTO:
        model = load_model(settings.model.name)
    if model is not None:
        check_labels(settings, model.labels)


def _check_files(camera: CameraSettings, running: Unit) -> None:
    """Open what can be opened at any time, for it is read once: no camera will be waited for."""
    clock = running.environment.clock
    source = create_source(camera, input_size=running.engine.input_size, clock=clock)
    if source.live:
        return
    try:
        source.open()
    finally:
        source.close()


def _kept_engine(settings: Settings, previous: Unit | None) -> Engine | None:
    """Return the engine that runs, if it is what the settings ask for."""
    if previous is None:
        return None
    engine = previous.engine
    runs = set(engine.workers) <= set(previous.pipeline.workers)
    return engine if runs and engine.made_from == origin_of(settings) else None
