"""Both methods in one run: end to end, and what the comparisons of 2019 and 2020 counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.bench.alone import invoke_alone, method_of_2019, one_picture
from appliance.bench.figures import summarise
from appliance.bench.measure import measure_alternately, quiet
from appliance.bench.published import MODEL, SOURCE, published
from appliance.selection.choose import make_selector
from appliance.selection.environment import Environment
from appliance.vision.heads import BlindHead

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.bench.measure import Progress
    from appliance.bench.plan import BenchPlan
    from appliance.selection import Selection

RUNS = 50


def measure(
    plan: BenchPlan,
    progress: Progress = quiet,
    *,
    picture: Path | None = None,
    runs: int = RUNS,
) -> dict[str, Any]:
    """Return the figures named in the design, as a JSON-ready dictionary.

    A model that is no detector is timed alone; nothing can be said of it end to end.

    Args:
        plan: what to measure.
        progress: told rounds done and in all.
        picture: for the method of 2019; None for a synthetic one.
        runs: of the method of 2019.

    Raises:
        UsageError: fewer frames than a measurement needs.
        ApplianceError: model, accelerator or source cannot be used.
    """
    if picture is not None:
        one_picture(picture)  # fail now, not after a minute of measuring
    wanted = plan.settings.accelerator
    selector = make_selector(plan.settings, Environment(), timing=True)
    chosen = selector.select(wanted.name, plan.settings.model.name, wanted.optimise_for)
    if isinstance(chosen.model.head, BlindHead):
        figures = _timed_only(chosen, plan.frames)
    else:
        (rounds,) = measure_alternately((plan,), progress)
        figures = summarise(plan, rounds)
    figures["method_2019"] = method_of_2019(chosen, runs, one_picture(picture))
    figures["published"] = {"model": MODEL, "source": SOURCE, "fps": published()}
    return figures


def _timed_only(chosen: Selection, invokes: int) -> dict[str, Any]:
    alone = invoke_alone(chosen, invokes)
    return {
        "model": chosen.model.id,
        "accelerator": chosen.accelerator.name,
        "workers": chosen.layout.workers,
        "threads": chosen.layout.threads,
        "layout": chosen.layout.why,
        "inference_only_fps": round(alone.fps, 3),
        "cpu_seconds_per_invoke": round(alone.cpu_seconds, 6),
    }
