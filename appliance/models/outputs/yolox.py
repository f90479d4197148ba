"""YOLOX: one output (1, cells, 5 + classes): box, objectness, classes.

As exported, the box is relative to its cell: middle in strides from the cell's corner, logarithms
of width and height in strides. Exported with its decoding (there is an exponential in the graph)
it is pixels. Objectness and classes are after their sigmoid; their product is the score.
(Megvii YOLOX 0.3, yolox/models/yolo_head.py; pictures as yolox/data/data_augment.py has them.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.models.outputs.cells import THREE, cells, corners, count, in_pixels, shares
from appliance.models.outputs.seam import Normalisation, Recognised, expect, picture_size
from appliance.vision.postprocess import Quantisation, sigmoid, strongest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from appliance.models.graph import GraphInfo
    from appliance.values import Detections, Floats

CONVENTION = "yolox"
NORMALISATION = Normalisation(1.0, 0.0, "bgr")
_IOU_THRESHOLD = 0.45
"""What its demonstrations suppress at."""
_BOX, _OBJECTNESS, _CLASSES = 4, 4, 5


@dataclass(frozen=True, slots=True)
class YoloXHead:
    """Where one YOLOX file has its boxes, and whether they still need decoding.

    Attributes:
        output: name of the tensor.
        quantisation: of it.
        classes: how many it tells apart.
        size: width and height of the picture, pixels.
        decoded: boxes are pixels already.
        activated: the graph has applied its sigmoid.
    """

    output: str
    quantisation: Quantisation
    classes: int
    size: tuple[int, int]
    decoded: bool = False
    activated: bool = True

    @property
    def tensor_names(self) -> tuple[str, ...]:
        return (self.output,)

    def misfit(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Check name and shape."""
        return expect(shapes, self.output, (1, count(self.size, THREE), _CLASSES + self.classes))

    def decode(self, tensors: Sequence[NDArray[Any]], score_threshold: float) -> Detections:
        """Look at cells that hold something, take each one's best class, decode, suppress."""
        table = tensors[0].reshape(-1, _CLASSES + self.classes)
        objectness = self._probability(table[:, _OBJECTNESS])
        rows = np.flatnonzero(objectness >= score_threshold)
        known = self._probability(table[rows, _CLASSES:])
        columns = known.argmax(axis=1)
        scores = objectness[rows] * known[np.arange(len(rows)), columns]
        keep = scores >= score_threshold
        rows, columns, scores = rows[keep], columns[keep], scores[keep]
        return strongest(
            self._boxes(table, rows),
            scores,
            columns,
            iou_threshold=_IOU_THRESHOLD,
            label_offset=1,
        )

    def _probability(self, stored: NDArray[Any]) -> Floats:
        real = self.quantisation.real(stored)
        return real if self.activated else sigmoid(real)

    def _boxes(self, table: NDArray[Any], rows: NDArray[np.intp]) -> Floats:
        box = self.quantisation.real(table[rows, :_BOX])
        middle, extent = box[:, :2], box[:, 2:]
        if self.decoded:
            boxes = corners(middle, extent)
            pixels = in_pixels(self.quantisation.real(table[:, :2]))
            return shares(boxes, self.size) if pixels else boxes
        places, strides = cells(self.size, THREE)
        with np.errstate(over="ignore"):  # a box without end is refused with the others
            extent = np.exp(extent) * strides[rows]
        return shares(corners((middle + places[rows]) * strides[rows], extent), self.size)


def recognise(graph: GraphInfo, *, told: bool) -> Recognised | None:
    """Return the head of a graph that has one; ``told``: the manifest says so."""
    del told  # nothing that fits is left to another
    if len(graph.outputs) != 1 or len(graph.outputs[0].shape) != 3:
        return None
    output, size = graph.outputs[0], picture_size(graph)
    cell_count, columns = output.shape[1:]
    if cell_count != count(size, THREE) or columns <= _CLASSES:
        return None
    head = YoloXHead(
        output.name,
        output.quantisation,
        columns - _CLASSES,
        size,
        decoded=output.exponential,
        activated=not output.logits,
    )
    return Recognised(head, CONVENTION, columns - _CLASSES, 1, NORMALISATION)
