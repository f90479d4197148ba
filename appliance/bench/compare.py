"""Several accelerators in one run: is each right, how fast is it, and which would ``auto`` take?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.bench.measure import measure_alternately
from appliance.detectors import make_selector
from appliance.environment import Environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.bench.measure import BenchPlan
    from appliance.config import Settings


def compare(
    plan: BenchPlan,
    names: tuple[str, ...],
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Any]:
    """Return each accelerator's figures and parity, best end-to-end rate first.

    Raises:
        ApplianceError: one of them is not there, or has no model.
    """
    environment = Environment()
    selector = make_selector(plan.settings, environment)
    proofs = {name: selector.prove(name, plan.settings.model.name) for name in names}
    sound = {name: proof for name, proof in proofs.items() if proof.right is not False}
    figures = measure_alternately(
        tuple(replace(plan, settings=_with(plan.settings, name)) for name in sound), progress
    )
    rows = [
        {**one, "right": proof.right, "parity": proof.reason}
        for one, proof in zip(figures, sound.values(), strict=True)
    ]
    rows.sort(key=lambda row: -row["e2e_fps"])
    rows += [
        {"accelerator": name, "model": proof.model_id, "right": False, "parity": proof.reason}
        for name, proof in proofs.items()
        if name not in sound
    ]
    wanted = plan.settings.accelerator.optimise_for
    auto = selector.select("auto", plan.settings.model.name, wanted)
    return {"compare": rows, "auto": auto.accelerator.name}


def _with(settings: Settings, name: str) -> Settings:
    accelerator = msgspec.structs.replace(settings.accelerator, name=name)
    return msgspec.structs.replace(settings, accelerator=accelerator)
