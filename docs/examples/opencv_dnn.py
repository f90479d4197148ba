"""OpenCV's DNN module: an accelerator in one file, as an example that is run by the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.accelerators import About, Finding, Target
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.accelerators.process.tensors import EngineError, InputTensor
from appliance.board.machine import module_version
from appliance.config.options import NoOptions

if TYPE_CHECKING:
    from appliance.board.machine import Machine
    from appliance.models import Model

Options = NoOptions  # a struct of its own, where there is something to choose


class OpenCvAccelerator:
    """Our side: finds the runtime, opens a child."""

    name = "opencv"
    target = Target("opencv", frozenset({"onnx"}))
    max_detectors = None
    about = About("OpenCV DNN", "the Python package", "opencv-python-headless", "tested")

    def probe(self, machine: Machine) -> Finding:  # noqa: ARG002 - a CPU is always there
        """Find the package."""
        version = module_version("cv2", "opencv-python-headless")
        if version is None:
            return Finding(self.name, found=False, detail="opencv is not installed")
        text = f"opencv {version}"
        return Finding(self.name, found=True, detail=text, runtime=text)

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in a child process."""
        spec = EngineSpec(self.name, __file__, "OpenCvEngine", promises="CPU")
        return IsolatedDetector(spec, model, threads=threads)


def create(_options: NoOptions) -> OpenCvAccelerator:
    """Return it."""
    return OpenCvAccelerator()


class OpenCvEngine:
    """The child's side: the only place that imports the runtime."""

    def open(self, model: dict[str, Any], threads: int, options: dict[str, Any]) -> dict[str, Any]:
        """Load the model, and run it once to learn the shapes of its outputs."""
        import cv2  # noqa: PLC0415 - vendor code, only here

        del options
        cv2.setNumThreads(threads)
        try:
            self._net = cv2.dnn.readNetFromONNX(model["path"])
        except cv2.error as error:
            raise EngineError("model", f"OpenCV refuses it: {error}") from error
        self._names = model["outputs"]
        self._tensor = InputTensor(model)
        values = self._run()
        shapes = [(n, "float32", v.shape) for n, v in zip(self._names, values, strict=True)]
        return {"outputs": shapes, "runtime": f"opencv {cv2.__version__}", "placement": "CPU"}

    def infer(self, picture: Any, outputs: list[Any]) -> None:
        """Fill ``outputs``, which lie in memory that both processes see."""
        self._tensor.fill(picture)
        for place, value in zip(outputs, self._run(), strict=True):
            np.copyto(place, value)

    def close(self) -> None:
        """Leave the rest to the end of the process."""

    def _run(self) -> list[Any]:
        self._net.setInput(self._tensor.array)
        return list(self._net.forward(self._names))
