"""What was measured is kept under all that it depends on."""

from __future__ import annotations

import hashlib
import logging
import os
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from appliance.errors import UnavailableError
from appliance.files import check_folder, claim_folder, write_whole
from appliance.selection.proof import Proof

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.accelerators import Finding
    from appliance.models import Model

Value = TypeVar("Value")
log = logging.getLogger(__name__)


class KeptFile(Generic[Value]):
    """A JSON file of values by key. One that cannot be read or written costs new measuring only.

    Args:
        path: of the file; its folder is made when the first value is kept.
        kind: of the values.
    """

    def __init__(self, path: Path, kind: type[Value]) -> None:
        self._path = path
        self._kind = kind
        self._values = self._read()

    def get(self, key: str) -> Value | None:
        return self._values.get(key)

    def keep(self, key: str, value: Value) -> None:
        """Keep a value for the next start too, with what another process kept meanwhile."""
        self._values = self._read() | self._values | {key: value}
        try:
            if not _is_root():
                claim_folder(self._path.parent)
            write_whole(self._path, msgspec.json.format(msgspec.json.encode(self._values)))
        except (OSError, UnavailableError) as error:
            log.warning("%s cannot be written: %s", self._path, error)

    def _read(self) -> dict[str, Value]:
        try:
            if not _is_root():
                check_folder(self._path.parent)
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, self._kind])  # type: ignore[name-defined] # the type is a value here
        except FileNotFoundError:
            return {}
        except (OSError, UnavailableError, msgspec.DecodeError) as error:
            log.warning("%s cannot be read, measuring anew: %s", self._path, error)
            return {}


def _is_root() -> bool:
    """Say whether we are root, which measures for the service: in its folder, through no link."""
    return os.geteuid() == 0


class ProofStore:
    """Proofs by key.

    Args:
        path: of the file.
        failures: proofs that failed, kept as long as this process lives and not on disk: what
            failed may have been a loose cable.
    """

    def __init__(self, path: Path, failures: dict[str, Proof] | None = None) -> None:
        self._failures = {} if failures is None else failures
        self._proofs = KeptFile(path, Proof)

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
        else:
            self._proofs.keep(key, proof)


def proof_key(finding: Finding, model: Model) -> str:
    """Return what a proof depends on; another runtime, device or model makes another key.

    The layout it was timed in is not part of it: what is right stays right in another.
    """
    return key_of(finding.name, model.sha256, finding.runtime, *finding.devices)


def key_of(*parts: str) -> str:
    """Return a short key of many words."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
