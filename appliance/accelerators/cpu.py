"""The CPU through LiteRT (XNNPACK), or through tflite-runtime where only that is installed."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.accelerators import About, Finding, Target
from appliance.board.machine import module_version
from appliance.config.options import NoOptions
from appliance.errors import (
    AcceleratorUnavailableError,
    DetectorError,
    DetectorLostError,
    ModelError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.board.machine import Machine
    from appliance.models import Model
    from appliance.values import Detections, Pixels

log = logging.getLogger(__name__)

_RUNTIMES = (
    ("ai_edge_litert", "ai-edge-litert"),
    ("tflite_runtime", "tflite-runtime"),
)
EDGETPU_OPERATOR = "edgetpu-custom-op"
POSTPROCESS_OPERATOR = "TFLite_Detection_PostProcess"
_SIGN = np.uint8(0x80)
_INSTALL = "pip install ai-edge-litert"


class CpuAccelerator:
    """The CPU through LiteRT (XNNPACK), or through tflite-runtime where only that is installed."""

    name = "cpu"
    target = Target("cpu", frozenset({"tflite"}))
    max_detectors = None
    about = About(
        title="CPU through LiteRT (XNNPACK)",
        found_by="the Python package; tflite-runtime where only that is installed",
        install="nothing, it comes with the appliance",
        status="tested",
        note="what everything falls back to",
        published_fps={"Pi 3": 2.6, "Pi 4": 4.7},
    )

    def probe(self, machine: Machine) -> Finding:  # noqa: ARG002 - a CPU is always there
        """Find the runtime; the device needs no looking for."""
        for module, package in _RUNTIMES:
            version = module_version(module, package)
            if version is not None:
                text = f"{package} {version}"
                return Finding(self.name, found=True, detail=text, runtime=text)
        return Finding(
            self.name, found=False, detail=f"no TensorFlow Lite runtime is installed: {_INSTALL}"
        )

    def open(self, model: Model, *, threads: int) -> CpuDetector:
        """Load the model with ``threads`` threads.

        Raises:
            AcceleratorUnavailableError: no runtime.
            ModelError: the runtime refuses the model.
        """
        if model.format not in self.target.formats:
            raise ModelError(f"model {model.id}: {model.format} does not run on the CPU runtime")
        if EDGETPU_OPERATOR in model.custom_operators:
            raise ModelError(
                f"model {model.id}: is compiled for the Edge TPU",
                hint="take its CPU twin (the name without _edgetpu), or accelerator edgetpu",
            )
        interpreter_class = _import_interpreter()
        try:
            interpreter = interpreter_class(model_content=model.content, num_threads=threads)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            log.info("model %s: what TensorFlow Lite says: %s", model.id, error)
            raise _refusal(model) from error
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
        plain = model.input_kind == "uint8" and model.input_order == "rgb"
        size = (model.input_height, model.input_width, 3)
        self._staging = None if plain else np.empty(size, np.uint8)
        self._step = -1 if model.input_order == "bgr" else 1
        self._scale = np.asarray(model.input_scale, np.float32)
        self._offset = np.asarray(model.input_offset, np.float32)

    @property
    def accelerator(self) -> str:
        return CpuAccelerator.name

    @property
    def model_id(self) -> str:
        return self._model.id

    @property
    def input_size(self) -> tuple[int, int]:
        """Return width, height."""
        return self._model.input_width, self._model.input_height

    @property
    def degraded(self) -> str:
        return ""

    @contextmanager
    def input(self) -> Iterator[Pixels]:
        """Yield the input tensor itself, or a staging picture where that holds no RGB pixels.

        The view is fetched anew each time: one held across ``invoke`` makes LiteRT raise.
        """
        if self._interpreter is None:
            raise DetectorLostError("accelerator cpu: is closed")
        if self._staging is None:
            yield self._interpreter.tensor(self._input)()[0]
            return
        yield self._staging
        tensor = self._interpreter.tensor(self._input)()[0]
        if self._model.input_layout == "nchw":
            tensor = tensor.transpose(1, 2, 0)
        picture = self._staging[:, :, :: self._step]
        if tensor.dtype == np.float32:
            np.multiply(picture, self._scale, out=tensor)
            tensor += self._offset
        else:
            pixels = tensor.view(np.uint8)
            pixels[:] = picture if tensor.dtype == np.uint8 else picture ^ _SIGN  # less 128

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


def _refusal(model: Model) -> ModelError:
    """Return why the runtime does not load the model, in words; its own are in the log."""
    foreign = [name for name in model.custom_operators if name != POSTPROCESS_OPERATOR]
    if foreign:
        return ModelError(
            f"model {model.id}: needs the operator {foreign[0]}, which TensorFlow Lite has not",
            hint="export it with TensorFlow Lite's own operators alone",
        )
    return ModelError(
        f"model {model.id}: TensorFlow Lite cannot load it: an operator in it does not fit what "
        "goes into it, or is newer than the runtime",
        hint="export it again, for one picture of a fixed size",
    )


def _import_interpreter() -> Any:
    for module, _ in _RUNTIMES:
        try:
            return import_module(f"{module}.interpreter").Interpreter
        except ImportError:
            continue
    raise AcceleratorUnavailableError("accelerator cpu: no runtime is installed", hint=_INSTALL)


Options = NoOptions


def create(_options: NoOptions) -> CpuAccelerator:
    return CpuAccelerator()
