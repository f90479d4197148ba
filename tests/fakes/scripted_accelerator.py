"""An accelerator for tests whose device is a folder: see ``scripted_engine``."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import msgspec

from appliance.accelerators import About, Finding, Target
from appliance.accelerators.cpu import CpuAccelerator
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.config.options import NoOptions

if TYPE_CHECKING:
    from appliance.accelerators import Machine
    from appliance.models import Model

ENGINE = Path(__file__).with_name("scripted_engine.py")
PATHS = {
    "cpu": "appliance.accelerators.cpu",
    "scripted": "tests.fakes.scripted_accelerator",
}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    device: str = ""


class ScriptedAccelerator:
    name = "scripted"
    target = Target("scripted", frozenset({"tflite"}))
    max_detectors = 2
    about = About("Scripted", "a folder", "nothing", "tested")

    def __init__(self, options: Options) -> None:
        self._control = Path(options.device)

    def probe(self, machine: Machine) -> Finding:
        if (self._control / "unplugged").exists():
            return Finding(self.name, found=False, detail="not plugged in")
        version = self._control / "version"
        runtime = f"scripted {version.read_text() if version.exists() else '1'}"
        return Finding(self.name, True, "here", ("scripted device",), runtime)

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        spec = EngineSpec(
            accelerator=self.name,
            module=str(ENGINE),
            engine="ScriptedEngine",
            options={"control": str(self._control)},
            promises="NPU",
            open_seconds=20,
            infer_seconds=1,
            lost_hint="plug it in",
        )
        return IsolatedDetector(spec, model, threads=threads)


class NoCpu(CpuAccelerator):
    """A machine without a runtime for the CPU."""

    def probe(self, machine: Machine) -> Finding:
        return Finding(self.name, found=False, detail="no runtime")


create = ScriptedAccelerator
no_cpu = SimpleNamespace(Options=NoOptions, create=lambda _: NoCpu())
