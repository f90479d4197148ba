"""What recognising a model's outputs gives, for every kind of head."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.models.graph import GraphInfo, TensorInfo
    from appliance.models.model import ChannelOrder, PerChannel
    from appliance.vision.heads import Head


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What float pictures hold: pixel * scale + offset, in this order of colours."""

    scale: PerChannel = 2 / 255
    offset: PerChannel = -1.0
    order: ChannelOrder = "rgb"


@dataclass(frozen=True, slots=True)
class Recognised:
    """A head, and what the convention that it follows says besides.

    Attributes:
        head: decodes the outputs.
        convention: its name in a manifest.
        classes: how many class columns there are, a background among them; None where nothing
            tells.
        label_offset: label id of class number 0.
        normalisation: what the convention wants of a float picture.
    """

    head: Head
    convention: str
    classes: int | None
    label_offset: int
    normalisation: Normalisation = field(default_factory=Normalisation)


def picture_size(graph: GraphInfo) -> tuple[int, int]:
    """Return width and height of the picture that the graph takes."""
    shape = graph.inputs[0].shape
    return (shape[2], shape[1]) if shape[3] == 3 else (shape[3], shape[2])


def shown(tensors: tuple[TensorInfo, ...]) -> str:
    """Return tensors as messages name them."""
    return ", ".join(f"{t.name} {t.dtype} {t.shape}" for t in tensors)


def expect(shapes: Mapping[str, tuple[int, ...]], name: str, wanted: tuple[int, ...]) -> str:
    """Say what is wrong with an output of a runtime; empty where it is as wanted."""
    if name not in shapes:
        return f"has no output {name!r}, only {', '.join(shapes)}"
    return "" if shapes[name] == wanted else f"output {name} is {shapes[name]}, not {wanted}"
