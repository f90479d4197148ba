"""From settings to open detectors: which accelerator and model, how many, what if it goes."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.accelerators import Machine, Registry
from appliance.board.identity import board_name
from appliance.errors import AcceleratorUnavailableError, ApplianceError, ConfigError, ModelError
from appliance.models import Catalogue, Model, find_models_folder
from appliance.selection import LayoutStore, ProofStore, Selection, Selector
from appliance.selection.failover import AcceleratorEvent, DetectorMaker, FailoverDetector, Switch
from appliance.selection.passthrough import PassThroughDetector
from appliance.sources import detects, parse_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.accelerators import Detector
    from appliance.clock import Clock
    from appliance.config import Settings
    from appliance.selection.environment import Environment

log = logging.getLogger(__name__)

AUTO = "auto"
FALLBACK = "cpu"
"""What goes on when an accelerator is lost: it is in every unit."""


def load_model(name: str) -> Model:
    """Return the model called ``name`` from where models are kept, as it is."""
    return Catalogue(find_models_folder()).load(name)


def make_selector(
    settings: Settings,
    environment: Environment,
    *,
    timing: bool = False,
    layouts: LayoutStore | None = None,
) -> Selector:
    """Return what chooses the accelerator.

    Args:
        settings: the configuration.
        environment: what surrounds the process.
        timing: also models that are no detectors.
        layouts: what is known of layouts; None to read it.
    """
    return Selector(
        Registry(settings.accelerator.options, environment.accelerators),
        Catalogue(find_models_folder(), timing=timing),
        Machine(environment.root),
        store=ProofStore(
            environment.state_folder() / "accelerators.json", environment.failed_proofs
        ),
        clock=environment.clock,
        layout_of=(layouts or make_layouts(settings, environment)).of,
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


def make_layouts(settings: Settings, environment: Environment) -> LayoutStore:
    """Return what knows how many workers and threads to take."""
    wanted = settings.accelerator
    return LayoutStore(
        environment.state_folder() / "layouts.json",
        board_name(environment.root),
        len(os.sched_getaffinity(0)),
        workers=wanted.workers,
        threads=wanted.threads,
        aim=wanted.optimise_for,
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """What a unit starts with.

    Attributes:
        selection: accelerator, model and layout.
        lost_reason: why the wanted accelerator is away, where the CPU stands in for it.
        provisional: the CPU runs until the others are proved.
    """

    selection: Selection
    lost_reason: str = ""
    provisional: bool = False


def choose(settings: Settings, selector: Selector) -> Choice:
    """Return what to start with, at once: ``auto`` waits for no proof, the CPU runs meanwhile.

    Raises:
        ApplianceError: the accelerator, or a model for it, is not there.
    """
    wanted, model_name = settings.accelerator, settings.model.name
    if detects_by_itself(settings):
        return Choice(selector.select(FALLBACK, model_name))
    if wanted.fallback == "cpu" and selector.must_prove(wanted.name, model_name):
        with contextlib.suppress(ModelError, AcceleratorUnavailableError):  # no CPU: then wait
            return Choice(selector.select(FALLBACK, model_name), provisional=True)
    try:
        return Choice(selector.select(wanted.name, model_name, wanted.optimise_for))
    except AcceleratorUnavailableError as error:
        if wanted.fallback == "none" or wanted.name in {AUTO, FALLBACK}:
            raise
        reason = str(error)
        return Choice(selector.stand_in(wanted.name, model_name, reason), lost_reason=reason)


def prove_in_background(
    settings: Settings, environment: Environment, on_better: Callable[[], None]
) -> None:
    """Prove what ``auto`` may take while the CPU runs; call ``on_better`` if another is better."""

    def prove() -> None:
        try:
            best = select(settings, environment).accelerator.name
        except ApplianceError as error:
            log.warning("accelerators could not be proved: %s", error)
            best = settings.accelerator.name  # away or refused: the unit stands in for it aloud
        else:
            log.info("accelerators are proved; the best is %s", best)
        if best not in {AUTO, FALLBACK}:
            on_better()

    threading.Thread(target=prove, name="proving accelerators", daemon=True).start()


def detects_by_itself(settings: Settings) -> bool:
    """Say whether all cameras detect by themselves.

    Raises:
        ConfigError: the accelerator is one that only such cameras have, and another camera is
            configured.
    """
    kinds = {parse_source(camera)[0] for camera in settings.camera}
    name = settings.accelerator.name
    if kinds != {name} and detects(name):
        raise ConfigError(
            "the configuration cannot be used:",
            faults=(
                (
                    f"accelerator.name: {name} runs in its camera, so every camera's source must "
                    f"be {name}, got {', '.join(sorted(kinds))}"
                ),
            ),
        )
    return all(detects(kind) for kind in kinds)


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

    def confirm() -> None:
        if selector.load(name, model_name).labels != fallback.model.labels:
            raise ModelError(f"accelerator {name}: its model has other labels")
        selector.confirm(name, model_name)

    return Switch(
        DetectorMaker(
            name,
            lambda: accelerator.open(selector.load(name, model_name), threads=layout.threads),
            lambda: selector.load(name, model_name),
            confirm,
        ),
        DetectorMaker(
            FALLBACK,
            lambda: fallback.accelerator.open(fallback.model, threads=threads),
            lambda: fallback.model,
        ),
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
