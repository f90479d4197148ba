"""YOLOv8 and its like (v9, v11, v5u): one output (1, 4 + classes, cells), boxes decoded in it.

A column a cell: middle, width and height of its box, then the scores after their sigmoid. There
is no objectness, and no background class. (ultralytics 8.3, nn/modules/head.py, class Detect.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.models.outputs.cells import FOUR, FOUR_FINE, THREE, corners, count, in_pixels, shares
from appliance.models.outputs.seam import Normalisation, Recognised, expect, picture_size
from appliance.values import Detections
from appliance.vision.postprocess import Quantisation, likely, strongest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from appliance.models.graph import GraphInfo

CONVENTION = "yolov8"
NORMALISATION = Normalisation(1 / 255, 0.0, "rgb")
_IOU_THRESHOLD = 0.7
"""What ultralytics suppresses at unless told otherwise."""
_BOX = 4


@dataclass(frozen=True, slots=True)
class YoloV8Head:
    """Where one file of the YOLOv8 family has its boxes and scores.

    Attributes:
        output: name of the tensor.
        quantisation: of it.
        classes: how many it tells apart.
        cells: how many places it looks at.
        size: width and height of the picture, pixels.
        activated: the graph has applied its sigmoid.
        cells_first: it is shaped (1, cells, 4 + classes), as some converters turn it.
    """

    output: str
    quantisation: Quantisation
    classes: int
    cells: int
    size: tuple[int, int]
    activated: bool = True
    cells_first: bool = False

    @property
    def tensor_names(self) -> tuple[str, ...]:
        return (self.output,)

    def misfit(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Check name and shape."""
        wanted = (_BOX + self.classes, self.cells)
        if self.cells_first:
            wanted = wanted[::-1]
        return expect(shapes, self.output, (1, *wanted))

    def decode(self, tensors: Sequence[NDArray[Any]], score_threshold: float) -> Detections:
        """Take the best class of each cell, decode, suppress within each class."""
        channels = _BOX + self.classes
        table = (
            tensors[0].reshape(self.cells, channels).T
            if self.cells_first
            else tensors[0].reshape(channels, self.cells)
        )
        places, scores = likely(
            table[_BOX:], self.quantisation, score_threshold, activated=self.activated
        )
        if not len(places):
            return Detections.empty()
        columns, cells = np.divmod(places, table.shape[1])
        best = _best_of_each(cells, scores)
        columns, cells, scores = columns[best], cells[best], scores[best]
        pixels = in_pixels(self.quantisation.real(table[:2]))
        places_and_sizes = self.quantisation.real(table[:_BOX, cells]).T
        boxes = corners(places_and_sizes[:, :2], places_and_sizes[:, 2:])
        return strongest(
            shares(boxes, self.size) if pixels else boxes,
            scores,
            columns,
            iou_threshold=_IOU_THRESHOLD,
            label_offset=1,
        )


def recognise(graph: GraphInfo, *, told: bool) -> Recognised | None:
    """Return the head of a graph that has one; ``told``: the manifest says so."""
    if len(graph.outputs) != 1 or len(graph.outputs[0].shape) != 3:
        return None
    output, size = graph.outputs[0], picture_size(graph)
    first, second = output.shape[1:]
    known = {count(size, strides) for strides in (THREE, FOUR, FOUR_FINE)}
    turned = first in known and (told or "stride" in graph.metadata)
    channels, cells = (second, first) if turned else (first, second)
    if cells not in known or channels <= _BOX:
        return None
    head = YoloV8Head(
        output.name,
        output.quantisation,
        channels - _BOX,
        cells,
        size,
        activated=not output.logits,
        cells_first=turned,
    )
    return Recognised(head, CONVENTION, channels - _BOX, 1, NORMALISATION)


def _best_of_each(cells: NDArray[np.intp], scores: NDArray[Any]) -> NDArray[np.intp]:
    """Return the places of each cell's best score; of equal ones the first class's."""
    order = np.argsort(-scores, kind="stable")
    _, first = np.unique(cells[order], return_index=True)
    return order[first]
