"""From settings to open detectors: which accelerator and model, how many, what if it goes."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from appliance.accelerators import Machine, Options, Registry
from appliance.accelerators.passthrough import PassThroughDetector
from appliance.errors import AcceleratorUnavailableError, ConfigError, ModelError
from appliance.failover import AcceleratorEvent, FailoverDetector, Supply, Switch
from appliance.models import Catalogue, Model, find_models_folder
from appliance.selection import Layout, ProofStore, Selection, Selector
from appliance.sources import DETECT_BY_THEMSELVES, parse_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.accelerators import Accelerator, Detector
    from appliance.clock import Clock
    from appliance.config import Settings
    from appliance.environment import Environment

log = logging.getLogger(__name__)

FALLBACK = "cpu"
"""What goes on when an accelerator is lost: it is in every unit."""
MAX_WORKERS = 4
"""More detectors than this gain nothing on the boards we know and cost memory each."""


def load_model(name: str) -> Model:
    """Return the model called ``name`` from where models are kept, as it is."""
    return Catalogue(find_models_folder()).load(name)


def make_selector(settings: Settings, environment: Environment) -> Selector:
    """Return what chooses the accelerator."""
    options = Options(settings.accelerator.device, settings.accelerator.interpreters)
    return Selector(
        Registry(options, environment.accelerators),
        Catalogue(find_models_folder()),
        Machine(environment.root),
        store=ProofStore(environment.state_folder() / "accelerators.json"),
        clock=environment.clock,
        layout_of=lambda accelerator: layout_of(settings, accelerator),
    )


def select(settings: Settings, environment: Environment) -> Selection:
    """Return the accelerator that the settings ask for, with its model and layout.

    Raises:
        ApplianceError: it is not there, not right, or has no model.
    """
    wanted = settings.accelerator
    return make_selector(settings, environment).select(
        wanted.name, settings.model.name, wanted.optimise_for
    )


def layout_of(settings: Settings, accelerator: Accelerator) -> Layout:
    """Return workers and threads: one single-threaded worker a core unless configured."""
    cores = len(os.sched_getaffinity(0))
    most = accelerator.max_detectors or MAX_WORKERS
    workers = settings.accelerator.workers or min(cores, MAX_WORKERS)
    return Layout(min(workers, most), settings.accelerator.threads or 1)


def choose(settings: Settings, selector: Selector) -> tuple[Selection, str]:
    """Return the selection, and why the wanted accelerator is away where the CPU stands in."""
    wanted = settings.accelerator
    if detects_by_itself(settings):
        return selector.select(FALLBACK, settings.model.name), ""
    try:
        return selector.select(wanted.name, settings.model.name, wanted.optimise_for), ""
    except AcceleratorUnavailableError as error:
        if wanted.fallback == "none" or wanted.name in {"auto", FALLBACK}:
            raise
        return selector.stand_in(wanted.name, settings.model.name, str(error)), str(error)


def detects_by_itself(settings: Settings) -> bool:
    """Say whether all cameras detect by themselves.

    Raises:
        ConfigError: the accelerator is one that only such cameras have, and another camera is
            configured.
    """
    kinds = {parse_source(camera)[0] for camera in settings.camera}
    name = settings.accelerator.name
    if name in DETECT_BY_THEMSELVES and kinds != {name}:
        raise ConfigError(
            "the configuration cannot be used:",
            faults=(
                (
                    f"accelerator.name: {name} runs in its camera, so every camera's source must "
                    f"be {name}, got {', '.join(sorted(kinds))}"
                ),
            ),
        )
    return kinds <= DETECT_BY_THEMSELVES


def make_switch(
    settings: Settings,
    selector: Selector,
    selection: Selection,
    *,
    lost_reason: str,
    on_event: Callable[[AcceleratorEvent], None],
    clock: Clock,
) -> Switch | None:
    """Return the way to the CPU and back; None where the CPU is the choice, or none is wanted."""
    accelerator, layout = selection.accelerator, selection.layout
    name, model_name = accelerator.name, settings.model.name
    if name == FALLBACK or settings.accelerator.fallback == "none":
        return None
    try:
        fallback = selector.select(FALLBACK, model_name)
    except ModelError as error:
        log.warning("no fallback for accelerator %s: %s", name, error)
        return None
    if fallback.model.labels != selection.model.labels:
        log.warning("no fallback for %s: %s has other labels", name, fallback.model.id)
        return None
    threads = max(1, len(os.sched_getaffinity(0)) // layout.workers)
    return Switch(
        Supply(
            name,
            lambda: accelerator.open(selector.load(name, model_name), threads=layout.threads),
            lambda: selector.confirm(name, model_name),
        ),
        Supply(FALLBACK, lambda: fallback.accelerator.open(fallback.model, threads=threads)),
        slots=layout.workers,
        retry_seconds=settings.accelerator.retry_seconds,
        on_event=on_event,
        clock=clock,
        lost_reason=lost_reason,
    )


def open_detectors(
    settings: Settings, selection: Selection, switch: Switch | None
) -> tuple[Detector, ...]:
    """Return a detector for each worker; close those that are open if one cannot be."""
    model, layout = selection.model, selection.layout
    if detects_by_itself(settings):
        kind = parse_source(settings.camera[0])[0]
        return (PassThroughDetector(kind, model.id, (model.input_width, model.input_height)),)
    opened: list[Detector] = []
    try:
        for _ in range(layout.workers):
            opened.append(  # noqa: PERF401 - one by one, so that a failure closes the others
                FailoverDetector(switch)
                if switch
                else selection.accelerator.open(model, threads=layout.threads)
            )
    except BaseException:
        for detector in opened:
            detector.close()
        raise
    return tuple(opened)
