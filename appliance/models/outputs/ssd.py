"""SSD: post-processed by TensorFlow Lite's own operator, or raw encodings and class scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import ModelError
from appliance.models.graph import PostProcess
from appliance.models.outputs.seam import Recognised, shown
from appliance.vision.heads import PostProcessedHead, RawSsdHead

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models.graph import GraphInfo, TensorInfo

RAW, POSTPROCESSED = "raw-ssd", "postprocessed"
_POSTPROCESS = "TFLite_Detection_PostProcess"


def recognise(
    graph: GraphInfo,
    name: str,
    *,
    anchors: Path,
    scales: tuple[float, float, float, float],
    label_offset: int | None,
) -> Recognised | None:
    """Return the head of a graph that has one: four outputs, or two.

    Raises:
        ModelError: it has as many, but they are no SSD's.
    """
    if graph.postprocess is not None or len(graph.outputs) == 4:
        offset = 1 if label_offset is None else label_offset
        made = _postprocessed(graph, name)
        head = PostProcessedHead(made.boxes, made.classes, made.scores, made.count, offset)
        return Recognised(head, POSTPROCESSED, made.classes_known, offset)
    if len(graph.outputs) == 2:
        offset = label_offset or 0
        raw, classes = _raw(graph.outputs, name, anchors, scales, offset)
        return Recognised(raw, RAW, classes, offset)
    return None


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
            f"{shown(outputs)}",
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
) -> tuple[RawSsdHead, int]:
    boxes = [t for t in outputs if t.shape[-1:] == (4,)]
    if len(boxes) == 2:  # a background and three classes: what went through a sigmoid is no box
        boxes = [t for t in boxes if not t.activated]
    scores = [t for t in outputs if t not in boxes]
    if len(boxes) != 1 or len(scores) != 1:
        raise ModelError(
            f"model {name}: outputs are {shown(outputs)}",
            hint="of two outputs one must be box encodings (1, n, 4), one class scores (1, n, c)",
        )
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
