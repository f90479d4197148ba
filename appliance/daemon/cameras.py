"""The cameras of a unit: a lane for each, made from its settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from appliance.album.drawing import Drawer
from appliance.album.photographer import NONE, Bucket, Photographer
from appliance.config import CameraSettings
from appliance.config.scene import labels_of
from appliance.filters import create_filters
from appliance.filters.labels import LabelFilter
from appliance.objects.admission import Admission
from appliance.objects.watch import ObjectWatch
from appliance.pipeline import Lane
from appliance.pipeline.lane import FROZEN_SECONDS
from appliance.reports.policy import Policy
from appliance.sources import RepeatsPictures, create_source, view_of
from appliance.values.happened import NOTHING
from appliance.vision.mask import Mask
from appliance.vision.motion import MotionGate

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.clock import Clock
    from appliance.config import Settings
    from appliance.daemon.engine import Engine
    from appliance.daemon.unit import Unit
    from appliance.filters import Filter
    from appliance.models import Labels
    from appliance.objects.scene import Scene
    from appliance.objects.tally import Tally
    from appliance.pipeline.pace import Pace
    from appliance.reports.reporter import Reporter
    from appliance.sources import Source
    from appliance.values import Observation
    from appliance.values.happened import Happened


_OF_ADMISSION = ("labels", "threshold", "thresholds", "min_area", "max_area", "ignore")
"""Which detections count: whoever is there stays who it is when that changes."""
_UNFILTERED = ("detections", "pause")
"""What becomes of results after all filters, and when there are any."""
_OF_RESULTS = (*_OF_ADMISSION, *_UNFILTERED, "filter", "objects", "zone", "line")
"""Settings that only what is done with results depends on: the lane goes on."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the cameras.

    Attributes:
        settings: the configuration.
        filters: of each camera whose filters are new or changed; others keep theirs, and with them
            what these remember.
        watches: what makes objects of detections, of each camera; one that goes on is among the
            filters that it was among.
        rules: of the watches that go on: has them go on with other rules.
        photographers: take the pictures of each camera that wants any.
        kept: the lanes that go on, by camera.
        sources: of the cameras that are new or changed.
    """

    settings: Settings
    filters: dict[str, tuple[Filter, ...]]
    watches: dict[str, ObjectWatch]
    rules: dict[str, Callable[[], None]]
    photographers: dict[str, Photographer]
    kept: dict[str, Lane]
    sources: dict[str, Source]


def check_labels(settings: Settings, labels: Labels) -> None:
    """Raise LabelsError unless every label that a setting names is one of the model's."""
    labels.ids(settings.model.labels, "model.labels")
    for camera in settings.camera:
        create_filters(camera, labels)
        Admission(camera, labels, settings.model)


def plan_cameras(
    settings: Settings,
    engine: Engine,
    clock: Clock,
    *,
    extra_filters: Callable[[str], tuple[Filter, ...]],
    make_source: Callable[[CameraSettings, tuple[int, int]], Source] | None,
    previous: Unit | None,
    tally: Callable[[str], Tally],
) -> Plan:
    """Return what becomes of the cameras; touches none of them.

    Args:
        settings: the configuration.
        engine: will look at their frames.
        clock: the appliance's clock.
        extra_filters: makes those of a camera that come after the configured ones.
        make_source: instead of the registry.
        previous: what runs.
        tally: returns a camera's.

    Raises:
        ApplianceError: a source, filter or label cannot be used.
    """
    labels, input_size = engine.selection.model.labels, engine.input_size
    same_labels = previous is not None and previous.engine.selection.model.labels == labels
    origins = {camera.name: camera for camera in previous.settings.camera} if previous else {}
    running = {lane.name: lane for lane in previous.pipeline.lanes} if previous else {}
    filters: dict[str, tuple[Filter, ...]] = {}
    watches: dict[str, ObjectWatch] = {}
    rules: dict[str, Callable[[], None]] = {}
    kept: dict[str, Lane] = {}
    for camera in settings.camera:
        name, before = camera.name, origins.get(camera.name)
        own, extra = _filters(settings, camera, labels), extra_filters(name)
        admission = Admission(camera, labels, settings.model)
        lane = running.get(name)
        if (
            previous is not None
            and previous.engine.input_size == input_size
            and before is not None
            and lane is not None
            and _same(before, camera, but=_OF_RESULTS)
            # Frames on their way were loaded without a picture.
            and any(one.wants_picture for one in (*own, *extra)) == lane.wants_picture
        ):
            kept[name] = lane
        if previous is not None and same_labels and name in kept and before is not None:
            watches[name] = previous.watches[name]
            if previous.settings.model == settings.model and _same(before, camera, but=_UNFILTERED):
                continue
            if _same(before, camera, but=(*_OF_ADMISSION, *_UNFILTERED)):
                wanted = labels_of(camera, settings.model)
                rules[name] = partial(watches[name].use, admission, wanted)
        if name not in rules:
            watches[name] = ObjectWatch(admission, _scene(settings, camera, engine, clock, tally))
        filters[name] = (*own, watches[name], *extra)
    sources = {
        camera.name: make_source(camera, input_size)
        if make_source
        else create_source(camera, input_size=input_size, clock=clock)
        for camera in settings.camera
        if camera.name not in kept
    }
    photographers = {
        camera.name: previous.photographers[camera.name]
        if previous is not None and camera.name in kept
        else _photographer(camera, engine)
        for camera in settings.camera
        if camera.pictures.enabled
    }
    return Plan(settings, filters, watches, rules, photographers, kept, sources)


