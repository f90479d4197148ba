"""ncnn on the CPU, or through Vulkan where a driver is installed.

API: Tencent/ncnn, python bindings 1.0.20261020. ``load_param`` and ``load_model`` return -1 and
print instead of raising; a picture of the wrong shape crashes the process, so the shape that the
graph declares is checked before (``appliance.models.ncnn``) and the runtime lives in a child.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from appliance.accelerators import About, Finding, Target
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.accelerators.process.tensors import EngineError, InputTensor
from appliance.board.machine import module_version

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.board.machine import Machine
    from appliance.models import Model
    from appliance.values import Pixels


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ncnn."""

    vulkan: Annotated[
        bool, msgspec.Meta(description="Take the GPU, through Vulkan, instead of the CPU.")
    ] = False


class NcnnAccelerator:
    """ncnn on the CPU, or through Vulkan where a driver is installed."""

    name = "ncnn"
    target = Target("ncnn", frozenset({"ncnn"}))
    max_detectors = None
    about = About(
        title="ncnn on the CPU; Vulkan where a driver is installed",
        found_by="the Python package",
        install="pip install ncnn",
        status="tested",
        note="on the CPU; Vulkan by the same code, not run by us",
        published_fps={"Pi 3": 3.7, "Pi 4": 5.8},
    )

    def __init__(self, options: Options) -> None:
        self._vulkan = options.vulkan

    def probe(self, machine: Machine) -> Finding:  # noqa: ARG002 - a CPU is always there
        """Find the package; the device needs no looking for."""
        version = module_version("ncnn")
        if version is None:
            return Finding(self.name, found=False, detail="ncnn is not installed: pip install ncnn")
        return Finding(self.name, found=True, detail=f"ncnn {version}", runtime=f"ncnn {version}")

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in a child process."""
        spec = EngineSpec(
            accelerator=self.name,
            module=__name__,
            engine="NcnnEngine",
            options={"vulkan": self._vulkan},
            promises="Vulkan" if self._vulkan else "CPU",
        )
        return IsolatedDetector(spec, model, threads=threads)


class NcnnEngine:
    """Runs in the child."""

    def open(self, model: dict[str, Any], threads: int, options: dict[str, Any]) -> dict[str, Any]:
        """Load, and run once to learn the shapes of the outputs."""
        import ncnn  # noqa: PLC0415 - vendor code, only here

        self._ncnn = ncnn
        gpus = ncnn.get_gpu_count() if options["vulkan"] else 0
        self._net = ncnn.Net()
        self._net.opt.use_vulkan_compute = gpus > 0  # options count only before load_param
        self._net.opt.num_threads = threads
        for load, path in (
            (self._net.load_param, model["path"]),
            (self._net.load_model, model["weights"]),
        ):
            if load(path) != 0:
                raise EngineError("model", f"ncnn cannot load {path}")
        self._input_name = self._net.input_names()[0]
        self._names = model["outputs"]
        self._tensor = InputTensor(model)
        outputs = self._run()
        return {
            "outputs": [(n, "float32", o.shape) for n, o in zip(self._names, outputs, strict=True)],
            "runtime": f"ncnn {module_version('ncnn')}",
            "placement": "Vulkan" if gpus else "CPU",
        }

    def infer(self, picture: Pixels, outputs: list[NDArray[Any]]) -> None:
        self._tensor.fill(picture)
        for place, value in zip(outputs, self._run(), strict=True):
            np.copyto(place, value)

    def close(self) -> None:
        """Free the network."""
        self._net.clear()

    def _run(self) -> list[NDArray[Any]]:
        extractor = self._net.create_extractor()
        # ncnn knows no batch; its Mat keeps no reference to the array, hence the clone.
        extractor.input(self._input_name, self._ncnn.Mat(self._tensor.array[0]).clone())
        values = []
        for name in self._names:
            code, value = extractor.extract(name)
            if code != 0:
                raise EngineError("model", f"ncnn gives no output {name!r}")
            values.append(np.asarray(value))
        return values


create = NcnnAccelerator
