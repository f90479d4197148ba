"""The composition root: the one place that knows concrete classes and wires them together."""

from __future__ import annotations

import logging
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from appliance import __version__
from appliance.broker import broker_address
from appliance.commands import NAMES
from appliance.detectors import AUTO, choose, make_selector, make_switch, open_detectors
from appliance.errors import UnavailableError
from appliance.filters.labels import LabelFilter
from appliance.heatwatch import HeatWatch
from appliance.homeassistant import discovery
from appliance.identity import board_name, device_name
from appliance.messages import AcceleratorFinding, CameraInfo, ModelInfo
from appliance.models import Vocabulary
from appliance.pipeline import Lane, Pipeline
from appliance.pipeline.pace import Pace
from appliance.pipeline.slot import Exchange
from appliance.pipeline.worker import Worker
from appliance.preprocess import View
from appliance.reporter import Identity, Reporter, new_boot_id
from appliance.sinks.commands import Commands
from appliance.sinks.journal import JournalSink
from appliance.sinks.jsonl import JsonlSink
from appliance.sinks.mqtt import MqttSink
from appliance.sinks.outbox import Outbox
from appliance.sinks.prometheus import PrometheusSink
from appliance.sources import create_source
from appliance.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.clock import Clock
    from appliance.config import Camera, Settings
    from appliance.environment import Environment
    from appliance.failover import Switch
    from appliance.filters import Filter
    from appliance.selection import Selection
    from appliance.sinks import Sink
    from appliance.sources import Source
    from appliance.values import Observation


log = logging.getLogger(__name__)

JOURNAL = Path("/run/systemd/journal/socket")


@dataclass(frozen=True, slots=True)
class Sinks:
    """The sinks of one configuration; kept over a reload that does not touch them."""

    mqtt: MqttSink | None
    others: tuple[Sink, ...]

    @property
    def all(self) -> tuple[Sink, ...]:
        """Return every sink."""
        return (*((self.mqtt,) if self.mqtt else ()), *self.others)

    def close(self) -> None:
        """Flush and close all."""
        for sink in self.all:
            sink.close()


@dataclass(frozen=True, slots=True)
class Runtime:
    """A wired appliance, not started."""

    settings: Settings
    environment: Environment
    device: str
    selection: Selection
    switch: Switch | None
    provisional: bool
    pipeline: Pipeline
    heat: HeatWatch
    reporter: Reporter
    telemetry: Telemetry
    sinks: Sinks

    @property
    def accelerator(self) -> str:
        """Return the name of the accelerator that runs now."""
        return self.switch.running if self.switch else self.selection.accelerator.name

    def accelerator_problems(self) -> tuple[str, ...]:
        """Return why the accelerator does less than it should; empty if all is well."""
        if self.switch is not None and self.switch.lost_reason:
            lost = f"accelerator {self.switch.primary}: running on {self.switch.running} instead"
            return (f"{lost}: {self.switch.lost_reason}",)
        name = self.settings.accelerator.name
        if self.provisional and name != AUTO:
            return (
                f"accelerator {name}: is being proved, running on {self.accelerator} meanwhile",
            )
        degraded = {worker.detector.degraded for worker in self.pipeline.workers}
        return tuple(sorted(f"accelerator: {reason}" for reason in degraded if reason))

    def start(self) -> None:
        """Start the pipeline, and the search for an accelerator that is away."""
        self.pipeline.start()
        if self.switch is not None:
            self.switch.start()

    def close(self) -> None:
        """Stop looking for the accelerator."""
        if self.switch is not None:
            self.switch.close()

    def publish_info(self) -> None:
        """Publish who we are, and what Home Assistant needs to find us."""
        wanted = self.settings.homeassistant
        if wanted.discovery:
            board = board_name(self.environment.root)
            payload = discovery(self.settings, self.device, board=board, software=__version__)
            self.reporter.discovery(wanted.prefix, payload)
        model = self.switch.running_model() if self.switch else self.selection.model
        self.reporter.info(
            software=__version__,
            board=board_name(self.environment.root),
            python=platform.python_version(),
            accelerator=self.accelerator,
            threads=self.selection.layout.threads,
            accelerators=tuple(
                AcceleratorFinding(
                    name=one.name, found=one.found, detail=one.detail, devices=one.devices
                )
                for one in self.selection.findings
            ),
            model=ModelInfo(
                id=model.id, sha256=model.sha256, input=(model.input_width, model.input_height)
            ),
            cameras=tuple(
                CameraInfo(
                    name=camera.name,
                    source=without_secrets(camera.source),
                    width=camera.width,
                    height=camera.height,
                    fps=camera.fps,
                )
                for camera in self.settings.camera
            ),
        )


def device_of(settings: Settings, environment: Environment) -> str:
    """Return the configured name of the unit, or the machine's."""
    return settings.device or device_name(environment.root)


