"""The CPU through LiteRT (XNNPACK), or through tflite-runtime where only that is installed."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.accelerators import Finding
from appliance.errors import AcceleratorUnavailableError, DetectorError, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.models import Model
    from appliance.values import Detections, Pixels

_RUNTIMES = (
    ("ai_edge_litert", "ai-edge-litert"),
    ("tflite_runtime", "tflite-runtime"),
)
_INSTALL = "pip install ai-edge-litert"


class CpuAccelerator:
    """See the module's description."""

    name = "cpu"
    formats = frozenset({"tflite"})

    def probe(self, root: Path) -> Finding:  # noqa: ARG002 - a CPU is always there
        """Find the runtime; the device needs no looking for."""
        for module, package in _RUNTIMES:
            if find_spec(module) is not None:
                return Finding(self.name, found=True, detail=f"{package} {_version(package)}")
        return Finding(
            self.name, found=False, detail=f"no TensorFlow Lite runtime is installed: {_INSTALL}"
        )

    def open(self, model: Model, *, threads: int) -> CpuDetector:
        """Load the model with ``threads`` threads.

        Raises:
            AcceleratorUnavailableError: no runtime.
            ModelError: the runtime refuses the model.
        """
        if model.format not in self.formats:
            raise ModelError(f"model {model.id}: {model.format} does not run on the CPU runtime")
        interpreter_class = _import_interpreter()
        try:
            interpreter = interpreter_class(model_content=model.content, num_threads=threads)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"model {model.id}: LiteRT refuses it: {error}") from error
        return CpuDetector(interpreter, model)


class CpuDetector:
    """A LiteRT interpreter behind the ``Detector`` protocol."""

    def __init__(self, interpreter: Any, model: Model) -> None:
        self._interpreter = interpreter
        self._model = model
        self._input = interpreter.get_input_details()[0]["index"]
        by_name = {d["name"]: d["index"] for d in interpreter.get_output_details()}
        missing = [name for name in model.head.tensor_names if name not in by_name]
        if missing:
            raise ModelError(f"model {model.id}: has no output {missing[0]!r}")
        self._outputs = [by_name[name] for name in model.head.tensor_names]
        self._staging = (
            None
            if model.input_kind == "uint8"
            else np.empty((model.input_height, model.input_width, 3), np.uint8)
        )

    @contextmanager
    def input(self) -> Iterator[Pixels]:
        """Yield the input tensor itself (uint8), or a staging picture (float models).

        The view is fetched anew each time: one held across ``invoke`` makes LiteRT raise.
        """
        if self._staging is None:
            yield self._interpreter.tensor(self._input)()[0]
            return
        yield self._staging
        tensor = self._interpreter.tensor(self._input)()[0]
        np.multiply(self._staging, np.float32(self._model.input_scale), out=tensor)
        tensor += np.float32(self._model.input_offset)

    def infer(self) -> None:
        """Invoke; LiteRT releases the interpreter lock of Python meanwhile."""
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise DetectorError(f"model {self._model.id}: inference failed: {error}") from error

    def detections(self, score_threshold: float) -> Detections:
        """Decode the outputs where they lie; nothing of them is kept."""
        tensors = [self._interpreter.tensor(index)() for index in self._outputs]
        return self._model.head.decode(tensors, score_threshold)

    def close(self) -> None:
        """Drop the interpreter; its memory goes with it."""
        self._interpreter = None


def _import_interpreter() -> Any:
    for module, _ in _RUNTIMES:
        try:
            return import_module(f"{module}.interpreter").Interpreter
        except ImportError:
            continue
    raise AcceleratorUnavailableError("accelerator cpu: no runtime is installed", hint=_INSTALL)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(version unknown)"


def create() -> CpuAccelerator:
    """Return the accelerator."""
    return CpuAccelerator()
