"""What can be taken, in order, and what is said of it: pure functions on proofs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.accelerators import Accelerator, Finding
    from appliance.models import Model
    from appliance.selection.proof import Proof
    from appliance.selection.worker_layout import Aim, WorkerLayout

REFERENCE = "cpu"


@dataclass(frozen=True, slots=True)
class Selection:
    """The accelerator taken, its model and layout, and all that was looked at.

    Attributes:
        accelerator: taken.
        model: that it runs.
        layout: workers and threads.
        findings: of every accelerator that was looked at, refusals of the proof included.
        proof: of the one taken; None for the CPU, which is what others are compared with.
    """

    accelerator: Accelerator
    model: Model
    layout: WorkerLayout
    findings: tuple[Finding, ...]
    proof: Proof | None

    @property
    def finding(self) -> Finding:
        """Return what the probe found of the one taken, before anything was proved."""
        return next(one for one in self.findings if one.name == self.accelerator.name)


def ranked(judged: list[Selection], aim: Aim) -> list[Selection]:
    """Return those that were proved right, best first.

    One that does not run where it promises is trusted by an explicit choice only. Where nothing
    can be compared (the owner's own labels), the reference comes first.
    """
    proved = [(one, one.proof) for one in judged if one.proof and not one.proof.degraded]
    sound = [(one, proof) for one, proof in proved if proof.right]
    sound.sort(key=lambda pair: pair[1].inference_ms if aim == "latency" else -pair[1].fps)
    unjudged = [one for one, proof in proved if proof.right is None]
    unjudged.sort(key=lambda one: one.accelerator.name != REFERENCE)
    return [*(one for one, _ in sound), *unjudged]


def noted(finding: Finding, proof: Proof) -> Finding:
    """Return what was found with what the proof says; refused where it is wrong."""
    if proof.right is False:
        return refused(finding, f"{finding.detail}, but refused: {proof.reason}")
    speed = f"{proof.fps:.1f} inferences/s, {proof.inference_ms:.1f} ms"
    state = "degraded: " if proof.degraded else ""
    detail = f"{finding.detail}, {proof.model_id}: {speed}, {state}{proof.reason}"
    return replace(finding, detail=detail)


def refused(finding: Finding, detail: str) -> Finding:
    """Return what was found as not usable, and why."""
    return replace(finding, found=False, detail=detail)
