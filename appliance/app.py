"""The composition root: the one place that knows concrete classes and wires them together."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from appliance import __version__
from appliance.accelerators import Choice, choose
from appliance.broker import broker_address
from appliance.clock import SystemClock
from appliance.errors import UnavailableError
from appliance.filters.labels import LabelFilter
from appliance.identity import board_name, device_name
from appliance.messages import AcceleratorFinding, CameraInfo, ModelInfo
from appliance.models import Catalogue, Model, find_models_folder
from appliance.pipeline import Lane, Pipeline
from appliance.pipeline.slot import Exchange
from appliance.pipeline.worker import Worker
from appliance.preprocess import View
from appliance.reporter import Identity, Reporter, new_boot_id
from appliance.sinks.jsonl import JsonlSink
from appliance.sinks.mqtt import MqttSink
from appliance.sinks.outbox import Outbox
from appliance.sources import create_source
from appliance.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.clock import Clock
    from appliance.config import Camera, Settings
    from appliance.filters import Filter
    from appliance.sinks import Sink
    from appliance.sources import Source
    from appliance.values import Observation

MAX_WORKERS = 4
"""More detectors than this gain nothing on the boards we know and cost memory each."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What surrounds the process; replaced in tests.

    Attributes:
        variables: environment variables.
        root: where /sys, /proc and /etc are.
        clock: all time.
    """

    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    root: Path = Path("/")
    clock: Clock = field(default_factory=SystemClock)

    def runtime_folder(self) -> Path:
        """Return the folder for what lives until the next boot (systemd's, or the user's)."""
        given = self.variables.get("RUNTIME_DIRECTORY")
        if given:
            return Path(given.split(":")[0])
        user = self.variables.get("XDG_RUNTIME_DIR")
        return Path(user, "appliance") if user else Path(f"/tmp/appliance-{os.getuid()}")  # noqa: S108

    def state_folder(self) -> Path:
        """Return the folder for what survives a power cut."""
        given = self.variables.get("STATE_DIRECTORY")
        if given:
            return Path(given.split(":")[0])
        return Path.home() / ".local/state/appliance"


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
    model: Model
    choice: Choice
    workers: int
    threads: int
    pipeline: Pipeline
    reporter: Reporter
    telemetry: Telemetry
    sinks: Sinks

    def publish_info(self) -> None:
        """Publish who we are."""
        self.reporter.info(
            software=__version__,
            board=board_name(self.environment.root),
            python=platform.python_version(),
            threads=self.threads,
            accelerators=tuple(
                AcceleratorFinding(name=one.name, found=one.found, detail=one.detail)
                for one in self.choice.findings
            ),
            model=ModelInfo(
                id=self.model.id,
                sha256=self.model.sha256,
                input=(self.model.input_width, self.model.input_height),
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


def load_model(name: str) -> Model:
    """Return the model called ``name`` from where models are kept."""
    return Catalogue(find_models_folder()).load(name)


def layout_of(settings: Settings) -> tuple[int, int]:
    """Return workers and threads: one single-threaded worker a core unless configured."""
    cores = len(os.sched_getaffinity(0))
    workers = settings.accelerator.workers or min(cores, MAX_WORKERS)
    return workers, settings.accelerator.threads or 1


def make_sinks(
    settings: Settings,
    environment: Environment,
    *,
    extra: tuple[Sink, ...] = (),
    on_change: Callable[[], None] = lambda: None,
) -> Sinks:
    """Return the configured sinks, the broker's thread started."""
    others: list[Sink] = list(extra)
    if settings.jsonl.path:
        others.append(JsonlSink(settings.jsonl.path))
    mqtt = None
    if settings.mqtt.enabled:
        device = device_of(settings, environment)
        address = broker_address(settings.mqtt, device, environment.variables)
        outbox = Outbox(_outbox_path(settings, environment, device), settings.mqtt.outbox_messages)
        mqtt = MqttSink(address, f"{settings.mqtt.prefix}/{device}", outbox, on_change)
        mqtt.start()
    return Sinks(mqtt, tuple(others))


def wire(
    settings: Settings,
    environment: Environment,
    sinks: Sinks,
    *,
    filters: tuple[Filter, ...] = (),
    on_change: Callable[[], None] = lambda: None,
    make_source: Callable[[Camera, tuple[int, int]], Source] | None = None,
) -> Runtime:
    """Return the appliance of ``settings``: model loaded, detectors open, nothing started.

    Args:
        settings: the configuration.
        environment: what surrounds the process.
        sinks: where messages go.
        filters: applied after the configured ones, to every camera.
        on_change: called when a thread ended.
        make_source: makes a camera's source for an input size, instead of the registry.

    Raises:
        ApplianceError: model, labels, accelerator or a camera's options cannot be used.
    """
    clock = environment.clock
    model = load_model(settings.model.name)
    chosen = choose(settings.accelerator.name, environment.root)
    workers, threads = layout_of(settings)
    device = device_of(settings, environment)
    identity = Identity(
        device=device,
        boot_id=new_boot_id(),
        model_id=model.id,
        accelerator=chosen.accelerator.name,
        workers=workers,
        labels=model.labels,
    )
    reporter = Reporter(identity, sinks.all, clock)
    wanted: tuple[Filter, ...] = ()
    if settings.model.labels:
        wanted = (LabelFilter(model.labels.ids(settings.model.labels)),)
    input_size = (model.input_width, model.input_height)
    exchange: Exchange[Lane] = Exchange(len(settings.camera))
    make = make_source or _registry_source(clock)
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
        )
        for index, camera in enumerate(settings.camera)
    )
    detectors = tuple(
        Worker(
            name=f"worker {number}",
            detector=chosen.accelerator.open(model, threads=threads),
            input_size=input_size,
            score_threshold=settings.model.score_threshold,
            clock=clock,
        )
        for number in range(workers)
    )
    return Runtime(
        settings=settings,
        environment=environment,
        device=device,
        model=model,
        choice=chosen,
        workers=workers,
        threads=threads,
        pipeline=Pipeline(lanes, detectors, exchange, on_change),
        reporter=reporter,
        telemetry=Telemetry.over(environment.root, clock),
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
