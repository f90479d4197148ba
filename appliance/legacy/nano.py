"""NVIDIA Jetson Nano: frozen at JetPack 4.6, whose TensorRT is for Python 3.6 only.

NVIDIA's onnxruntime-gpu 1.11 runs in that Python as a side interpreter
(``accelerator.options.nano.interpreter = "/usr/bin/python3.6"``) beside an appliance on a newer
one, with the same engine as ``tensorrt``. Not run on hardware by us: the engine runs in CI on the
CPU provider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from appliance.accelerators import About, Finding, Target, found
from appliance.accelerators.process.detector import IsolatedDetector
from appliance.accelerators.process.interpreter import Interpreter, side_interpreter
from appliance.accelerators.tensorrt import engine

if TYPE_CHECKING:
    from appliance.board.machine import Machine
    from appliance.models import Model

_SOC = "nvidia,tegra210"


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a Jetson Nano."""

    interpreter: Interpreter = ""


class NanoAccelerator:
    """NVIDIA Jetson Nano: frozen at JetPack 4.6, whose TensorRT is for Python 3.6 only."""

    name = "nano"
    target = Target("nano", frozenset({"onnx"}))
    max_detectors = 1
    about = About(
        title="NVIDIA Jetson Nano: TensorRT or CUDA through ONNX Runtime",
        found_by="device tree nvidia,tegra210",
        install="onnxruntime-gpu 1.11 in Python 3.6, named in accelerator.options.nano.interpreter",
        status="contract",
        note="side interpreter; the same engine as tensorrt",
        published_fps={"Jetson Nano": 39},
    )

    def __init__(self, options: Options) -> None:
        self._side = side_interpreter(options.interpreter, self.name)

    def probe(self, machine: Machine) -> Finding:
        """Look for the board, and the interpreter that drives it."""
        if _SOC not in machine.compatible():
            return Finding(self.name, found=False, detail="no NVIDIA Jetson Nano")
        devices = ("Jetson Nano",)
        problem = self._side.problem
        if not self._side.configured:
            problem = (
                "JetPack 4.6 has TensorRT for Python 3.6 only: install onnxruntime-gpu 1.11 there "
                "and name it in accelerator.options.nano.interpreter"
            )
        if problem:
            detail = f"{devices[0]} is there but {problem}"
            return Finding(self.name, found=False, detail=detail, devices=devices)
        runtime = f"onnxruntime-gpu {self._side.path}"
        return found(
            self.name, f"{devices[0]}, {runtime}", devices, f"{runtime} {self._side.version}"
        )

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in the side interpreter."""
        return IsolatedDetector(engine(self.name, self._side.named), model, threads=threads)


create = NanoAccelerator
