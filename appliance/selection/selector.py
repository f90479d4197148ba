"""Choose: what is there, what has a model, what is proved right, and of those the best."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance.errors import AcceleratorUnavailableError, ModelError
from appliance.selection.layout_meter import LayoutMeter
from appliance.selection.proof import Proof, Prover
from appliance.selection.proof_store import ProofStore, proof_key
from appliance.selection.ranking import REFERENCE, Selection, noted, ranked, refused
from appliance.selection.worker_layout import Aim, WorkerLayout

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from appliance.accelerators import Accelerator, Finding, Machine, Registry
    from appliance.clock import Clock
    from appliance.models import Catalogue, Model

log = logging.getLogger(__name__)

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Survey:
    """What is there, which one ``auto`` would take (None: not decided), and why.

    ``unproved`` says that proofs are missing to decide.
    """

    findings: tuple[Finding, ...]
    best: str | None
    why: str
    unproved: bool = False


class Selector:
    """Choose: what is there, what has a model, what is proved right, and of those the best.

    Args:
        registry: of accelerators.
        catalogue: of models.
        machine: what is probed.
        store: of kept proofs.
        clock: times the micro-benchmarks.
        layout_of: workers and threads for an accelerator as found, with a model.
    """

    def __init__(
        self,
        registry: Registry,
        catalogue: Catalogue,
        machine: Machine,
        *,
        store: ProofStore,
        clock: Clock,
        layout_of: Callable[[Finding, Accelerator, Model], WorkerLayout],
    ) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._machine = machine
        self._store = store
        self._layout_of = layout_of
        self._clock = clock
        self._prover = Prover(registry.get(REFERENCE), clock)

    def select(self, name: str, model_name: str, aim: Aim = "throughput") -> Selection:
        """Return the accelerator called ``name``, or the best one for ``auto``.

        Raises:
            UsageError: no such accelerator.
            AcceleratorUnavailableError: the named one is not there or not right, or none is.
            ModelError: no model for it.
        """
        if name != AUTO:
            return self._explicit(name, model_name)
        return self._best(model_name, aim)

    def prove(self, name: str, model_name: str) -> Proof:
        """Return the proof of an accelerator, whatever it says.

        Raises:
            AcceleratorUnavailableError: it is not there.
            ModelError: no model for it.
        """
        finding, one = self._named(name, model_name)
        return self._proof(finding, one.accelerator, one.model, one.layout)

    def unproved(self, name: str, model_name: str) -> Selection:
        """Return an accelerator with its model and layout, proved or not.

        Raises:
            AcceleratorUnavailableError: it is not there.
            ModelError: no model for it.
        """
        return self._named(name, model_name)[1]

    def usable(self, model_name: str) -> list[Selection]:
        """Return every accelerator that is there and has a model, not proved."""
        candidates, findings, _ = self._candidates(model_name)
        return [replace(c, findings=tuple(findings.values())) for c in candidates]

    def survey(self, model_name: str, aim: Aim = "throughput") -> Survey:
        """Say what is there and what ``auto`` would take, proving nothing: kept proofs count."""
        candidates, findings, _ = self._candidates(model_name)
        kept: list[Selection] = []
        for one in candidates:
            finding = findings[one.accelerator.name]
            proof = self._store.get(proof_key(finding, one.model))
            if proof is not None:
                findings[finding.name] = noted(finding, proof)
                kept.append(replace(one, proof=proof))
        best: str | None = None
        why = "none is found and has a model"
        if len(candidates) == 1:
            best, why = candidates[0].accelerator.name, "the only one found that has a model"
        elif candidates and len(kept) < len(candidates):
            why = "several are found and not all are proved: appliance probe --prove"
        elif candidates and (best_first := ranked(kept, aim)):
            best, why = best_first[0].accelerator.name, f"proved right, and best for {aim}"
        unproved = 1 < len(candidates) > len(kept)
        return Survey(tuple(findings.values()), best, why, unproved)

    def must_prove(self, name: str, model_name: str) -> bool:
        """Say whether choosing ``name`` (or ``auto``) has to run accelerators that are unproved."""
        if name == AUTO:
            return self.survey(model_name).unproved
        if name == REFERENCE:
            return False
        finding, accelerator = self._registry.probe(name, self._machine), self._registry.get(name)
        if not finding.found or accelerator.max_detectors == 0:
            return False
        try:
            model = self._catalogue.load(model_name, accelerator.target)
        except ModelError:
            return False
        return self._store.get(proof_key(finding, model)) is None

    def stand_in(self, name: str, model_name: str, reason: str) -> Selection:
        """Return an accelerator that is away, with the model that the reference runs meanwhile.

        Raises:
            UsageError: no such accelerator.
            ModelError: no model for the reference.
        """
        accelerator = self._registry.get(name)
        reference = self.select(REFERENCE, model_name)
        finding = refused(self._registry.probe(name, self._machine), reason)
        layout = self._layout_of(finding, accelerator, reference.model)
        findings = (finding, *reference.findings)
        return Selection(accelerator, reference.model, layout, findings, None)

    def load(self, name: str, model_name: str) -> Model:
        """Return the model for the accelerator called ``name``.

        Raises:
            ModelError: none is here.
        """
        return self._catalogue.load(model_name, self._registry.get(name).target)

    def meter(self, stop: threading.Event, before_turn: Callable[[], None]) -> LayoutMeter:
        """Return what tries layouts, judged as proofs are; see ``LayoutMeter``."""
        return LayoutMeter(self._prover, self._clock, stop, before_turn)

    def twin(self, model: Model) -> Model | None:
        """Return the same weights for the reference; None where there are none."""
        return self._catalogue.reference(model, self._registry.get(REFERENCE).target)

    def confirm(self, name: str, model_name: str) -> None:
        """Prove an accelerator that came back; what was kept of it does not count.

        Raises:
            AcceleratorUnavailableError: it is not there, not right, or not what it promises.
            ModelError: no model for it.
        """
        accelerator = self._registry.available(name, self._machine)
        model = self.load(name, model_name)
        proof = self._prover.prove(accelerator, model, self.twin(model), WorkerLayout(1, 1))
        if proof.right is False or proof.degraded:
            raise AcceleratorUnavailableError(f"accelerator {name}: {proof.reason}")
        self._store.forgive(name)

    def _named(self, name: str, model_name: str) -> tuple[Finding, Selection]:
        """Return what is known of one accelerator, and it with its model, not proved yet."""
        accelerator = self._registry.available(name, self._machine)
        finding = self._registry.probe(name, self._machine)
        model = self._catalogue.load(model_name, accelerator.target)
        layout = self._layout_of(finding, accelerator, model)
        return finding, Selection(accelerator, model, layout, (finding,), None)

    def _explicit(self, name: str, model_name: str) -> Selection:
        finding, one = self._named(name, model_name)
        if name == REFERENCE:  # the one that others are compared with
            return one
        proof = self._proof(finding, one.accelerator, one.model, one.layout)
        if proof.right is False:
            raise AcceleratorUnavailableError(f"accelerator {name}: refused: {proof.reason}")
        return replace(one, findings=(noted(finding, proof),), proof=proof)

    def _best(self, model_name: str, aim: Aim) -> Selection:
        candidates, findings, error = self._candidates(model_name)
        if len(candidates) > 1 or any(c.accelerator.name != REFERENCE for c in candidates):
            judged = []
            for one in candidates:
                finding = findings[one.accelerator.name]
                proof = self._proof(finding, one.accelerator, one.model, one.layout)
                findings[finding.name] = noted(finding, proof)
                judged.append(replace(one, proof=proof))
            candidates = ranked(judged, aim)
        if not candidates:
            if error is not None:
                raise error
            reasons = "; ".join(f"{one.name}: {one.detail}" for one in findings.values())
            raise AcceleratorUnavailableError(f"accelerator auto: none is available: {reasons}")
        return replace(candidates[0], findings=tuple(findings.values()))

    def _candidates(
        self, model_name: str
    ) -> tuple[list[Selection], dict[str, Finding], ModelError | None]:
        """Return what is there and has a model; all findings; why the reference has no model."""
        findings = {one.name: one for one in self._registry.probe_all(self._machine)}
        candidates: list[Selection] = []
        error: ModelError | None = None
        for name, finding in findings.items():
            if not finding.found:
                continue
            accelerator = self._registry.get(name)
            if accelerator.max_detectors == 0:
                continue
            try:
                model = self._catalogue.load(model_name, accelerator.target)
            except ModelError as refusal:
                error = refusal if name == REFERENCE or error is None else error
                findings[name] = refused(finding, f"{finding.detail}, but {refusal}")
                continue
            layout = self._layout_of(finding, accelerator, model)
            candidates.append(Selection(accelerator, model, layout, (), None))
        return candidates, findings, error

    def _proof(
        self, finding: Finding, accelerator: Accelerator, model: Model, layout: WorkerLayout
    ) -> Proof:
        """Return the kept proof, or a new one."""
        key = proof_key(finding, model)
        proof = self._store.get(key)
        if proof is None:
            log.info("proving accelerator %s with %s", accelerator.name, model.id)
            proof = self._prover.prove(accelerator, model, self.twin(model), layout)
            self._store.keep(key, proof)
        return proof
