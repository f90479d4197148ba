"""From raw output tensors to detections: pure functions on arrays.

Two conventions are known. *Raw SSD*: box encodings relative to anchors and class logits, decoded
and suppressed here. *Post-processed*: the four outputs of ``TFLite_Detection_PostProcess``.
Scores are thresholded before anything is decoded: of 174,447 logits a few dozen remain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from appliance.values import Detections, Floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_DETECTIONS = 100
"""COCO's limit on detections a picture (pycocotools maxDets), and the model's own."""
IOU_THRESHOLD = 0.6
"""Overlap above which the weaker box of one class goes (pipeline.config of the source model)."""
MAX_CANDIDATES = 1000
"""Candidates that enter suppression, best first: bounds the work at very low thresholds."""

_LANES = np.arange(8)
"""Places of the truth values in a 64 bit word."""


@dataclass(frozen=True, slots=True)
class Quantisation:
    """real = scale * (stored - zero_point); scale 1, zero point 0 for floats."""

    scale: float = 1.0
    zero_point: int = 0

    def real(self, stored: NDArray[Any]) -> Floats:
        return (stored.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)

    def stored(self, real: float) -> float:
        """Return where ``real`` lies on the stored scale (not rounded)."""
        return real / self.scale + self.zero_point


def decode_raw_ssd(
    encodings: NDArray[Any],
    logits: NDArray[Any],
    anchors: Floats,
    *,
    encoding_quantisation: Quantisation,
    logit_quantisation: Quantisation,
    scales: tuple[float, float, float, float],
    score_threshold: float,
    label_offset: int = 0,
    label_ids: Sequence[int] = (),
    activated: bool = False,
) -> Detections:
    """Decode an SSD head that has no post-processing of its own.

    Args:
        encodings: (n, 4) ty, tx, th, tw relative to the anchors.
        logits: (n, classes) before the sigmoid; column 0 is the background.
        anchors: float32 (n, 4) ymin, xmin, ymax, xmax in 0..1.
        encoding_quantisation: of ``encodings``.
        logit_quantisation: of ``logits``.
        scales: what the encodings were multiplied with in training, y, x, h, w.
        score_threshold: lowest score kept, 0..1.
        label_offset: label id of class column 0.
        label_ids: of each class column, where they do not follow one another.
        activated: ``logits`` are probabilities already.

    Returns:
        Detections whose boxes are in 0..1 of the model's input, best first.
    """
    lowest = _lowest_stored(logits.dtype, logit_quantisation, score_threshold, activated)
    likely = logits >= lowest  # in one go; parts of rows would be compared row by row
    likely[:, 0] = False
    places = true_places(likely)
    if not len(places):
        return Detections.empty()
    rows, columns = np.divmod(places, logits.shape[1])
    stored = logits.reshape(-1)[places]
    scores = logit_quantisation.real(stored) if activated else _scores(stored, logit_quantisation)
    if len(scores) > MAX_CANDIDATES:
        best = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
        rows, columns, scores = rows[best], columns[best], scores[best]
    boxes = _decode_boxes(encodings[rows], anchors[rows], encoding_quantisation, scales)
    keep = suppress(boxes, scores, columns)[:MAX_DETECTIONS]
    kept = columns[keep]
    ids = np.asarray(label_ids)[kept] if label_ids else kept + label_offset
    return Detections.of(boxes[keep], scores[keep], ids.astype(np.int32))


def decode_postprocessed(
    boxes: Floats,
    classes: Floats,
    scores: Floats,
    count: float,
    *,
    score_threshold: float,
    label_offset: int = 1,
) -> Detections:
    """Read the four outputs of ``TFLite_Detection_PostProcess``.

    Args:
        boxes: (n, 4) ymin, xmin, ymax, xmax in 0..1, may exceed that range.
        classes: (n,) class numbers without background.
        scores: (n,) in 0..1.
        count: how many rows mean something; the others are garbage and cut.
        score_threshold: lowest score kept.
        label_offset: added to a class number to make its label id (COCO: 1).
    """
    usable = int(count) if math.isfinite(count) else 0
    n = max(0, min(usable, len(scores)))
    boxes, classes, scores = boxes[:n], classes[:n], scores[:n]
    keep = (scores >= score_threshold) & np.isfinite(classes)
    label_ids = classes[keep].astype(np.int32) + np.int32(label_offset)
    return Detections.of(boxes[keep][:, [1, 0, 3, 2]], scores[keep], label_ids)


def likely(
    values: NDArray[Any], quantisation: Quantisation, score_threshold: float, *, activated: bool
) -> tuple[NDArray[np.intp], Floats]:
    """Return the places of scores that reach the threshold, in the flat form, and these scores.

    Args:
        values: stored scores, probabilities if ``activated``, else before their sigmoid.
        quantisation: of them.
        score_threshold: lowest score kept, 0..1.
        activated: see ``values``.
    """
    lowest = _lowest_stored(values.dtype, quantisation, score_threshold, activated)
    places = true_places(np.ascontiguousarray(values >= lowest))
    rows, columns = np.divmod(places, values.shape[1])
    stored = values[rows, columns]
    return places, quantisation.real(stored) if activated else _scores(stored, quantisation)


def strongest(
    boxes: Floats,
    scores: Floats,
    classes: NDArray[Any],
    *,
    iou_threshold: float,
    label_offset: int,
) -> Detections:
    """Return what is left of candidates when the weaker of those that overlap in a class are gone.

    Args:
        boxes: (n, 4) xyxy in 0..1 of the model's input.
        scores: (n,).
        classes: (n,) numbers of class columns.
        iou_threshold: as ``suppress`` has it.
        label_offset: label id of class number 0.
    """
    if len(scores) > MAX_CANDIDATES:
        best = (-scores).argsort(kind="stable")[:MAX_CANDIDATES]
        boxes, scores, classes = boxes[best], scores[best], classes[best]
    keep = suppress(boxes, scores, classes, iou_threshold)[:MAX_DETECTIONS]
    ids = classes[keep].astype(np.int32) + np.int32(label_offset)
    return Detections.of(boxes[keep], scores[keep], ids)


def suppress(
    boxes: Floats,
    scores: Floats,
    classes: NDArray[Any],
    iou_threshold: float = IOU_THRESHOLD,
) -> NDArray[np.intp]:
    """Return the indices that survive class-wise greedy suppression, best first.

    Args:
        boxes: (n, 4) xyxy.
        scores: (n,).
        classes: (n,) whole numbers.
        iou_threshold: intersection over union above which the weaker box of a class goes.

    Boxes that are not finite overlap nothing and come last. A score of 0 does not survive.
    """
    finite = np.isfinite(boxes)
    if not finite.all():
        sound = finite.all(axis=1)
        places = np.flatnonzero(sound)
        kept = places[suppress(boxes[sound], scores[sound], classes[sound], iou_threshold)]
        return np.concatenate([kept, np.flatnonzero(~sound)])
    if not len(boxes):
        return np.empty(0, np.intp)
    corner_and_size = boxes.astype(np.float64)
    corner_and_size[:, 2:] -= corner_and_size[:, :2]
    corner_and_size[:, :2] -= corner_and_size[:, :2].min()  # OpenCV tells classes apart by place
    return np.asarray(
        cv2.dnn.NMSBoxesBatched(
            corner_and_size.tolist(), scores.tolist(), classes.tolist(), 0.0, iou_threshold
        ),
        np.intp,
    )


def true_places(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return where a C-contiguous mask is true, as places in its flat form, ascending.

    Looks at eight at a time, because nearly all are false: a twentieth of what ``nonzero`` takes.
    """
    flat = mask.reshape(-1)
    whole = len(flat) // len(_LANES) * len(_LANES)
    (words,) = (flat[:whole].view(np.uint64) != 0).nonzero()
    places = (words[:, None] * len(_LANES) + _LANES).reshape(-1)
    places = places[flat[places]]
    (rest,) = flat[whole:].nonzero()
    return np.concatenate([places, whole + rest]) if len(rest) else places


