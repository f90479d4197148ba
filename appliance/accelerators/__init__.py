"""Accelerators: what can run a model. One protocol, one file each.

A kind is found because its module lies here, or is added by an entry point
(``appliance.extensions.kinds``). It has an ``Options`` struct, whose defaults and sentences are the
documentation of ``[accelerator.options.<kind>]`` (``NoOptions`` where there is nothing to choose),
and ``create(options)``, which returns the accelerator.

Three steps, each of which may refuse with a reason: ``probe`` looks for device and runtime without
touching vendor code, ``open`` loads a model (in a child process, except on the CPU), and
``appliance.selection`` proves on a known picture that what comes out is right.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from appliance.board.machine import Machine
from appliance.board.target import Target
from appliance.errors import AcceleratorUnavailableError, ConfigError, UsageError
from appliance.extensions import kinds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from appliance.models import Model
    from appliance.values import Detections, Pixels


class Detector(Protocol):
    """An accelerator opened with a model. Used by one thread at a time.

    Attributes:
        accelerator: name of the accelerator it runs on.
        model_id: of its model.
        input_size: width, height of its input, pixels.
        degraded: why it does not do what its accelerator promises (it runs on the CPU after all);
            empty when all is well.
    """

    @property
    def accelerator(self) -> str:
        """Return the accelerator's name."""

    @property
    def model_id(self) -> str:
        """Return the model's id."""

    @property
    def input_size(self) -> tuple[int, int]:
        """Return width, height."""

    @property
    def degraded(self) -> str:
        """Return the reason, or nothing."""

    def input(self) -> AbstractContextManager[Pixels]:
        """Yield the picture to fill, uint8 RGB (input_height, input_width, 3).

        Leaving the context loads it; the array must not be kept beyond.
        """

    def infer(self) -> None:
        """Run the model on the loaded picture; blocks until done.

        Raises:
            DetectorError: the runtime refused this picture.
            DetectorLostError: the accelerator is gone.
        """

    def detections(self, score_threshold: float) -> Detections:
        """Decode the outputs of the last ``infer``; boxes in 0..1 of the model's input."""

    def close(self) -> None:
        """Free the runtime; safe to call twice."""


@runtime_checkable
class Shared(Protocol):
    """A detector that can say how much of its model the accelerator took."""

    @property
    def share(self) -> str:
        """Return the share in words; empty where all or nothing is taken."""


Status = Literal["tested", "contract", "refused"]
"""``tested``: runs for real in CI. ``contract``: tested against a stand-in of the vendor's API,
never run on hardware by us. ``refused``: recognised at most, and why it does not run."""


@dataclass(frozen=True, slots=True)
class About:
    """What the documentation says of an accelerator.

    Attributes:
        title: of the hardware or runtime.
        found_by: what the probe looks for.
        install: what the owner has to install.
        status: how far we tested it.
        note: what one should know; for ``refused``, why.
        published_fps: SSD MobileNet v2 at 300x300, inference only, of the comparison of 2020.
    """

    title: str
    found_by: str
    install: str
    status: Status
    note: str = ""
    published_fps: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found.

    Attributes:
        name: of the accelerator.
        found: whether it can be used.
        detail: the runtime and device, or why not and what to do.
        devices: the hardware that is there, used or not.
        runtime: name and version of the runtime; part of what a proof is kept under.
    """

    name: str
    found: bool
    detail: str
    devices: tuple[str, ...] = ()
    runtime: str = ""


def found(name: str, detail: str, devices: tuple[str, ...], runtime: str) -> Finding:
    """Return the finding of an accelerator that can be used."""
    return Finding(name, found=True, detail=detail, devices=devices, runtime=runtime)


class Accelerator(Protocol):
    """Something that runs models.

    Attributes:
        name: as in configuration and messages.
        target: which models it takes.
        about: for the documentation.
        max_detectors: how many may be open at once; None where any number may.
    """

    @property
    def name(self) -> str:
        """Return the name."""

    @property
    def target(self) -> Target:
        """Return which models it takes."""

    @property
    def about(self) -> About:
        """Return the documentation."""

    @property
    def max_detectors(self) -> int | None:
        """Return the limit, 0 where it opens none at all."""

    def probe(self, machine: Machine) -> Finding:
        """Say within a second whether it is there."""

    def open(self, model: Model, *, threads: int) -> Detector:
        """Return a detector.

        Raises:
            AcceleratorUnavailableError: device or runtime missing.
            ModelError: the runtime refuses the model.
        """


ROOM = "appliance.accelerators"


class Registry:
    """The accelerators that are known, made when they are asked for.

    Args:
        options: of the owner, a table for each that has one.
        places: of each by name, see ``appliance.extensions.kinds``; None for all there are.

    Raises:
        ConfigError: options of an unknown accelerator, or that it does not have; all faults listed.
    """

    def __init__(
        self,
        options: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        places: Mapping[str, str] | None = None,
    ) -> None:
        # Children on other Pythons import this room, and have numpy only.
        from appliance.config.options import options_given  # noqa: PLC0415

        self._places = kinds(ROOM) if places is None else places
        self._options = options_given(options, self._places, "accelerator.options")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._places)

    def get(self, name: str) -> Accelerator:
        """Return the accelerator called ``name``.

        Raises:
            UsageError: no such accelerator.
            ConfigError: its package cannot be loaded.
        """
        from appliance.config.options import module_of  # noqa: PLC0415 - see __init__

        if name not in self._places:
            raise UsageError(
                f"accelerator {name!r}: unknown", hint=f"known: auto, {', '.join(self._places)}"
            )
        module = module_of(name, self._places, "accelerator")
        accelerator: Accelerator = module.create(self._options.get(name) or module.Options())
        return accelerator

    def probe(self, name: str, machine: Machine) -> Finding:
        """Probe one; a broken one is a refusal with its reason, never a crash."""
        try:
            finding = self.get(name).probe(machine)
        except (ConfigError, ImportError, OSError) as error:
            return Finding(name, found=False, detail=f"its module cannot be loaded: {error}")
        # What is proved with some options says nothing of others.
        given = repr(self._options[name]) if name in self._options else ""
        return replace(finding, runtime=f"{finding.runtime} {given}".strip())

    def probe_all(self, machine: Machine) -> tuple[Finding, ...]:
        """Probe every accelerator."""
        return tuple(self.probe(name, machine) for name in self._places)

    def available(self, name: str, machine: Machine) -> Accelerator:
        """Return the accelerator called ``name`` if its probe finds it.

        Raises:
            UsageError: no such accelerator.
            AcceleratorUnavailableError: it is not there, and why.
        """
        accelerator = self.get(name)
        finding = self.probe(name, machine)
        if not finding.found:
            raise AcceleratorUnavailableError(f"accelerator {name}: {finding.detail}")
        return accelerator


__all__ = [
    "ROOM",
    "About",
    "Accelerator",
    "Detector",
    "Finding",
    "Machine",
    "Registry",
    "Shared",
    "Target",
    "found",
]
