"""Which layout to take: as configured, as measured before, or a safe one until it is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from appliance.selection.proof_store import KeptFile, key_of
from appliance.selection.worker_layout import (
    Trial,
    WorkerLayout,
    best,
    candidates,
    reason,
    unmeasured,
)

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.accelerators import Accelerator, Finding
    from appliance.models import Model
    from appliance.selection.worker_layout import Aim, Wanted


class Trials(msgspec.Struct, frozen=True, kw_only=True):
    """What trying the layouts of one accelerator with one model gave."""

    accelerator: str
    model_id: str
    trials: tuple[Trial, ...]


class LayoutStore:
    """Which layout to take: as configured, as measured before, or a safe one.

    Args:
        path: of the file that measurements are kept in.
        board: model of the board; part of what a measurement is kept under.
        cpus: that we may use; likewise.
        workers, threads: as configured; only where both are ``auto`` is anything chosen.
        aim: what to choose for.
    """

    def __init__(
        self, path: Path, board: str, cpus: int, *, workers: Wanted, threads: Wanted, aim: Aim
    ) -> None:
        self._kept = KeptFile(path, Trials)
        self._board = board
        self.cpus = cpus
        self._workers, self._threads = workers, threads
        self._aim = aim

    def of(self, finding: Finding, accelerator: Accelerator, model: Model) -> WorkerLayout:
        """Return the layout for an accelerator as it was found, with a model."""
        plain = unmeasured(self.cpus, accelerator.max_detectors, self._workers, self._threads)
        if not self._chooses(accelerator):
            return plain
        kept = self._kept.get(self._key(finding, model))
        taken = best(kept.trials, self._aim) if kept else None
        if kept is None or taken is None:
            return plain
        return WorkerLayout(taken.workers, taken.threads, reason(kept.trials, taken, self._aim))

    def to_measure(
        self, finding: Finding, accelerator: Accelerator, model: Model
    ) -> tuple[WorkerLayout, ...]:
        """Return the layouts to try; none where nothing is to be chosen, or it is known."""
        known = self._kept.get(self._key(finding, model)) is not None
        return () if known or not self._chooses(accelerator) else candidates(self.cpus)

    def keep(
        self, finding: Finding, accelerator: Accelerator, model: Model, trials: tuple[Trial, ...]
    ) -> None:
        """Keep a measurement for later starts too, unless nothing in it was right."""
        if best(trials, self._aim) is None:
            return
        kept = Trials(accelerator=accelerator.name, model_id=model.id, trials=trials)
        self._kept.keep(self._key(finding, model), kept)

    def _chooses(self, accelerator: Accelerator) -> bool:
        """A device that opens few detectors has nothing to choose, and none to spare for trials."""
        return self._workers == self._threads == "auto" and accelerator.max_detectors is None

    def _key(self, finding: Finding, model: Model) -> str:
        """Another model, runtime, device, board or number of CPUs is measured anew."""
        parts = (finding.name, model.sha256, finding.runtime, *finding.devices, self._board)
        return key_of(*parts, f"{self.cpus} CPUs")
