"""ONNX Runtime on the CPU. The same engine drives CUDA and TensorRT (see ``tensorrt``).

API: onnxruntime 1.31.1. A provider that cannot start is left out without an error, so what the
session really uses is reported as its placement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.accelerators import About, Finding, Target
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.accelerators.process.interpreter import ENGINES
from appliance.board.machine import module_version
from appliance.config.options import NoOptions

if TYPE_CHECKING:
    from appliance.board.machine import Machine
    from appliance.models import Model


class OnnxAccelerator:
    """ONNX Runtime on the CPU."""

    name = "onnx"
    target = Target("onnx", frozenset({"onnx"}))
    max_detectors = None
    about = About(
        title="ONNX Runtime on the CPU",
        found_by="the Python package",
        install="pip install onnxruntime",
        status="tested",
    )

    def probe(self, machine: Machine) -> Finding:  # noqa: ARG002 - a CPU is always there
        """Find the package; the device needs no looking for."""
        version = module_version("onnxruntime")
        if version is None:
            detail = "onnxruntime is not installed: pip install onnxruntime"
            return Finding(self.name, found=False, detail=detail)
        text = f"onnxruntime {version}"
        return Finding(self.name, found=True, detail=text, runtime=text)

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in a child process."""
        spec = EngineSpec(
            accelerator=self.name,
            module=str(ENGINES / "onnx_runtime.py"),
            engine="OnnxRuntimeEngine",
            options={"providers": ["CPUExecutionProvider"]},
            promises="CPU",
        )
        return IsolatedDetector(spec, model, threads=threads)


Options = NoOptions


def create(_options: NoOptions) -> OnnxAccelerator:
    return OnnxAccelerator()
