"""Accelerators: what can run a model. One protocol, one file each, one registry line each.

``probe`` touches no vendor library beyond asking whether it is installed; ``open`` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from appliance.errors import AcceleratorUnavailableError, UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from appliance.models import Model
    from appliance.values import Detections, Pixels


class Detector(Protocol):
    """An accelerator opened with a model. Used by one thread at a time."""

    def input(self) -> AbstractContextManager[Pixels]:
        """Yield the picture to fill, uint8 RGB (input_height, input_width, 3).

        Leaving the context loads it; the array must not be kept beyond.
        """

    def infer(self) -> None:
        """Run the model on the loaded picture; blocks until done.

        Raises:
            DetectorError: the runtime refused.
        """

    def detections(self, score_threshold: float) -> Detections:
        """Decode the outputs of the last ``infer``; boxes in 0..1 of the model's input."""

    def close(self) -> None:
        """Free the runtime; safe to call twice."""


class Accelerator(Protocol):
    """Something that runs models.

    Attributes:
        name: as in configuration and messages.
        formats: model file formats it takes.
    """

    name: str
    formats: frozenset[str]

    def probe(self, root: Path) -> Finding:
        """Say within a second whether it is there; ``root`` is normally ``/``."""

    def open(self, model: Model, *, threads: int) -> Detector:
        """Return a detector.

        Raises:
            AcceleratorUnavailableError: device or runtime missing.
            ModelError: the runtime refuses the model.
        """


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found.

    Attributes:
        name: of the accelerator.
        found: whether it can be used.
        detail: the runtime and device, or why not and what to do.
    """

    name: str
    found: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The accelerator taken, and all that was looked at, best first."""

    accelerator: Accelerator
    findings: tuple[Finding, ...]


# Best first: `auto` takes the first that is found.
REGISTRY: dict[str, str] = {
    "cpu": "appliance.accelerators.cpu",
}


def probe_all(root: Path = Path("/")) -> tuple[Finding, ...]:
    """Probe every accelerator; a broken one is a refusal with its reason, never a crash."""
    return tuple(_probe(name, root) for name in REGISTRY)


def choose(name: str, root: Path = Path("/")) -> Choice:
    """Return the accelerator called ``name``, or the best one found for ``auto``.

    Raises:
        UsageError: no such accelerator.
        AcceleratorUnavailableError: the named one (or any at all) is not there.
    """
    if name != "auto" and name not in REGISTRY:
        raise UsageError(
            f"accelerator {name!r}: unknown", hint=f"known: auto, {', '.join(REGISTRY)}"
        )
    findings = probe_all(root) if name == "auto" else (_probe(name, root),)
    for finding in findings:
        if finding.found:
            return Choice(_load(finding.name), findings)
    reasons = "; ".join(f"{finding.name}: {finding.detail}" for finding in findings)
    raise AcceleratorUnavailableError(f"accelerator {name}: not available: {reasons}")


def _load(name: str) -> Accelerator:
    accelerator: Accelerator = import_module(REGISTRY[name]).create()
    return accelerator


def _probe(name: str, root: Path) -> Finding:
    try:
        return _load(name).probe(root)
    except (ImportError, OSError) as error:
        return Finding(name, found=False, detail=f"its module cannot be loaded: {error}")
