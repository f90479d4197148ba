"""Several accelerators, models or layouts in one run: right, fast, cheap, and which is best?"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.accelerators import Registry
from appliance.bench.figures import summarise
from appliance.bench.measure import measure_alternately, quiet
from appliance.errors import ApplianceError, UsageError
from appliance.models import Catalogue, find_models_folder
from appliance.selection.choose import make_layouts, make_selector
from appliance.selection.environment import Environment
from appliance.selection.worker_layout import Trial, WorkerLayout, candidates

if TYPE_CHECKING:
    from appliance.bench.measure import Progress
    from appliance.bench.plan import BenchPlan
    from appliance.config import Settings
    from appliance.selection import Proof, Selection, Selector

AUTO = "auto"
AUTO_BUDGET_SECONDS = 120.0
_LAYOUT = re.compile(r"([1-9]\d?)x([1-9]\d?)")


@dataclass(frozen=True, slots=True)
class Contestant:
    """One side of a comparison.

    Attributes:
        name: as it was called.
        settings: of the run, its accelerator, model and layout put in.
    """

    name: str
    settings: Settings


def compare(
    plan: BenchPlan, names: str, progress: Progress = quiet, budget_seconds: float | None = None
) -> dict[str, Any]:
    """Return each contestant's figures and parity, best end-to-end rate first.

    Args:
        plan: what to measure of each.
        names: contestants, separated by commas: ``cpu``, a model's id or path, ``2x1``,
            ``cpu@2x1``; or ``auto`` for all layouts of all accelerators that are there, whose
            result is kept for later starts.
        progress: told rounds done and in all.
        budget_seconds: begin no further round after so long.

    Raises:
        UsageError: a name means nothing.
        ApplianceError: one of them is not there, or has no model.
    """
    environment = Environment()
    every = names.strip() == AUTO
    if every:
        plan = replace(plan, preload=True)  # what is kept shall not depend on drawing pictures
    contestants = _all_layouts(plan.settings, environment) if every else _named(plan, names)
    judged = [(one, *_judge(one.settings, environment)) for one in contestants]
    sound = [one for one in judged if one[2].right is not False]
    plans = tuple(replace(plan, settings=one.settings) for one, _, _ in sound)
    budget = budget_seconds or (AUTO_BUDGET_SECONDS if every else None)
    measured = measure_alternately(plans, progress, budget_seconds=budget)
    rows = [
        _row(one, summarise(its, rounds), proof)
        for (one, _, proof), its, rounds in zip(sound, plans, measured, strict=True)
    ]
    for row in rows:
        row["pareto"] = not any(_dominates(other, row) for other in rows)
    rows.sort(key=lambda row: -row["e2e_fps"])
    refused = [
        {"name": one.name, "model": proof.model_id, "right": False, "parity": proof.reason}
        for one, _, proof in judged
        if proof.right is False
    ]
    if every:
        _keep(plan.settings, environment, sound, rows)
    return {
        "compare": rows + refused,
        "auto": _auto(plan.settings, environment),
        "kept": str(environment.state_folder()) if every else None,
        "budget_seconds": budget,
    }


def _named(plan: BenchPlan, names: str) -> list[Contestant]:
    return [_contestant(plan.settings, name.strip()) for name in names.split(",")]


def _contestant(settings: Settings, name: str) -> Contestant:
    """Read ``[accelerator or model][@][workers x threads]``."""
    if not name:
        raise UsageError("--compare: a name is empty", hint="as in cpu,ncnn or 2x1,1x2")
    what, _, layout = name.rpartition("@")
    match = _LAYOUT.fullmatch(layout)
    if match is None:
        if what and os.sep not in name:
            raise UsageError(
                f"--compare {name}: {layout!r} is no layout", hint="workers x threads, as in 2x1"
            )
        what = name  # a path may hold an @
    accelerator, model = settings.accelerator, settings.model
    if match is not None:
        workers, threads = int(match[1]), int(match[2])
        accelerator = msgspec.structs.replace(accelerator, workers=workers, threads=threads)
    if what in Registry().names:
        accelerator = msgspec.structs.replace(accelerator, name=what)
    elif what:
        if not Catalogue(find_models_folder()).knows(what):
            raise UsageError(
                f"--compare {name}: no accelerator, model or layout is called so",
                hint="`appliance probe` and `appliance models` list them; 2x1 is a layout",
            )
        model = msgspec.structs.replace(model, name=what)
    changed = msgspec.structs.replace(settings, accelerator=accelerator, model=model)
    return Contestant(name, changed)


def _all_layouts(settings: Settings, environment: Environment) -> list[Contestant]:
    """Return every layout of every accelerator that is found and has a model."""
    selector = make_selector(settings, environment)
    cpus = make_layouts(settings, environment).cpus
    return [
        _contestant(settings, f"{one.accelerator.name}@{layout}")
        for one in selector.usable(settings.model.name)
        for layout in _layouts_of(one, cpus)
    ]


def _layouts_of(one: Selection, cpus: int) -> tuple[WorkerLayout, ...]:
    """Return the layouts to measure; a device that opens few detectors has one."""
    return candidates(cpus) if one.accelerator.max_detectors is None else (one.layout,)


def _judge(settings: Settings, environment: Environment) -> tuple[Selection, Proof]:
    """Return what the settings choose, and whether it sees what it should."""
    selector = make_selector(settings, environment)
    wanted, model = settings.accelerator, settings.model.name
    name = wanted.name
    if name == AUTO:
        name = selector.select(name, model, wanted.optimise_for).accelerator.name
    return selector.unproved(name, model), selector.prove(name, model)


def _row(one: Contestant, figures: dict[str, Any], proof: Proof) -> dict[str, Any]:
    accuracy = _accuracy(figures["model"])
    return {"name": one.name, **figures, **accuracy, "right": proof.right, "parity": proof.reason}


def _accuracy(model_id: str) -> dict[str, Any]:
    """Return the manifest's mAP of a model; None where nothing is known of it."""
    entries = Catalogue(find_models_folder()).entries()
    known = next((e.accuracy[0] for e in entries if e.id == model_id and e.accuracy), None)
    if known is None:
        return {"map": None, "map_dataset": None}
    return {"map": known.map, "map_dataset": known.dataset}


