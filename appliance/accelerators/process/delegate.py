"""LiteRT with a vendor's external delegate, in the child: what Edge TPU, Teflon and vx share.

XNNPACK is left off, so every delegated operator is the vendor's and can be counted. A delegate
takes what it can and leaves the rest to the CPU without saying so: the placement says how much it
took, and a model whose convolutions all stayed behind runs on the CPU, whatever else was taken.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.accelerators.process.tensors import EngineError, InputTensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.values import Pixels

PLACED = "on the delegate"
_CONVOLUTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"})
_RUNTIMES = ("ai_edge_litert", "tflite_runtime")


class DelegateEngine:
    """Runs in the child. Options: ``library`` (path), ``delegate`` (its own options)."""

    def open(self, model: dict[str, Any], threads: int, options: dict[str, Any]) -> dict[str, Any]:
        runtime, version = _import_runtime()
        try:
            delegate = runtime.load_delegate(options["library"], options["delegate"])
        except OSError as error:
            raise EngineError("unavailable", str(error)) from error
        except ValueError as error:  # its own reason is empty, whatever the cause
            raise EngineError("unavailable", "no device answers the delegate") from error
        resolver = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            self._interpreter = runtime.Interpreter(
                model_path=model["path"],
                num_threads=threads,
                experimental_delegates=[delegate],
                experimental_op_resolver_type=resolver,
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise EngineError("model", str(error)) from error
        self._tensor = InputTensor(model)
        self._input = self._interpreter.get_input_details()[0]["index"]
        by_name = {d["name"]: d for d in self._interpreter.get_output_details()}
        missing = [name for name in model["outputs"] if name not in by_name]
        if missing:
            raise EngineError("model", f"has no output {missing[0]!r}")
        details = [by_name[name] for name in model["outputs"]]
        self._outputs = [detail["index"] for detail in details]
        self._interpreter.set_tensor(self._input, self._tensor.array)
        try:
            self._interpreter.invoke()  # outputs of the post-processing get their shapes here
        except RuntimeError as error:
            # A delegate that prepared and does not run was built for another TfLiteRegistration.
            reason = f"the delegate was built for another version of the runtime: {error}"
            raise EngineError("unavailable", reason) from error
        return {
            "outputs": [
                (detail["name"], np.dtype(detail["dtype"]).name, self._value(detail).shape)
                for detail in details
            ],
            "runtime": version,
            "placement": _placement(self._interpreter),
        }

    def infer(self, picture: Pixels, outputs: list[NDArray[Any]]) -> None:
        self._interpreter.set_tensor(self._input, self._tensor.fill(picture))
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise EngineError("lost", str(error)) from error
        for place, index in zip(outputs, self._outputs, strict=True):
            np.copyto(place, self._interpreter.get_tensor(index))

    def close(self) -> None:
        """Drop the interpreter, and with it the device."""
        del self._interpreter

    def _value(self, detail: dict[str, Any]) -> NDArray[Any]:
        value: NDArray[Any] = self._interpreter.get_tensor(detail["index"])
        return value


def _import_runtime() -> tuple[Any, str]:
    for module in _RUNTIMES:
        try:
            found = import_module(f"{module}.interpreter")
        except ImportError:
            continue
        return found, f"{module} {getattr(import_module(module), '__version__', '')}".strip()
    raise EngineError("unavailable", "no TensorFlow Lite runtime is installed")


def _placement(interpreter: Any) -> str:
    return placement(interpreter._get_ops_details())  # noqa: SLF001 - no other way


def placement(nodes: list[dict[str, Any]]) -> str:
    """Return how much of a graph its delegates took, in words.

    Args:
        nodes: as TensorFlow Lite lists them: the replaced operators stay in the list, before the
            DELEGATE nodes that replace them.
    """
    delegates = [one for one in nodes if _is_delegate(one)]
    operators = [one for one in nodes if not _is_delegate(one)]
    taken = _taken(operators, delegates)
    share = f"{len(taken)} of {len(operators)} operators"
    convolutions = [n for n, one in enumerate(operators) if one["op_name"] in _CONVOLUTIONS]
    took = len(taken.intersection(convolutions))
    if not taken:
        return "the CPU"
    if convolutions and not took:
        return f"the CPU: no convolution of {len(convolutions)} was taken, {share} were"
    of_them = f", {took} of {len(convolutions)} convolutions" if convolutions else ""
    return f"{share} {PLACED}{of_them}"


def _is_delegate(node: dict[str, Any]) -> bool:
    return bool(node["op_name"] == "DELEGATE" or node["op_name"].startswith("Delegate"))


def _taken(operators: list[dict[str, Any]], delegates: list[dict[str, Any]]) -> set[int]:
    """Return which operators lie between the inputs and the outputs of a delegate."""
    makers = {int(t): n for n, one in enumerate(operators) for t in one["outputs"]}
    taken: set[int] = set()
    for one in delegates:
        outside = {int(tensor) for tensor in one["inputs"]}
        wanted = [int(tensor) for tensor in one["outputs"]]
        while wanted:
            tensor = wanted.pop()
            number = makers.get(tensor)
            if tensor in outside or number is None or number in taken:
                continue
            taken.add(number)
            wanted += [int(tensor) for tensor in operators[number]["inputs"]]
    return taken
