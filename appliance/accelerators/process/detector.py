"""A detector whose runtime lives in a child process: what most accelerators open.

The picture and the output tensors lie in memory that both processes see; an inference costs one
small message each way. A child that dies or hangs is a ``DetectorLostError`` that says why.
"""

from __future__ import annotations

import mmap
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.accelerators.process.host import Child, ChildLostError
from appliance.errors import (
    AcceleratorUnavailableError,
    DetectorError,
    DetectorLostError,
    ModelError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from appliance.models import Model
    from appliance.values import Detections, Pixels

OPEN_SECONDS = 60.0
"""Longest that loading may take: first loads compile kernels (OpenVINO on a GPU, TensorRT more)."""
INFER_SECONDS = 4.0
"""Longest that an inference may take: the slowest published board needs 2 s (Tiny YOLO on a Pi 3),
and the CPU must have taken over within 5 s."""
SIGNALS = {
    132: "an instruction that this processor does not have: a build for another board",
    134: "the vendor's library gave up",
    139: "a crash inside the vendor's library: often built for another version of the runtime",
}


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Which engine runs in the child, and how.

    Attributes:
        accelerator: name of the accelerator.
        module: importable module with the engine, or a path ending in ``.py`` for an engine that
            runs in a side interpreter.
        engine: name of the engine's class.
        options: handed to the engine.
        interpreter: the Python that runs it, with its own modules; empty for ours, with ours.
        environment: variables added to ours.
        promises: what ``placement`` must contain for the accelerator to be what it claims to be.
        open_seconds, infer_seconds: bounds.
        exit_codes: what an exit code means here, besides ``SIGNALS``.
        lost_hint: what to do when it is lost.
        shares: it may take a part of the model only; ``placement`` then says how much it took.
        telling: picks out of the child's last words what is worth adding to its refusal.
    """

    accelerator: str
    module: str
    engine: str
    options: Mapping[str, Any] = field(default_factory=dict)
    interpreter: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    promises: str = ""
    open_seconds: float = OPEN_SECONDS
    infer_seconds: float = INFER_SECONDS
    exit_codes: Mapping[int, str] = field(default_factory=dict)
    lost_hint: str = ""
    shares: bool = False
    telling: Callable[[str], str] | None = None


class IsolatedDetector:
    """A detector whose runtime lives in a child process: what most accelerators open.

    Args:
        spec: the engine.
        model: what it loads.
        threads: of the runtime.

    Raises:
        AcceleratorUnavailableError: interpreter, runtime or device missing, or it died opening.
        ModelError: the runtime refuses the model, or its outputs do not fit the model's head.
    """

    def __init__(self, spec: EngineSpec, model: Model, *, threads: int) -> None:
        self._spec = spec
        self._model = model
        try:
            self._child = Child(spec.interpreter, spec.environment)
        except OSError as error:
            raise AcceleratorUnavailableError(
                f"accelerator {spec.accelerator}: Python {spec.interpreter or 'of ours'}: "
                f"{error.strerror}",
                hint=f"see accelerator.options.{spec.accelerator}.interpreter in the configuration",
            ) from error
        try:
            answer = self._open(threads)
        except BaseException:
            self._child.close()
            raise
        self._memory: mmap.mmap | None = mmap.mmap(self._child.memory_fd, answer["size"])
        self.runtime: str = answer["runtime"]
        self.placement: str = answer["placement"]
        shape = (model.input_height, model.input_width, 3)
        self._picture: Pixels | None = np.ndarray(shape, np.uint8, self._memory)
        by_name = {one["name"]: self._array(one) for one in answer["outputs"]}
        self._outputs = [by_name[name] for name in model.head.tensor_names]

    @property
    def accelerator(self) -> str:
        return self._spec.accelerator

    @property
    def model_id(self) -> str:
        return self._model.id

    @property
    def input_size(self) -> tuple[int, int]:
        """Return width, height."""
        return self._model.input_width, self._model.input_height

    @property
    def degraded(self) -> str:
        """Return why this is not what the accelerator promises; empty if it is."""
        if self._spec.promises in self.placement:
            return ""
        return f"{self._spec.accelerator} does not run the model: it runs on {self.placement}"

    @property
    def share(self) -> str:
        """Return how much of the model was taken, where a part may be; else nothing."""
        return self.placement if self._spec.shares else ""

    @property
    def pid(self) -> int:
        """Return the child's process id."""
        return self._child.pid

    @contextmanager
    def input(self) -> Iterator[Pixels]:
        """Yield the shared picture."""
        if self._picture is None:
            raise DetectorLostError(f"accelerator {self.accelerator}: is closed")
        yield self._picture

    def infer(self) -> None:
        """Let the child run the model."""
        try:
            answer = self._child.ask({"op": "infer"}, self._spec.infer_seconds)
        except ChildLostError as error:
            raise DetectorLostError(self._explained(error), hint=self._spec.lost_hint) from error
        if not answer["ok"]:
            kind = DetectorLostError if answer["kind"] == "lost" else DetectorError
            raise kind(f"accelerator {self.accelerator}: {answer['error']}")

    def detections(self, score_threshold: float) -> Detections:
        """Decode the outputs where the child left them."""
        return self._model.head.decode(self._outputs, score_threshold)

    def close(self) -> None:
        """End the child and give the memory back."""
        self._picture = None
        self._outputs = []
        if self._memory is not None:
            self._memory = None  # unmapped with the last array that looks into it
            self._child.close()

    def _open(self, threads: int) -> dict[str, Any]:
        model, spec = self._model, self._spec
        request = {
            "op": "open",
            "engine": _reference(spec),
            "threads": threads,
            "options": dict(spec.options),
            "model": {
                "id": model.id,
                "path": str(model.path),
                "weights": str(model.weights or ""),
                "width": model.input_width,
                "height": model.input_height,
                "kind": model.input_kind,
                "layout": model.input_layout,
                "scale": model.input_scale,
                "offset": model.input_offset,
                "order": model.input_order,
                "outputs": list(model.head.tensor_names),
            },
        }
        try:
            answer = self._child.ask(request, spec.open_seconds)
        except ChildLostError as error:
            raise AcceleratorUnavailableError(
                self._explained(error), hint=spec.lost_hint
            ) from error
        if not answer["ok"]:
            kind = ModelError if answer["kind"] == "model" else AcceleratorUnavailableError
            parts = [f"accelerator {spec.accelerator}, model {model.id}", answer["error"]]
            if spec.telling is not None:
                self._child.close()  # what it wrote is complete when it has ended
                parts.append(spec.telling(self._child.last_words))
            raise kind(": ".join(part for part in parts if part))
        self._check(answer["outputs"])
        return answer

    def _check(self, outputs: list[dict[str, Any]]) -> None:
        shapes = {one["name"]: tuple(one["shape"]) for one in outputs}
        wrong = self._model.head.misfit(shapes)
        if wrong:
            raise ModelError(f"accelerator {self.accelerator}, model {self.model_id}: {wrong}")

    def _array(self, place: dict[str, Any]) -> NDArray[Any]:
        assert self._memory is not None  # noqa: S101 - made just before
        return np.ndarray(place["shape"], place["dtype"], self._memory, place["offset"])

    def _explained(self, error: ChildLostError) -> str:
        code = error.exit_code or 0
        meaning = {**SIGNALS, **self._spec.exit_codes}.get(code, "")
        words = error.last_words.rpartition("\n")[2]
        parts = [f"accelerator {self.accelerator}: its process {error.reason}", meaning, words]
        return ": ".join(part for part in parts if part)


def _reference(spec: EngineSpec) -> dict[str, str]:
    kind = "file" if spec.module.endswith(".py") else "module"
    root = str(Path(__file__).resolve().parents[3])
    return {kind: spec.module, "name": spec.engine, "path": root}
