"""Recognise how a graph's outputs are read, by its operators, shapes, metadata and names.

One file a head: what it decodes, and what it is recognised by. Another head is another file, and
a line in ``_RECOGNISERS``. The first that fits is taken, so what is surer comes first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from appliance.errors import ModelError
from appliance.models.outputs import end_to_end, nanodet, ssd, yolov8, yolox
from appliance.models.outputs.cells import FOUR, THREE, count
from appliance.models.outputs.seam import Normalisation, Recognised, picture_size, shown
from appliance.vision.heads import BlindHead
from appliance.vision.postprocess import Quantisation

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models.graph import GraphInfo, TensorInfo
    from appliance.models.manifest import InputSpec
    from appliance.vision.heads import Head

__all__ = ["Normalisation", "Recognised", "blind_head", "build_head", "check_input"]


class Recogniser(Protocol):
    """Returns the head of a graph that has this one; ``told``: a manifest says that it has."""

    def __call__(self, graph: GraphInfo, *, told: bool) -> Recognised | None: ...


_RECOGNISERS: dict[str, Recogniser] = {
    yolov8.CONVENTION: yolov8.recognise,
    end_to_end.CONVENTION: end_to_end.recognise,
    nanodet.CONVENTION: nanodet.recognise,
    yolox.CONVENTION: yolox.recognise,
}
_SCALE_TOLERANCE = 0.02
"""Calibration on pictures without white ends a little below it."""
_DTYPES = ("uint8", "int8", "float32")
_PICTURE = (
    "one picture of a fixed size is expected, (1, height, width, 3) or (1, 3, height, width), "
    "uint8, int8 or float32"
)


def build_head(
    graph: GraphInfo,
    name: str,
    *,
    anchors: Path,
    scales: tuple[float, float, float, float],
    label_offset: int | None,
    convention: str = "",
) -> Recognised:
    """Return the head of ``graph`` and what its convention says.

    Args:
        graph: the model's interface.
        name: how messages call the model.
        anchors: .npy file, float32 (n, 4), for raw SSD heads.
        scales: of the box encodings of these.
        label_offset: label id of class number 0; None for the convention's usual one.
        convention: what a manifest says the head is; empty to tell by the graph.

    Raises:
        ModelError: it is no detector that we can decode.
    """
    _check_picture(graph, name)
    _check_task(graph, name)
    names = [one.name for one in graph.outputs]
    if len(set(names)) != len(names) or not all(names):
        raise ModelError(
            f"model {name}: outputs are {shown(graph.outputs)}",
            hint="each needs a name of its own, for runtimes tell them apart by it",
        )
    if graph.postprocess is None:
        told = _RECOGNISERS.get(convention)
        for recognise in (told,) if told else _RECOGNISERS.values():
            found = recognise(graph, told=told is not None)
            if found is not None:
                return found
        if told:
            raise ModelError(
                f"model {name}: outputs are {shown(graph.outputs)}, which is not {convention}",
                hint=_known(graph),
            )
    found = ssd.recognise(graph, name, anchors=anchors, scales=scales, label_offset=label_offset)
    if found is None:
        raise ModelError(
            f"model {name}: outputs are {shown(graph.outputs)}{_likely(graph)}", hint=_known(graph)
        )
    return found


def blind_head(graph: GraphInfo, name: str) -> Head:
    """Return a head that decodes nothing, for models that take a picture, whatever they say of it.

    Raises:
        ModelError: its input is no picture.
    """
    _check_picture(graph, name)
    return BlindHead(tuple(one.name for one in graph.outputs))


def check_input(
    picture: TensorInfo, found: Recognised, name: str, form: str, spec: InputSpec | None
) -> None:
    """Refuse an input of 8 bits that does not hold pixels, or pixels less 128.

    Only TensorFlow Lite's files say what their numbers mean, and their exporters scale pixels as
    the head's convention normalises them: then a stored number is a pixel.

    Raises:
        ModelError: its numbers are others, or its format's runtimes take no int8.
    """
    order = spec.order if spec else found.normalisation.order
    if order == "bgr" and form not in {"tflite", "onnx", "ncnn", "graphdef"}:
        raise ModelError(f"model {name}: {form} files with blue first are not fed by anything here")
    if picture.dtype == "int8" and form != "tflite":
        raise ModelError(
            f"model {name}: takes int8 pixels, which only TensorFlow Lite files may",
            hint="export it with a float32 or uint8 input",
        )
    if picture.dtype == "float32" or form != "tflite" or spec is not None:
        return
    told, wanted = picture.quantisation, found.normalisation
    if isinstance(wanted.scale, tuple) or isinstance(wanted.offset, tuple):
        raise ModelError(
            f"model {name}: {found.convention} normalises each colour, {picture.dtype} does not",
            hint="export it with a float32 input",
        )
    if found.convention in {ssd.RAW, ssd.POSTPROCESSED} or told == Quantisation():
        return
    lowest = told.real(np.asarray([0 if picture.dtype == "uint8" else -128]))[0]
    if not (
        math.isclose(told.scale, wanted.scale, rel_tol=_SCALE_TOLERANCE)
        and abs(lowest - wanted.offset) <= told.scale
    ):
        raise ModelError(
            f"model {name}: its {picture.dtype} input is scaled by {told.scale:.5g} from "
            f"{lowest:.5g}, but {found.convention} wants pixels times {wanted.scale:.5g}",
            hint="export it with a float32 input, or describe its input in a manifest.toml",
        )


def _check_picture(graph: GraphInfo, name: str) -> None:
    picture = graph.inputs[0]
    shape = picture.shape
    colours = len(shape) == 4 and shape[0] == 1 and 3 in (shape[1], shape[3])
    if len(graph.inputs) == 1 and colours and min(shape) <= 0:
        raise ModelError(
            f"model {name}: input is {shown(graph.inputs)}: it has no fixed size (0 is any)",
            hint="export it for pictures of one size (ultralytics: imgsz=640, dynamic=False)",
        )
    if len(graph.inputs) != 1 or not colours or picture.dtype not in _DTYPES:
        raise ModelError(f"model {name}: input is {shown(graph.inputs)}", hint=_PICTURE)


def _check_task(graph: GraphInfo, name: str) -> None:
    """Refuse what its exporter says is for something else: its outputs may look alike."""
    task = graph.metadata.get("task", "detect")
    if task != "detect":
        raise ModelError(
            f"model {name}: is made for the task {task!r}, not to detect objects",
            hint="export one that was trained for the task 'detect'",
        )


def _known(graph: GraphInfo) -> str:
    """Return which outputs a model for pictures of this size may have."""
    size = picture_size(graph)
    three, four = count(size, THREE), count(size, FOUR)
    return (
        f"known for pictures of {size[0]}x{size[1]}: YOLOv8 (1, 4 + classes, {three}), YOLOX "
        f"(1, {three}, 5 + classes), NanoDet-Plus (1, {four}, classes + 32), NanoDet with two "
        "outputs for each stride, end to end (1, n, 6), the four outputs of "
        "TFLite_Detection_PostProcess, SSD's box encodings (1, n, 4) with class scores "
        "(1, n, classes)"
    )


def _likely(graph: GraphInfo) -> str:
    """Return what outputs look like that are known, but not decoded."""
    cells = 3 * count(picture_size(graph), THREE)
    if len(graph.outputs) == 1 and graph.outputs[0].shape[1:2] == (cells,):
        return ", those of YOLOv5 or YOLOv7 (three anchors a cell), which are not decoded"
    return ""
