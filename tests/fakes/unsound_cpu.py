"""The CPU with a detector that misbehaves when told: by files in a folder.

``hang`` and ``fail`` are looked for at each picture, ``away`` when it is opened.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from appliance.accelerators.cpu import CpuAccelerator
from appliance.errors import AcceleratorUnavailableError, DetectorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.accelerators import Detector
    from appliance.models import Model
    from appliance.values import Detections, Pixels

PATHS = {"cpu": "tests.fakes.unsound_cpu"}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    control: str = "/nowhere"


class UnsoundCpu(CpuAccelerator):
    def __init__(self, options: Options) -> None:
        self._control = Path(options.control)

    def open(self, model: Model, *, threads: int) -> Detector:  # type: ignore[override]
        if (self._control / "away").exists():
            raise AcceleratorUnavailableError("accelerator cpu: away, as the test wants")
        return _Unsound(super().open(model, threads=threads), self._control)


create = UnsoundCpu


class _Unsound:
    def __init__(self, detector: Detector, control: Path) -> None:
        self._detector = detector
        self._control = control
        self._count = 0
        self.accelerator = detector.accelerator
        self.model_id = detector.model_id
        self.input_size = detector.input_size
        self.degraded = detector.degraded

    @contextmanager
    def input(self) -> Iterator[Pixels]:
        with self._detector.input() as picture:
            yield picture

    def infer(self) -> None:
        pause = threading.Event()
        while (self._control / "hang").exists():
            pause.wait(0.05)
        self._count += 1
        if (self._control / "fail").exists() and self._count % 10:
            raise DetectorError("nine of ten fail, as the test wants")
        self._detector.infer()

    def detections(self, score_threshold: float) -> Detections:
        return self._detector.detections(score_threshold)

    def close(self) -> None:
        self._detector.close()
