"""The whole TensorFlow framework: the baseline of 2019 that TensorFlow Lite beat by 3 to 4 times.

API: tensorflow-cpu 2.21. An optional extra: it is large, and may live in an interpreter of its own
(``accelerator.options.tensorflow.interpreter``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from appliance.accelerators import About, Finding, Target
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.accelerators.process.interpreter import Interpreter, side_interpreter
from appliance.board.machine import module_version

if TYPE_CHECKING:
    from appliance.board.machine import Machine
    from appliance.models import Model

IMPORT_SECONDS = 180.0
"""TensorFlow takes up to a minute to import from an SD card; twice that and more is a fault."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of TensorFlow."""

    interpreter: Interpreter = ""


class TensorFlowAccelerator:
    """The whole TensorFlow framework."""

    name = "tensorflow"
    target = Target("tensorflow", frozenset({"graphdef"}))
    max_detectors = None
    about = About(
        title="TensorFlow itself, on the CPU",
        found_by="the Python package, in ours or in a configured interpreter",
        install="pip install tensorflow-cpu",
        status="tested",
        note="the baseline of 2019",
    )

    def __init__(self, options: Options) -> None:
        self._side = side_interpreter(options.interpreter, self.name)

    def probe(self, machine: Machine) -> Finding:  # noqa: ARG002 - a CPU is always there
        if self._side.configured:
            detail = self._side.problem or f"in {self._side.path}"
            found = not self._side.problem
            return Finding(
                self.name,
                found=found,
                detail=detail,
                runtime=f"side {self._side.path} {self._side.version}",
            )
        version = module_version("tensorflow", "tensorflow-cpu")
        if version is None:
            detail = (
                "tensorflow is not installed: pip install tensorflow-cpu, or name an interpreter "
                "that has it in accelerator.options.tensorflow.interpreter"
            )
            return Finding(self.name, found=False, detail=detail)
        text = f"tensorflow {version}"
        return Finding(self.name, found=True, detail=text, runtime=text)

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in a child process."""
        spec = EngineSpec(
            accelerator=self.name,
            module="appliance.accelerators.process.tensorflow_engine",
            engine="TensorFlowEngine",
            interpreter=self._side.named,
            environment={"CUDA_VISIBLE_DEVICES": "-1"},
            open_seconds=IMPORT_SECONDS,
        )
        return IsolatedDetector(spec, model, threads=threads)


create = TensorFlowAccelerator