def _dominates(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Say whether ``one`` is nowhere worse and somewhere better.

    Accuracies that are unknown, on other data or of other classes cannot be compared, so neither
    dominates.
    """
    unknown = one["map"] is None and one["model"] != other["model"]
    if unknown or one["map_dataset"] != other["map_dataset"]:
        return False
    mine, its = _merits(one), _merits(other)
    return all(a >= b for a, b in zip(mine, its, strict=True)) and mine != its


def _merits(row: dict[str, Any]) -> tuple[float, ...]:
    """Return what counts, more is better: rate, latency, processor time, accuracy."""
    return (
        row["e2e_fps"],
        -row["latency_ms"]["p99"],
        -row["cpu_seconds_per_frame"],
        row["map"] if row["map"] is not None else 0.0,
    )


def _keep(
    settings: Settings,
    environment: Environment,
    sound: list[tuple[Contestant, Selection, Proof]],
    rows: list[dict[str, Any]],
) -> None:
    """Keep what was measured of each accelerator's layouts for later starts."""
    layouts = make_layouts(settings, environment)
    by_name = {row["name"]: row for row in rows}
    for accelerator in {chosen.accelerator.name for _, chosen, _ in sound}:
        its = [pair for pair in sound if pair[1].accelerator.name == accelerator]
        trials = tuple(_trial(by_name[one.name]) for one, _, _ in its)
        chosen = its[0][1]
        layouts.keep(chosen.finding, chosen.accelerator, chosen.model, trials)


def _trial(row: dict[str, Any]) -> Trial:
    work = ("preprocess", "inference", "postprocess")
    return Trial(
        workers=row["workers"],
        threads=row["threads"],
        fps=row["e2e_fps"],
        frame_ms=round(sum(row["stages_ms"][name]["p50"] for name in work), 3),
    )


def _auto(settings: Settings, environment: Environment) -> dict[str, Any]:
    accelerator = msgspec.structs.replace(
        settings.accelerator, name=AUTO, workers="auto", threads="auto"
    )
    selector: Selector = make_selector(
        msgspec.structs.replace(settings, accelerator=accelerator), environment
    )
    try:
        taken = selector.select(AUTO, settings.model.name, settings.accelerator.optimise_for)
    except ApplianceError as error:  # what was measured is told all the same
        return {"accelerator": None, "workers": 0, "threads": 0, "why": str(error)}
    return {
        "accelerator": taken.accelerator.name,
        "workers": taken.layout.workers,
        "threads": taken.layout.threads,
        "why": taken.layout.why,
    }
