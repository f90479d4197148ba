"""Recognise the output convention of a graph by the shapes and names of its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import ModelError
from appliance.heads import BlindHead, Head, PostProcessedHead, RawSsdHead

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
    if len(graph.outputs) == 4:
        offset = 1 if label_offset is None else label_offset
        return _postprocessed(graph.outputs, name, offset), None, offset
    if len(graph.outputs) == 2:
        offset = label_offset or 0
        head, classes = _raw(graph.outputs, name, anchors, scales, offset)
        return head, classes, offset
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


def _postprocessed(outputs: tuple[TensorInfo, ...], name: str, offset: int) -> Head:
    """Name the four outputs; TensorFlow 2 exports permute them, so order alone will not do."""
    boxes = [t for t in outputs if t.shape[-1:] == (4,) and len(t.shape) == 3]
    counts = [t for t in outputs if int(np.prod(t.shape)) == 1 and len(t.shape) <= 1]
    rest = [t for t in outputs if t not in boxes and t not in counts]
    if not boxes and any(_POSTPROCESS in t.name for t in outputs):
        # Shapes may be missing from the file: the operator's own order and names remain.
        boxes, rest, counts = [outputs[0]], list(outputs[1:3]), [outputs[3]]
    if len(boxes) != 1 or len(counts) != 1 or len(rest) != 2:
        raise ModelError(f"model {name}: outputs are {_shown(outputs)}", hint=_EXPECTED)
    classes, scores = rest
    if "StatefulPartitionedCall" in outputs[0].name:
        # TensorFlow 2: "...:0" scores, ":1" boxes, ":2" count, ":3" classes.
        scores, classes = sorted(rest, key=lambda tensor: tensor.name)
    return PostProcessedHead(
        boxes=boxes[0].name,
        classes=classes.name,
        scores=scores.name,
        count=counts[0].name,
        label_offset=offset,
    )


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
