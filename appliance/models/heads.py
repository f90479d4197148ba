"""Recognise the output convention of a graph by the shapes and names of its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import ModelError
from appliance.heads import BlindHead, Head, PostProcessedHead, RawSsdHead
from appliance.models.graph import PostProcess

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models.graph import GraphInfo, TensorInfo

_POSTPROCESS = "TFLite_Detection_PostProcess"
_TIMED_DTYPES = ("uint8", "int8", "float32")
_EXPECTED = (
    "expected a picture input (1, height, width, 3), uint8 or float32, and either the four outputs "
    "of TFLite_Detection_PostProcess or box encodings (1, n, 4) with class logits (1, n, classes)"
)


def build_head(
    graph: GraphInfo,
    name: str,
    *,
    anchors: Path,
    scales: tuple[float, float, float, float],
    label_offset: int | None,
) -> tuple[Head, int | None, int]:
    """Return the head of ``graph``, its number of classes where known, and the label offset.

    Args:
        graph: the model's interface.
        name: how messages call the model.
        anchors: .npy file, float32 (n, 4), for raw heads.
        scales: of the box encodings.
        label_offset: label id of class number 0; None for the convention's usual one.

    Raises:
        ModelError: it is no detector that we can decode.
    """
    picture = graph.inputs[0]
    shape = picture.shape
    fits = len(shape) == 4 and shape[0] == 1 and 3 in (shape[1], shape[3]) and min(shape) > 0
    if len(graph.inputs) != 1 or not fits or picture.dtype not in ("uint8", "float32"):
        raise ModelError(f"model {name}: input is {_shown(graph.inputs)}", hint=_EXPECTED)
    names = [one.name for one in graph.outputs]
    if len(set(names)) != len(names) or not all(names):
        raise ModelError(
            f"model {name}: outputs are {_shown(graph.outputs)}",
            hint="each needs a name of its own, for runtimes tell them apart by it",
        )
    if graph.postprocess is not None or len(graph.outputs) == 4:
        offset = 1 if label_offset is None else label_offset
        made = _postprocessed(graph, name)
        head = PostProcessedHead(made.boxes, made.classes, made.scores, made.count, offset)
        return head, made.classes_known, offset
    if len(graph.outputs) == 2:
        offset = label_offset or 0
        raw, classes = _raw(graph.outputs, name, anchors, scales, offset)
        return raw, classes, offset
    raise ModelError(f"model {name}: outputs are {_shown(graph.outputs)}", hint=_EXPECTED)


def blind_head(graph: GraphInfo, name: str) -> Head:
    """Return a head that decodes nothing, for models that take a picture, whatever they say of it.

    Raises:
        ModelError: its input is no picture.
    """
    shapes = [one.shape for one in graph.inputs]
    fits = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][0] == 1
    if not fits or 3 not in (shapes[0][1], shapes[0][3]) or min(shapes[0]) <= 0:
        raise ModelError(
            f"model {name}: input is {_shown(graph.inputs)}",
            hint="one picture of a fixed size is expected: (1, height, width, 3) or (1, 3, ...)",
        )
    if graph.inputs[0].dtype not in _TIMED_DTYPES:
        raise ModelError(f"model {name}: takes {graph.inputs[0].dtype}, not {_TIMED_DTYPES}")
    return BlindHead(tuple(one.name for one in graph.outputs))


def _postprocessed(graph: GraphInfo, name: str) -> PostProcess:
    """Return which output is which: by the operator that makes them, else by their names.

    Raises:
        ModelError: neither tells.
    """
    if graph.postprocess is not None:
        return graph.postprocess
    outputs = graph.outputs
    boxes = _called(outputs, "box") or [t for t in outputs if t.shape[-1:] == (4,)]
    counts = _called(outputs, "count", "num") or [t for t in outputs if t.shape in ((), (1,))]
    classes, scores = _called(outputs, "class"), _called(outputs, "score")
    found = [boxes, classes, scores, counts]
    if all(f"{_POSTPROCESS}{end}" in {t.name for t in outputs} for end in ("", ":1", ":2", ":3")):
        order = sorted(outputs, key=lambda tensor: tensor.name)
        found = [[tensor] for tensor in order]
    if any(len(one) != 1 for one in found) or len({one[0].name for one in found}) != 4:
        raise ModelError(
            f"model {name}: its outputs do not tell which are the scores and which the classes: "
            f"{_shown(outputs)}",
            hint="there is no TFLite_Detection_PostProcess in the file, so they must be called "
            "boxes, classes, scores and count, or be described in a manifest.toml",
        )
    first, second, third, fourth = (one[0].name for one in found)
    return PostProcess(first, second, third, fourth)


def _called(outputs: tuple[TensorInfo, ...], *words: str) -> list[TensorInfo]:
    return [one for one in outputs if any(word in one.name.lower() for word in words)]


def _raw(
    outputs: tuple[TensorInfo, ...],
    name: str,
    anchors_path: Path,
    scales: tuple[float, float, float, float],
    offset: int,
) -> tuple[Head, int]:
    boxes = [t for t in outputs if t.shape[-1:] == (4,)]
    scores = [t for t in outputs if t not in boxes]
    if len(boxes) != 1 or len(scores) != 1:
        raise ModelError(f"model {name}: outputs are {_shown(outputs)}", hint=_EXPECTED)
    anchors = _load_anchors(anchors_path, name)
    count = int(np.prod(boxes[0].shape)) // 4
    classes = scores[0].shape[-1]
    if count != len(anchors) or int(np.prod(scores[0].shape)) != count * classes:
        raise ModelError(
            f"model {name}: {count} boxes and scores {scores[0].shape} do not fit "
            f"{len(anchors)} anchors",
            hint="add the model with its anchors to models/manifest.toml",
        )
    head = RawSsdHead(
        boxes=boxes[0].name,
        scores=scores[0].name,
        boxes_quantisation=boxes[0].quantisation,
        scores_quantisation=scores[0].quantisation,
        anchors=anchors,
        scales=scales,
        label_offset=offset,
        activated=scores[0].activated,
    )
    return head, classes


def _load_anchors(path: Path, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    try:
        anchors = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"model {name}: anchors {path}: {error}") from error
    if anchors.ndim != 2 or anchors.shape[1] != 4:
        raise ModelError(f"model {name}: anchors {path}: shape {anchors.shape}, expected (n, 4)")
    return np.asarray(anchors, np.float32)


def _shown(tensors: tuple[TensorInfo, ...]) -> str:
    return ", ".join(f"{t.name} {t.dtype} {t.shape}" for t in tensors)
