"""The output side of a model: which tensors to read and how they become detections.

A detector of any runtime hands its raw output tensors, in the order of ``tensor_names``, to the
head of its model; so every runtime shares one decoding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from appliance.values import Detections
from appliance.vision.postprocess import Quantisation, decode_postprocessed, decode_raw_ssd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from appliance.values import Floats


class Head(Protocol):
    """Decodes one model's outputs."""

    @property
    def tensor_names(self) -> tuple[str, ...]:
        """Return the names of the output tensors that ``decode`` wants, in its order."""

    def misfit(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Say why a runtime's outputs, shapes by name, cannot be decoded; empty if they can."""

    def decode(self, tensors: Sequence[NDArray[Any]], score_threshold: float) -> Detections:
        """Return detections with boxes in 0..1 of the model's input, best first."""


@dataclass(frozen=True, slots=True)
class RawSsdHead:
    """Box encodings and class logits, decoded here.

    Attributes:
        boxes, scores: names of the tensors; shaped (1, n, 1, 4) or (1, n, 4), and (1, n, classes).
        boxes_quantisation, scores_quantisation: of these tensors.
        anchors: float32 (n, 4) ymin, xmin, ymax, xmax.
        scales: of the encodings, y, x, h, w.
        label_offset: label id of class column 0.
        label_ids: of each class column, where they do not follow one another.
        activated: the graph has applied its sigmoid or softmax itself.
    """

    boxes: str
    scores: str
    boxes_quantisation: Quantisation
    scores_quantisation: Quantisation
    anchors: Floats
    scales: tuple[float, float, float, float]
    label_offset: int
    label_ids: tuple[int, ...] = ()
    activated: bool = False

    @property
    def tensor_names(self) -> tuple[str, ...]:
        """Return the names of the encodings and of the logits."""
        return (self.boxes, self.scores)

    def misfit(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Check names, and counts against the anchors."""
        missing = _missing(self.tensor_names, shapes)
        if missing:
            return missing
        count = len(self.anchors)
        boxes, scores = shapes[self.boxes], shapes[self.scores]
        if math.prod(boxes) != count * 4 or not math.prod(scores) or math.prod(scores) % count:
            return f"outputs {boxes} and {scores} do not fit {count} anchors"
        return ""

    def decode(self, tensors: Sequence[NDArray[Any]], score_threshold: float) -> Detections:
        encodings, logits = tensors
        return decode_raw_ssd(
            encodings.reshape(-1, 4),
            logits.reshape(len(self.anchors), -1),
            self.anchors,
            encoding_quantisation=self.boxes_quantisation,
            logit_quantisation=self.scores_quantisation,
            scales=self.scales,
            score_threshold=score_threshold,
            label_offset=self.label_offset,
            label_ids=self.label_ids,
            activated=self.activated,
        )


@dataclass(frozen=True, slots=True)
class PostProcessedHead:
    """The four outputs of ``TFLite_Detection_PostProcess``.

    Attributes:
        boxes, classes, scores, count: names of the tensors.
        label_offset: added to a class number to make its label id.
    """

    boxes: str
    classes: str
    scores: str
    count: str
    label_offset: int

    @property
    def tensor_names(self) -> tuple[str, ...]:
        return (self.boxes, self.classes, self.scores, self.count)

    def misfit(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Check names, and that there are as many boxes as classes and scores."""
        missing = _missing(self.tensor_names, shapes)
        if missing:
            return missing
        boxes, classes, scores = (math.prod(shapes[n]) for n in self.tensor_names[:3])
        if boxes != 4 * scores or classes != scores:
            return f"outputs have {boxes} box corners, {classes} classes and {scores} scores"
        return ""

    def decode(self, tensors: Sequence[NDArray[Any]], score_threshold: float) -> Detections:
        """Cut to the count, threshold, reorder the corners."""
        boxes, classes, scores, count = tensors
        return decode_postprocessed(
            boxes.reshape(-1, 4),
            classes.reshape(-1),
            scores.reshape(-1),
            float(count.reshape(-1)[0]),
            score_threshold=score_threshold,
            label_offset=self.label_offset,
        )


@dataclass(frozen=True, slots=True)
class BlindHead:
    """Outputs that nobody decodes: a model that is timed only."""

    tensor_names: tuple[str, ...]

    def misfit(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Check names."""
        return _missing(self.tensor_names, shapes)

    def decode(self, tensors: Sequence[NDArray[Any]], score_threshold: float) -> Detections:  # noqa: ARG002 - the protocol
        return Detections.empty()


def _missing(names: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]]) -> str:
    missing = [name for name in names if name not in shapes]
    return f"has no output {missing[0]!r}, only {', '.join(shapes)}" if missing else ""
