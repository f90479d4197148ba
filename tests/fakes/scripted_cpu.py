"""A CPU that sees what a script says and takes as long as it says, on a clock that stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from appliance.accelerators import Finding
from appliance.accelerators.cpu import CpuAccelerator
from appliance.values import Detections
from tests.fakes.fake_detector import FakeDetector
from tests.helpers import seen

if TYPE_CHECKING:
    from appliance.accelerators import Machine
    from appliance.clock import ManualClock
    from appliance.models import Model

PATHS = {"cpu": "tests.fakes.scripted_cpu"}
INFERENCE_SECONDS = 0.03


def script(number: int) -> Detections:
    """One person walking right, a car every third frame, nothing every tenth."""
    if number % 10 == 9:
        return Detections.empty()
    x = number / 100
    rows = [(x, 0.2, x + 0.1, 0.8, 0.9, 1)]
    if number % 3 == 0:
        rows.append((0.5, 0.5, 0.7, 0.6, 0.65, 3))
    return seen(*rows)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    clock: str = ""


class ScriptedCpu(CpuAccelerator):
    """Its options name the clock that an inference moves."""

    clocks: ClassVar[dict[str, ManualClock]] = {}

    def __init__(self, options: Options) -> None:
        self._clock = self.clocks[options.clock]

    def probe(self, machine: Machine) -> Finding:
        return Finding(self.name, found=True, detail="scripted", runtime="scripted")

    def open(self, model: Model, *, threads: int) -> FakeDetector:  # type: ignore[override]
        detector = FakeDetector(script, seconds=INFERENCE_SECONDS, clock=self._clock)
        detector.accelerator, detector.model_id = self.name, model.id
        return detector


create = ScriptedCpu
