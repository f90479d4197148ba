"""Accelerators that run in this process, on a manual clock, and do what their fields say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.accelerators import About, Finding, Machine, Registry, Target
from appliance.errors import AcceleratorUnavailableError, DetectorError
from tests.fakes.fake_detector import FakeDetector
from tests.helpers import seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.clock import ManualClock
    from appliance.models import Model
    from appliance.values import Detections

CAT = (0.1, 0.1, 0.5, 0.5, 0.9, 17)


class Detector(FakeDetector):
    """One detector of such an accelerator."""

    def __init__(self, owner: InProcess, threads: int) -> None:
        super().__init__(owner.sees, seconds=owner.seconds, clock=owner.clock, size=(32, 32))
        self.threads = threads
        self.degraded = owner.degraded
        self._owner = owner

    def infer(self) -> None:
        super().infer()
        if self.inferences > self._owner.inferences_until_error:
            raise self._owner.error


@dataclass
class InProcess:
    """See the module's description.

    Attributes:
        name: of the accelerator.
        clock: which each inference moves on by ``seconds``.
        sees: from the number of the inference to what it sees.
        degraded: why it does not do what it promises.
        found: whether its probe finds it.
        runtime, devices: as the probe tells them.
        opens: how many detectors may be open at once before ``open`` refuses.
        inferences_until_error: how many inferences of a detector go well before ``error``.
        made: the detectors that were opened.
    """

    name: str
    clock: ManualClock
    sees: Callable[[int], Detections] = lambda _: seen(CAT)
    seconds: float = 0.1
    degraded: str = ""
    found: bool = True
    runtime: str = "1"
    devices: tuple[str, ...] = ()
    opens: int = 1000
    inferences_until_error: int = 10**9
    error: Exception = field(default_factory=lambda: DetectorError("it broke"))
    max_detectors: int | None = None
    target: Target = Target("in process", frozenset({"tflite"}))  # noqa: RUF009 - frozen
    about: About = About("", "", "", "tested")  # noqa: RUF009 - frozen
    made: list[Detector] = field(default_factory=list)

    def probe(self, machine: Machine) -> Finding:
        detail = "here" if self.found else "not plugged in"
        return Finding(self.name, self.found, detail, self.devices, self.runtime)

    def open(self, model: Model, *, threads: int) -> Detector:
        if sum(not one.closed for one in self.made) >= self.opens:
            raise AcceleratorUnavailableError(f"only {self.opens} can be open")
        self.made.append(Detector(self, threads))
        return self.made[-1]

    def all_closed(self) -> bool:
        return all(one.closed for one in self.made)


class Known(Registry):
    """A registry of accelerators that are made already."""

    def __init__(self, *accelerators: InProcess) -> None:
        self._made = {one.name: one for one in accelerators}
        super().__init__(places=dict.fromkeys(self._made, ""))

    def get(self, name: str) -> InProcess:
        return self._made[name] if name in self._made else super().get(name)  # type: ignore[return-value]
