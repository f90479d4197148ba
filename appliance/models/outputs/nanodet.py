"""NanoDet and NanoDet-Plus: class scores, and for each side of a box how its distance is spread.

The distance of a side from the cell's middle is the mean of a softmax over 0, 1, 2, ... strides.
NanoDet-Plus has one output (1, cells, classes + 32) of four strides, and cells that begin where
they are counted from. NanoDet has three strides, cells that are looked at in their middle, and
either one such output or two for each stride (``cls_pred_stride_8``, ``dis_pred_stride_8``, ...).
Scores are after their sigmoid in both. (RangiLyu nanodet 1.0, nanodet/model/head.)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.models.outputs.cells import FOUR, THREE, cells, count, shares
from appliance.models.outputs.seam import Normalisation, Recognised, expect, picture_size
from appliance.values import Detections
from appliance.vision.postprocess import MAX_CANDIDATES, Quantisation, likely, strongest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from appliance.models.graph import GraphInfo, TensorInfo
    from appliance.values import Floats

CONVENTION = "nanodet"
_MEAN = (103.53, 116.28, 123.675)
_DEVIATION = (57.375, 57.12, 58.395)
"""Of ImageNet's pixels, blue, green, red: what all of its configurations normalise by."""
_BLUE, _GREEN, _RED = (
    (1 / deviation, -mean / deviation) for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)
)
NORMALISATION = Normalisation((_BLUE[0], _GREEN[0], _RED[0]), (_BLUE[1], _GREEN[1], _RED[1]), "bgr")
_IOU_THRESHOLD = 0.6
_SIDES = 4
_BINS = 8
"""Of one joined output: reg_max 7 and 0. Separate outputs have as many as they have."""


