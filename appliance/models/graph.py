"""What a model file says of itself: its inputs, outputs and custom operators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.vision.postprocess import Quantisation

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of the graph: name, shape, element type, quantisation.

    A shape is empty where the file does not tell it. The others say where it comes from, however
    it was rearranged or stored since.

    Attributes:
        activated: all of it went through a sigmoid or softmax.
        parts: of what is joined to make it, which were; empty where all were, or none.
        logits: none of it was, and some of it is just as a convolution or product gives it.
        exponential: there is an exponential on its way.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantisation: Quantisation = Quantisation()  # noqa: RUF009 - frozen
    activated: bool = False
    parts: tuple[bool, ...] = ()
    logits: bool = False
    exponential: bool = False


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
    """The graph's interface, its post-processing, and the names of its custom operators.

    ``metadata`` is what its exporter wrote into the file, by name, as text.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    custom_operators: tuple[str, ...] = ()
    postprocess: PostProcess | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