def make_sinks(
    settings: Settings,
    environment: Environment,
    *,
    extra: tuple[Sink, ...] = (),
    on_change: Callable[[], None] = lambda: None,
    on_command: Callable[[str, bytes], None] = lambda _name, _payload: None,
) -> Sinks:
    """Return the configured sinks, the broker's thread started."""
    others: list[Sink] = list(extra)
    if settings.jsonl.path:
        others.append(JsonlSink(settings.jsonl.path))
    if JOURNAL.exists() and environment.variables.get("JOURNAL_STREAM"):
        others.append(JournalSink(JOURNAL))
    others += _prometheus(settings)
    mqtt = None
    if settings.mqtt.enabled:
        device = device_of(settings, environment)
        address = broker_address(settings.mqtt, device, environment.variables)
        outbox = Outbox(_outbox_path(settings, environment, device), settings.mqtt.outbox_messages)
        base = f"{settings.mqtt.prefix}/{device}"
        commands = Commands(base, NAMES, on_command) if settings.update.origin else None
        mqtt = MqttSink(address, base, outbox, on_change, commands)
        mqtt.start()
    return Sinks(mqtt, tuple(others))


def _prometheus(settings: Settings) -> list[Sink]:
    """Return the sink for Prometheus; a port that is taken must not stop the camera."""
    wanted = settings.prometheus
    if not wanted.port and not wanted.textfile:
        return []
    try:
        return [PrometheusSink(wanted.address, wanted.port, wanted.textfile)]
    except UnavailableError as error:
        log.warning("%s", error)
        return []


def wire(
    settings: Settings,
    environment: Environment,
    sinks: Sinks,
    *,
    filters: tuple[Filter, ...] = (),
    on_change: Callable[[], None] = lambda: None,
    make_source: Callable[[Camera, tuple[int, int]], Source] | None = None,
    previous: Runtime | None = None,
) -> Runtime:
    """Return the appliance of ``settings``: model loaded, detectors open, nothing started.

    Args:
        settings: the configuration.
        environment: what surrounds the process.
        sinks: where messages go.
        filters: applied after the configured ones, to every camera.
        on_change: called when a thread ended.
        make_source: makes a camera's source for an input size, instead of the registry.
        previous: what ran before a reload: what is known of heat goes on.

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
    identity = Identity(device, new_boot_id(), layout.workers, vocabulary)
    reporter = Reporter(identity, sinks.all, clock)
    wanted: tuple[Filter, ...] = ()
    if settings.model.labels:
        wanted = (LabelFilter(model.labels.ids(settings.model.labels)),)
    input_size = (model.input_width, model.input_height)
    exchange: Exchange[Lane] = Exchange(len(settings.camera))
    make = make_source or _registry_source(clock)
    pace = Pace()
    lanes = tuple(
        Lane(
            index=index,
            name=camera.name,
            source=make(camera, input_size),
            view=view_of(camera),
            filters=(*wanted, *filters),
            emit=_emitter(reporter),
            on_event=reporter.camera_event,
            clock=clock,
            pace=pace.lane(),
        )
        for index, camera in enumerate(settings.camera)
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
            may_work=_may_work(pace, number),
        )
        for number, detector in enumerate(detectors)
    )
    heat = previous.heat if previous else HeatWatch(settings.governor, pace, reporter)
    heat.carry_over(settings.governor, pace, reporter)
    return Runtime(
        settings=settings,
        environment=environment,
        device=device,
        selection=selection,
        switch=switch,
        provisional=choice.provisional,
        pipeline=Pipeline(lanes, workers, exchange, on_change),
        heat=heat,
        reporter=reporter,
        telemetry=previous.telemetry if previous else Telemetry.over(environment.root, clock),
        sinks=sinks,
    )


def view_of(camera: Camera) -> View:
    """Return how a camera looks at the world."""
    return View(
        rotation=camera.rotation,
        flip_horizontal=camera.flip_horizontal,
        flip_vertical=camera.flip_vertical,
        crop=camera.crop,
        fit=camera.fit,
    )


def without_secrets(source: str) -> str:
    """Return a source without user, password and query."""
    parts = urlsplit(source)
    if not parts.netloc:
        return source
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _registry_source(clock: Clock) -> Callable[[Camera, tuple[int, int]], Source]:
    return lambda camera, size: create_source(camera, input_size=size, clock=clock)


def _may_work(pace: Pace, number: int) -> Callable[[], bool]:
    return lambda: number == 0 or not pace.single_worker


def _emitter(reporter: Reporter) -> Callable[[Observation, Lane], int]:
    def emit(observation: Observation, lane: Lane) -> int:
        return reporter.detections(observation, lane.statistics.published)

    return emit


def _outbox_path(settings: Settings, environment: Environment, device: str) -> Path | None:
    kind = settings.mqtt.outbox
    if kind == "memory":
        return None
    folder = environment.runtime_folder() if kind == "runtime" else environment.state_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"outbox folder {folder}: {error.strerror}",
            hint='set mqtt.outbox = "memory", or make the folder writable',
        ) from error
    return folder / f"outbox-{device}.sqlite"
