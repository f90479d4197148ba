"""NVIDIA Jetson Orin and Xavier through ONNX Runtime's TensorRT and CUDA providers.

Sources: onnxruntime documentation, jetson_stats (detection). JetPack 6.2 or 7.2 with NVIDIA's
onnxruntime-gpu. Where neither provider starts, the model runs on the CPU: reported as degraded.

Not run on hardware by us: the engine runs in CI on the CPU provider, where it must call itself
degraded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from appliance.accelerators import About, Finding, Target, found
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.accelerators.process.interpreter import ENGINES, Interpreter, side_interpreter
from appliance.board.machine import Machine, package_version

if TYPE_CHECKING:
    from appliance.models import Model

PROVIDERS = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
CACHE = Path("/var/cache/appliance/tensorrt")
"""Engines that were built are kept here, by ONNX Runtime's own key; else each open builds anew."""
BUILD_SECONDS = 600.0
"""TensorRT builds an engine for this very GPU on the first load: minutes on a Nano."""
_SOCS = {
    "nvidia,tegra194": "Jetson Xavier",
    "nvidia,tegra234": "Jetson Orin",
}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of TensorRT."""

    interpreter: Interpreter = ""


class TensorRtAccelerator:
    """NVIDIA Jetson Orin and Xavier through ONNX Runtime's TensorRT and CUDA providers."""

    name = "tensorrt"
    target = Target("tensorrt", frozenset({"onnx"}))
    max_detectors = 1
    about = About(
        title="NVIDIA Jetson Orin, Xavier: TensorRT or CUDA through ONNX Runtime",
        found_by="device tree nvidia,tegra194 (Xavier), tegra234 (Orin)",
        install="NVIDIA's onnxruntime-gpu",
        status="contract",
        note="the engine runs in CI without a GPU, where it must report itself degraded",
    )

    def __init__(self, options: Options) -> None:
        self._side = side_interpreter(options.interpreter, self.name)

    def probe(self, machine: Machine) -> Finding:
        """Look for a Jetson and its runtime."""
        soc = next((one for one in machine.compatible() if one in _SOCS), "")
        if not soc:
            return Finding(self.name, found=False, detail="no NVIDIA Jetson Orin or Xavier")
        devices = (_SOCS[soc],)
        version = package_version("onnxruntime-gpu")
        problem = ""
        if self._side.configured:
            problem = self._side.problem
        elif version is None:
            problem = "NVIDIA's onnxruntime-gpu is not installed (pip, from the Jetson index)"
        if problem:
            detail = f"{devices[0]} is there but {problem}"
            return Finding(self.name, found=False, detail=detail, devices=devices)
        runtime = f"onnxruntime-gpu {self._side.path if self._side.configured else version}"
        return found(
            self.name, f"{devices[0]}, {runtime}", devices, f"{runtime} {self._side.version}"
        )

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in a child process, or a side interpreter."""
        return IsolatedDetector(engine(self.name, self._side.named), model, threads=threads)


def engine(accelerator: str, interpreter: str) -> EngineSpec:
    """Return how ONNX Runtime is run with NVIDIA's providers.

    Args:
        accelerator: its name.
        interpreter: the Python that has it; empty for ours.
    """
    return EngineSpec(
        accelerator=accelerator,
        module=str(ENGINES / "onnx_runtime.py"),
        engine="OnnxRuntimeEngine",
        options={"providers": PROVIDERS},
        environment={
            "ORT_TENSORRT_ENGINE_CACHE_ENABLE": "1",
            "ORT_TENSORRT_CACHE_PATH": str(CACHE),
        },
        interpreter=interpreter,
        promises="TensorrtExecutionProvider",
        open_seconds=BUILD_SECONDS,
    )


create = TensorRtAccelerator
