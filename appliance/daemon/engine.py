"""What looks at pictures: accelerator and model as chosen, its workers, the way to the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.models import Vocabulary
from appliance.objects.admission import lowest_of
from appliance.pipeline.worker import Worker
from appliance.selection.choose import (
    AUTO,
    choose,
    detects_by_itself,
    make_layouts,
    make_selector,
    make_switch,
    open_detectors,
)
from appliance.sources import parse_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.clock import Clock
    from appliance.config import Settings
    from appliance.models import Model
    from appliance.pipeline.pace import Pace
    from appliance.selection import LayoutStore, Selection
    from appliance.selection.environment import Environment
    from appliance.selection.failover import AcceleratorEvent, Switch


@dataclass(frozen=True, slots=True)
class Engine:
    """What looks at pictures: accelerator and model as chosen, its workers, the way to the CPU.

    Attributes:
        made_from: the settings it depends on; equal ones make the same engine.
        wanted: the accelerator's name in the settings.
        selection: what was chosen.
        layouts: what is known of layouts of workers, and what is measured.
        provisional: the CPU runs until the others are proved.
        switch: the way to the CPU and back; None where there is none.
        vocabulary: names of what is seen, by label id.
        workers: one for each detector.
    """

    made_from: object
    wanted: str
    selection: Selection
    layouts: LayoutStore
    provisional: bool
    switch: Switch | None
    vocabulary: Vocabulary
    workers: tuple[Worker, ...]

    @property
    def accelerator(self) -> str:
        """Return the name of the accelerator that runs now."""
        return self.switch.running if self.switch else self.selection.accelerator.name

    @property
    def model(self) -> Model:
        return self.switch.running_model() if self.switch else self.selection.model

    @property
    def input_size(self) -> tuple[int, int]:
        """Return width and height of the model's input, pixels."""
        model = self.selection.model
        return model.input_width, model.input_height

    def problems(self) -> tuple[str, ...]:
        """Return why the accelerator does less than it should; empty if all is well."""
        if self.switch is not None and self.switch.lost_reason:
            lost = f"accelerator {self.switch.primary}: running on {self.switch.running} instead"
            return (f"{lost}: {self.switch.lost_reason}",)
        if self.provisional and self.wanted != AUTO:
            running = f"running on {self.accelerator} meanwhile"
            return (f"accelerator {self.wanted}: is being proved, {running}",)
        degraded = {worker.detector.degraded for worker in self.workers}
        return tuple(sorted(f"accelerator: {reason}" for reason in degraded if reason))

    def start(self) -> None:
        """Start to look for an accelerator that is away; safe to call twice."""
        if self.switch is not None:
            self.switch.start()

    def discard(self) -> None:
        """Close what was opened and never ran."""
        for worker in self.workers:
            worker.detector.close()
        self.close()

    def close(self) -> None:
        """Stop looking for it."""
        if self.switch is not None:
            self.switch.close()


def origin_of(settings: Settings) -> object:
    """Return what an engine is made from, see ``Engine.made_from``."""
    in_camera = detects_by_itself(settings)
    kind = parse_source(settings.camera[0])[0] if in_camera else ""
    return settings.accelerator, settings.model.name, _stamp(Path(settings.model.name)), kind


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what tells a model's file from another one of its name; None where it is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def make_engine(
    settings: Settings,
    environment: Environment,
    pace: Pace,
    on_event: Callable[[AcceleratorEvent], None],
    vocabulary: Vocabulary | None = None,
) -> Engine:
    """Choose an accelerator and open its detectors.

    Args:
        settings: the configuration.
        environment: what surrounds the process.
        pace: of the pipeline.
        on_event: told when the accelerator is lost and when it is back.
        vocabulary: of the engine before this one: kept where the labels are the same, for what
            goes on knows names by it.

    Raises:
        ApplianceError: accelerator or model cannot be used.
    """
    clock, made_from = environment.clock, origin_of(settings)  # first: a file may be replaced
    layouts = make_layouts(settings, environment)
    selector = make_selector(settings, environment, layouts=layouts)
    choice = choose(settings, selector)
    selection = choice.selection
    switch = make_switch(
        settings,
        selector,
        selection,
        lost_reason=choice.lost_reason,
        on_event=on_event,
        clock=clock,
    )
    if vocabulary is None or vocabulary.labels != selection.model.labels:
        vocabulary = Vocabulary(selection.model.labels)
    try:
        detectors = open_detectors(settings, selection, switch)
    except BaseException:
        if switch is not None:
            switch.close()  # it may look for the accelerator by now
        raise
    workers = tuple(
        Worker(
            name=f"worker {number}",
            detector=detector,
            vocabulary=vocabulary,
            score_threshold=lowest_of(settings),
            clock=clock,
            may_work=_may_work(pace, number, clock),
        )
        for number, detector in enumerate(detectors)
    )
    return Engine(
        made_from=made_from,
        wanted=settings.accelerator.name,
        selection=selection,
        layouts=layouts,
        provisional=choice.provisional,
        switch=switch,
        vocabulary=vocabulary,
        workers=workers,
    )


def _may_work(pace: Pace, number: int, clock: Clock) -> Callable[[], bool]:
    return lambda: pace.may_work(number, clock.monotonic_ns())