@dataclass(frozen=True, slots=True)
class NanoDetHead:
    """Where one NanoDet file has its scores and the distances of its boxes' sides.

    Attributes:
        outputs: names: of one tensor, or of scores and distances for each stride in turn.
        quantisations: of these.
        classes: how many it tells apart.
        bins: how many distances each side is spread over.
        size: width and height of the picture, pixels.
        strides: in pixels, in the order of the cells.
        activated: the graph has applied its sigmoid.
    """

    outputs: tuple[str, ...]
    quantisations: tuple[Quantisation, ...]
    classes: int
    bins: int
    size: tuple[int, int]
    strides: tuple[int, ...]
    activated: bool = True

    @property
    def tensor_names(self) -> tuple[str, ...]:
        return self.outputs

    def misfit(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Check names and shapes."""
        spread = _SIDES * self.bins
        if len(self.outputs) == 1:
            wanted = [(1, count(self.size, self.strides), self.classes + spread)]
        else:
            each = (count(self.size, (stride,)) for stride in self.strides)
            wanted = list(chain(*(((1, n, self.classes), (1, n, spread)) for n in each)))
        wrong = (
            expect(shapes, name, shape) for name, shape in zip(self.outputs, wanted, strict=True)
        )
        return next((one for one in wrong if one), "")

    def decode(self, tensors: Sequence[NDArray[Any]], score_threshold: float) -> Detections:
        """Threshold every class of every cell, decode, suppress within each class."""
        scores, rows, columns, spread = self._candidates(tensors, score_threshold)
        if not len(scores):
            return Detections.empty()
        places, strides = cells(self.size, self.strides)
        middle = (places[rows] + self._shift()) * strides[rows]
        away = _means(spread.reshape(-1, _SIDES, self.bins)) * strides[rows]
        boxes = np.concatenate([middle - away[:, :2], middle + away[:, 2:]], axis=1)
        return strongest(
            np.clip(shares(boxes, self.size), 0, 1).astype(np.float32),
            scores,
            columns,
            iou_threshold=_IOU_THRESHOLD,
            label_offset=1,
        )

    def _candidates(
        self, tensors: Sequence[NDArray[Any]], score_threshold: float
    ) -> tuple[Floats, NDArray[np.intp], NDArray[np.intp], Floats]:
        """Return scores, cells, classes and spread distances of what is likely, best first."""
        found, first = [], 0
        step = 1 if len(self.outputs) == 1 else 2
        for at in range(0, len(tensors), step):
            known, spread = self._parts(tensors[at : at + step])
            places, scores = likely(
                known, self.quantisations[at], score_threshold, activated=self.activated
            )
            rows, columns = np.divmod(places, self.classes)
            distances = self.quantisations[at + step - 1].real(spread[rows])
            found.append((scores, rows + first, columns, distances))
            first += len(known)
        scores, rows, columns, distances = (np.concatenate(one) for one in zip(*found, strict=True))
        best = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
        return scores[best], rows[best], columns[best], distances[best]

    def _parts(self, tensors: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return scores and spread distances, a row a cell, of one output or of two."""
        spread = _SIDES * self.bins
        if len(tensors) == 2:
            return tensors[0].reshape(-1, self.classes), tensors[1].reshape(-1, spread)
        table = tensors[0].reshape(-1, self.classes + spread)
        return table[:, : self.classes], table[:, self.classes :]

    def _shift(self) -> float:
        return 0.0 if self.strides == FOUR else 0.5


def recognise(graph: GraphInfo, *, told: bool) -> Recognised | None:
    """Return the head of a graph that has one; ``told``: the manifest says so."""
    size = picture_size(graph)
    if len(graph.outputs) == 1:
        return _joined(graph.outputs[0], size, told=told)
    for strides in (THREE, FOUR):
        pairs = [_pair(graph.outputs, count(size, (stride,))) for stride in strides]
        flat = [one for pair in pairs for one in pair]
        if len(graph.outputs) == len(flat) == 2 * len(strides):
            return _separate(flat, size, strides)
    return None


def _joined(output: TensorInfo, size: tuple[int, int], *, told: bool) -> Recognised | None:
    """Recognise one output; with three strides it is YOLOX's but for what comes first in a row."""
    if len(output.shape) != 3:
        return None
    classes = output.shape[2] - _SIDES * _BINS
    scores_first = output.parts[:1] == (True,)
    fitting = (s for s in (FOUR, THREE) if output.shape[1] == count(size, s))
    strides = next(fitting, None)
    if strides is None or classes < 1 or not (strides == FOUR or scores_first or told):
        return None
    head = NanoDetHead(
        (output.name,),
        (output.quantisation,),
        classes,
        _BINS,
        size,
        strides,
        activated=not output.logits,
    )
    return Recognised(head, CONVENTION, classes, 1, NORMALISATION)


def _pair(outputs: tuple[TensorInfo, ...], cell_count: int) -> tuple[TensorInfo, ...]:
    """Return scores and distances of one stride; nothing where they cannot be told apart."""
    both = [one for one in outputs if len(one.shape) == 3 and one.shape[1] == cell_count]
    scores = [one for one in both if "cls" in one.name.lower()]
    scores = scores or [one for one in both if one.activated]
    if len(both) != 2 or len(scores) != 1:
        return ()
    other = both[0] if both[1] is scores[0] else both[1]
    return (scores[0], other) if other.shape[2] % _SIDES == 0 else ()


def _separate(
    outputs: list[TensorInfo], size: tuple[int, int], strides: tuple[int, ...]
) -> Recognised | None:
    known, spread = {one.shape[2] for one in outputs[::2]}, {o.shape[2] for o in outputs[1::2]}
    if len(known) != 1 or len(spread) != 1:
        return None
    (classes,), (distances,) = known, spread
    head = NanoDetHead(
        tuple(one.name for one in outputs),
        tuple(one.quantisation for one in outputs),
        classes,
        distances // _SIDES,
        size,
        strides,
        activated=not any(one.logits for one in outputs[::2]),
    )
    return Recognised(head, CONVENTION, classes, 1, NORMALISATION)


def _means(spread: Floats) -> Floats:
    """Return the mean of the softmax over the last axis, counted 0, 1, 2, ..."""
    shares_of = np.exp(spread - spread.max(axis=-1, keepdims=True))
    means = shares_of @ np.arange(spread.shape[-1], dtype=np.float32)
    return np.asarray(means / shares_of.sum(axis=-1), np.float32)
