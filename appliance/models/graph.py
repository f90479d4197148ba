"""What a model file says of itself: its inputs, outputs and custom operators."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.postprocess import Quantisation


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of the graph: name, shape, element type, quantisation.

    A shape is empty where the file does not tell it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantisation: Quantisation = Quantisation()  # noqa: RUF009 - frozen


@dataclass(frozen=True, slots=True)
class GraphInfo:
    """The graph's interface and the names of its custom operators."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    custom_operators: tuple[str, ...] = ()
