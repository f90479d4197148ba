"""Proofs that are kept: valid for one model, runtime version, device and layout."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

import msgspec

from appliance.selection.proof import Proof

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.accelerators import Finding
    from appliance.models import Model
    from appliance.selection.proof import Layout

log = logging.getLogger(__name__)


class ProofStore:
    """A JSON file of proofs by key. A file that cannot be read or written costs new proofs only.

    Args:
        path: of the file; its folder is made when the first proof is kept.
        failures: proofs that failed, kept as long as this process lives and not on disk: what
            failed may have been a loose cable.
    """

    def __init__(self, path: Path, failures: dict[str, Proof] | None = None) -> None:
        self._path = path
        self._failures = {} if failures is None else failures
        self._proofs: dict[str, Proof] = {}
        try:
            self._proofs = msgspec.json.decode(path.read_bytes(), type=dict[str, Proof])
        except FileNotFoundError:
            pass
        except (OSError, msgspec.DecodeError) as error:
            log.warning("kept proofs %s cannot be read, proving anew: %s", path, error)

    def get(self, key: str) -> Proof | None:
        """Return the proof kept under ``key``."""
        return self._failures.get(key) or self._proofs.get(key)

    def forgive(self, accelerator: str) -> None:
        """Forget failures of an accelerator: it has been mended."""
        for key in [k for k, one in self._failures.items() if one.accelerator == accelerator]:
            del self._failures[key]

    def keep(self, key: str, proof: Proof) -> None:
        """Keep a proof, for the next start too unless it failed."""
        if proof.right is False:
            self._failures[key] = proof
            return
        self._proofs[key] = proof
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._path.with_suffix(".partial")
            partial.write_bytes(msgspec.json.format(msgspec.json.encode(self._proofs)))
            partial.replace(self._path)
        except OSError as error:
            log.warning("proofs cannot be kept in %s: %s", self._path, error)


def proof_key(finding: Finding, model: Model, layout: Layout) -> str:
    """Return what a proof depends on; another runtime, device or model makes another key."""
    parts = (
        finding.name,
        model.sha256,
        finding.runtime,
        *finding.devices,
        f"{layout.workers}x{layout.threads}",
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