@lru_cache(maxsize=64)
def _lowest_stored(
    dtype: np.dtype[Any],
    quantisation: Quantisation,
    score_threshold: float,
    activated: bool,  # noqa: FBT001 - as decode_raw_ssd has it
) -> float:
    """Return the stored logit, or probability, of a score; whole for integer tensors.

    Comparing int8 with int8 costs a fraction of comparing it with a float.
    """
    threshold = quantisation.stored(score_threshold if activated else _logit(score_threshold))
    if not np.issubdtype(dtype, np.integer):
        return threshold
    limits = np.iinfo(dtype)
    bounded = min(max(threshold, float(limits.min)), float(limits.max) + 1)
    return math.ceil(bounded)


def _decode_boxes(
    encodings: NDArray[Any],
    anchors: Floats,
    quantisation: Quantisation,
    scales: tuple[float, float, float, float],
) -> Floats:
    """Undo SSD's box encoding: stored (n, 4) ty, tx, th, tw to (n, 4) xyxy."""
    low = anchors[:, :2]
    half = (anchors[:, 2:] - low) * np.float32(0.5)
    shifted = encodings.astype(np.float32) - np.float32(quantisation.zero_point)
    scaled = shifted * _factors(quantisation, scales)
    middle = scaled[:, :2] * half + (low + half)
    reach = np.exp(scaled[:, 2:]) * half
    boxes = np.empty((len(anchors), 4), np.float32)
    np.subtract(middle, reach, out=boxes[:, 1::-1])
    np.add(middle, reach, out=boxes[:, :1:-1])
    return boxes


@lru_cache(maxsize=64)
def _factors(
    quantisation: Quantisation, scales: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    """Return what makes stored encodings shares of half an anchor, and logarithms of sizes."""
    y, x, height, width = (quantisation.scale / scale for scale in scales)
    return np.asarray((2 * y, 2 * x, height, width), np.float32)


def _scores(stored: NDArray[Any], quantisation: Quantisation) -> Floats:
    """Return the probabilities of stored logits; those of 8 bits are looked up."""
    if stored.dtype.itemsize > 1:
        return sigmoid(quantisation.real(stored))
    return _score_table(stored.dtype, quantisation)[stored.view(np.uint8)]


@lru_cache(maxsize=64)
def _score_table(dtype: np.dtype[Any], quantisation: Quantisation) -> Floats:
    """Return the probability of each stored logit, by its bits."""
    return sigmoid(quantisation.real(np.arange(256, dtype=np.uint8).view(dtype)))


def sigmoid(values: Floats) -> Floats:
    """Return the probabilities of logits."""
    return (1 / (1 + np.exp(-values))).astype(np.float32)


def _logit(probability: float) -> float:
    """Return the logit of ``probability``; minus infinity for 0 and below."""
    if probability <= 0:
        return -math.inf
    if probability >= 1:
        return math.inf
    return math.log(probability / (1 - probability))
