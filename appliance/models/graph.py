"""What a model file says of itself: its inputs, outputs and custom operators."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.postprocess import Quantisation


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of the graph: name, shape, element type, quantisation.

    A shape is empty where the file does not tell it. ``activated``: it is the output of a sigmoid
    or softmax, however it was rearranged or stored since.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantisation: Quantisation = Quantisation()  # noqa: RUF009 - frozen
    activated: bool = False


@dataclass(frozen=True, slots=True)
class PostProcess:
    """What ``TFLite_Detection_PostProcess`` gives: the names of the graph's outputs.

    ``classes_known`` is the number of classes without the background; None where nothing says it.
    """

    boxes: str
    classes: str
    scores: str
    count: str
    classes_known: int | None = None


@dataclass(frozen=True, slots=True)
class GraphInfo:
    """The graph's interface, its post-processing and the names of its custom operators."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    custom_operators: tuple[str, ...] = ()
    postprocess: PostProcess | None = None
