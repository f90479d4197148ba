"""Heads that suppress by themselves: one output (1, n, 6), a row a detection, best first.

Corners, score and class number; ultralytics with ``nms=True``, YOLOv10 and YOLO26. Rows that mean
nothing have the score 0, or one below any threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.models.outputs.cells import FOUR, FOUR_FINE, THREE, count, shares
from appliance.models.outputs.seam import Recognised, expect, picture_size
from appliance.models.outputs.yolov8 import NORMALISATION
from appliance.values import Detections
from appliance.vision.postprocess import MAX_DETECTIONS, Quantisation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from appliance.models.graph import GraphInfo

CONVENTION = "end-to-end"
_ROW = 6
_LARGEST_SHARE = 2.0


@dataclass(frozen=True, slots=True)
class EndToEndHead:
    """Where one file has its finished detections: nothing is left to suppress.

    Attributes:
        output: name of the tensor.
        quantisation: of it.
        rows: how many detections it holds at most.
        size: width and height of the picture, pixels.
    """

    output: str
    quantisation: Quantisation
    rows: int
    size: tuple[int, int]

    @property
    def tensor_names(self) -> tuple[str, ...]:
        return (self.output,)

    def misfit(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Check name and shape."""
        return expect(shapes, self.output, (1, self.rows, _ROW))

    def decode(self, tensors: Sequence[NDArray[Any]], score_threshold: float) -> Detections:
        """Cut what is too weak; make corners shares of the picture where they are pixels."""
        table = self.quantisation.real(tensors[0].reshape(-1, _ROW))
        table = table[(table[:, 4] >= score_threshold) & np.isfinite(table[:, 5])]
        table = table[(table[:, 5] >= 0) & (table[:, 5] < np.iinfo(np.int16).max)]
        boxes = table[:, :4]
        if (boxes > _LARGEST_SHARE).any():
            boxes = shares(boxes, self.size)
        numbers = np.rint(table[:, 5]).astype(np.int32)
        found = Detections.of(boxes, table[:, 4], numbers + np.int32(1))
        return found.where(np.arange(len(found)) < MAX_DETECTIONS)


def recognise(graph: GraphInfo, *, told: bool) -> Recognised | None:
    """Return the head of a graph that has one; ``told``: the manifest says so.

    A row a detection, not a cell: there are not as many as cells.
    """
    if len(graph.outputs) != 1 or len(graph.outputs[0].shape) != 3:
        return None
    output, size = graph.outputs[0], picture_size(graph)
    rows, columns = output.shape[1:]
    cells = {count(size, strides) for strides in (THREE, FOUR, FOUR_FINE)}
    if columns != _ROW or rows == 0 or (rows in cells and not told):
        return None
    head = EndToEndHead(output.name, output.quantisation, rows, size)
    return Recognised(head, CONVENTION, None, 1, NORMALISATION)