def make_lanes(
    plan: Plan,
    reporter: Reporter,
    pace: Pace,
    clock: Clock,
    *,
    on_change: Callable[[], None],
    before: dict[str, Lane],
) -> tuple[Lane, ...]:
    """Return the lanes of a plan, in the order of the configuration.

    Args:
        plan: what becomes of the cameras.
        reporter: publishes what they see.
        pace: of the pipeline.
        clock: the appliance's clock.
        on_change: called when there is news of a camera.
        before: the retired lanes by camera; their numbers and books go on.
    """
    lanes = []
    for camera in plan.settings.camera:
        if camera.name in plan.kept:
            lane = plan.kept[camera.name]
            if camera.name in plan.filters:
                then = plan.rules.get(camera.name, lambda: None)
                lane.change_filters(plan.filters[camera.name], then)
            lane.emit = _emitter(reporter, camera, plan.photographers.get(camera.name))
        else:
            source = plan.sources[camera.name]
            lane = Lane(
                name=camera.name,
                source=source,
                view=view_of(camera),
                filters=plan.filters[camera.name],
                emit=_emitter(reporter, camera, plan.photographers.get(camera.name)),
                tell=_teller(reporter, plan.photographers.get(camera.name)),
                on_event=reporter.camera_event,
                clock=clock,
                pace=pace.lane(),
                gate=_gate(camera),
                mask=_mask(camera),
                keeps_frames=camera.pictures.enabled,
                period_seconds=1 / camera.fps,
                frozen_seconds=partial(_frozen_seconds, camera, source),
                on_change=on_change,
                before=before.get(camera.name),
            )
        lanes.append(lane)
    return tuple(lanes)


def _same(one: CameraSettings, other: CameraSettings, *, but: tuple[str, ...]) -> bool:
    """Say whether two say the same, whatever they say of some keys."""
    return all(
        getattr(one, key) == getattr(other, key)
        for key in CameraSettings.__struct_fields__
        if key not in but
    )


def _filters(settings: Settings, camera: CameraSettings, labels: Labels) -> tuple[Filter, ...]:
    """Return a camera's filters: the labels of all cameras, if it has none, then its own."""
    wanted = () if camera.labels else settings.model.labels
    common = (LabelFilter(labels.ids(wanted, "model.labels")),) if wanted else ()
    return (*common, *create_filters(camera, labels))


def _scene(
    settings: Settings,
    camera: CameraSettings,
    engine: Engine,
    clock: Clock,
    tally: Callable[[str], Tally],
) -> Scene | None:
    if not camera.objects.enabled:
        return None
    from appliance.objects.scene import Scene  # noqa: PLC0415 - off, it costs nothing

    labels = labels_of(camera, settings.model)
    return Scene(camera, labels, engine.vocabulary.name, tally(camera.name), clock.utc)


def _gate(camera: CameraSettings) -> MotionGate | None:
    motion = camera.motion
    if not motion.gate:
        return None
    return MotionGate(view_of(camera), motion.threshold, motion.keepalive_seconds)


def _mask(camera: CameraSettings) -> Mask | None:
    polygons = [one.polygon for one in camera.mask]
    return Mask(polygons, view_of(camera)) if polygons else None


def _frozen_seconds(camera: CameraSettings, source: Source) -> float:
    if camera.frozen_seconds != "auto":
        return camera.frozen_seconds
    return source.repeats_seconds if isinstance(source, RepeatsPictures) else FROZEN_SECONDS


def _photographer(camera: CameraSettings, engine: Engine) -> Photographer:
    wanted = camera.pictures
    drawer = Drawer(view_of(camera), wanted.longest_side, wanted.quality)
    return Photographer(drawer, Bucket(wanted.per_minute), engine.vocabulary.name)


def _emitter(
    reporter: Reporter, camera: CameraSettings, photographer: Photographer | None
) -> Callable[[Observation, Lane], int | None]:
    policy = Policy(camera.detections, follows=camera.objects.enabled)

    def emit(observation: Observation, lane: Lane) -> int | None:
        taken = NONE if photographer is None else photographer.look(observation)
        if observation.happened is not NOTHING or taken is not NONE:
            reporter.happened(observation.camera, observation.happened, taken)
        if not policy.wants(observation):
            return None
        return reporter.detections(observation, lane.statistics.published)

    return emit


def _teller(
    reporter: Reporter, photographer: Photographer | None
) -> Callable[[Happened, Lane], None]:
    def tell(happened: Happened, lane: Lane) -> None:
        if photographer is not None:
            photographer.forget(event.id for event in happened.events)
        reporter.happened(lane.name, happened)

    return tell
