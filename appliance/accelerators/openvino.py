"""OpenVINO: Intel CPUs, GPUs and NPUs, and Arm CPUs, by the same code.

API: openvino 2026.4.1. It reads ONNX files as they are. Without a named device the first of GPU,
NPU and CPU that the runtime offers is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from appliance.accelerators import About, Finding, Target
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.accelerators.process.tensors import EngineError, InputTensor
from appliance.board.machine import Machine, module_version, openable

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.models import Model
    from appliance.values import Pixels

PREFERENCE = ("GPU", "NPU", "CPU")
_INTEL_NPUS = ("8086:7d1d", "8086:ad1d", "8086:643e", "8086:b03e")  # MTL, ARL, LNL, PTL


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of OpenVINO."""

    device: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^((CPU|GPU|NPU)(\.[0-9]+)?)?$",
            examples=["GPU", "GPU.1", "NPU", "CPU"],
            description="GPU, NPU or CPU, GPU.1 for the second; empty for the first there is, in "
            "this order.",
        ),
    ] = ""


class OpenVinoAccelerator:
    """OpenVINO: Intel CPUs, GPUs and NPUs, and Arm CPUs, by the same code."""

    name = "openvino"
    target = Target("openvino", frozenset({"onnx"}))
    max_detectors = None
    about = About(
        title="OpenVINO: Intel CPU, GPU, NPU; Arm CPU",
        found_by="the Python package; PCI ids 8086:7d1d, ad1d, 643e, b03e (NPU), /dev/dri (GPU)",
        install="pip install openvino; for an NPU intel-level-zero-npu, for a GPU intel-opencl-icd",
        status="tested",
        note="on the CPU; GPU and NPU by the same code, not run by us",
    )

    def __init__(self, options: Options) -> None:
        self._device = options.device

    def probe(self, machine: Machine) -> Finding:
        """Find the package, and Intel's accelerators."""
        devices = tuple(_intel(machine))
        version = module_version("openvino")
        if version is None:
            there = f"{', '.join(devices)} is there, but " if devices else ""
            detail = f"{there}openvino is not installed: pip install openvino"
            return Finding(self.name, found=False, detail=detail, devices=devices)
        detail = ", ".join([f"openvino {version}", *devices])
        runtime = f"openvino {version}"
        return Finding(self.name, found=True, detail=detail, devices=devices, runtime=runtime)

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in a child process."""
        spec = EngineSpec(
            accelerator=self.name,
            module=__name__,
            engine="OpenVinoEngine",
            options={"device": self._device},
            promises=self._device,
        )
        return IsolatedDetector(spec, model, threads=threads)


def _intel(machine: Machine) -> list[str]:
    npus = [
        f"Intel NPU{_access(machine, node)}"
        for node in machine.nodes("accel/accel*")
        if machine.driver("accel", node.name) == "intel_vpu"
    ]
    gpus = [
        f"Intel GPU{_access(machine, node)}"
        for node in machine.nodes("dri/renderD*")
        if machine.driver("drm", node.name) in {"i915", "xe"}
    ]
    unbound = [] if npus else machine.pci(*_INTEL_NPUS)
    return (
        npus
        + gpus
        + [f"Intel NPU ({one.ids}: its driver intel_vpu is not loaded)" for one in unbound]
    )


def _access(machine: Machine, node: Path) -> str:
    shown = machine.shown(node)
    return f" ({shown})" if openable(node) else f" ({shown}: no permission, join group render)"


class OpenVinoEngine:
    """Runs in the child."""

    def open(self, model: dict[str, Any], threads: int, options: dict[str, Any]) -> dict[str, Any]:
        """Compile for the device."""
        import openvino  # noqa: PLC0415 - vendor code, only here

        core = openvino.Core()
        device = _pick(options["device"], core.available_devices)
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if device == "CPU":
            settings["INFERENCE_NUM_THREADS"] = threads
            settings["ENABLE_CPU_PINNING"] = False  # several children would share one core
        try:
            compiled = core.compile_model(core.read_model(model["path"]), device, settings)
        except RuntimeError as error:
            raise EngineError("model", f"OpenVINO on {device}: {_short(error)}") from error
        ports = {name: port for port in compiled.outputs for name in port.get_names()}
        missing = [name for name in model["outputs"] if name not in ports]
        if missing:
            raise EngineError("model", f"has no output {missing[0]!r}")
        self._request = compiled.create_infer_request()
        self._tensor = InputTensor(model)
        self._request.set_input_tensor(0, openvino.Tensor(self._tensor.array, shared_memory=True))
        self._places = [self._request.get_tensor(ports[name]) for name in model["outputs"]]
        shapes = [(name, ports[name]) for name in model["outputs"]]
        return {
            "outputs": [(name, "float32", list(port.shape)) for name, port in shapes],
            "runtime": f"openvino {module_version('openvino')}",
            "placement": ",".join(compiled.get_property("EXECUTION_DEVICES")),
        }

    def infer(self, picture: Pixels, outputs: list[NDArray[Any]]) -> None:
        self._tensor.fill(picture)
        self._request.infer()
        for place, tensor in zip(outputs, self._places, strict=True):
            np.copyto(place, tensor.data)

    def close(self) -> None:
        """Leave the rest to the end of the process."""
        del self._places, self._request


def _pick(wanted: str, offered: list[str]) -> str:
    """Return the device to use; offered ones look like ``CPU``, ``GPU.0``."""
    if wanted:
        if not any(one.partition(".")[0] == wanted.partition(".")[0] for one in offered):
            raise EngineError(
                "unavailable", f"OpenVINO has no device {wanted}, only {', '.join(offered)}"
            )
        return wanted
    kinds = [one.partition(".")[0] for one in offered]
    return next((kind for kind in PREFERENCE if kind in kinds), "CPU")


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


create = OpenVinoAccelerator
