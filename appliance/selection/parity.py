"""Does an accelerator see what it should? Pure functions on detections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.sources.pictures.scene import TrueBox
    from appliance.values import Detections, Floats

SCORE_THRESHOLD = 0.5
"""What counts as seen on the golden pictures."""
MIN_IOU = 0.9
"""Boxes of the same weights: 8 bits against 32 differ by up to 0.08 on the golden pictures."""
SCORE_TOLERANCE = 0.15
"""Scores of the same weights: 8 bits against 32 differ by up to 0.05 on the golden pictures."""
MIN_TRUE_IOU = 0.5
"""Boxes of other weights against the truth: COCO's loosest bar."""


def differences(got: Detections, reference: Detections) -> str:
    """Say how ``got`` differs from ``reference``, of the same weights; empty if it does not.

    Weaker detections around the threshold may come and go; those clearly above it may not.
    """
    for index in _clear(reference):
        wrong = _unmatched(reference, int(index), got)
        if wrong:
            return f"the reference sees {wrong}"
    for index in _clear(got):
        wrong = _unmatched(got, int(index), reference)
        if wrong:
            return f"it sees {wrong} and the reference does not"
    return ""


def misses(got: Detections, names: tuple[str, ...], truth: tuple[TrueBox, ...]) -> str:
    """Say what of the picture was not seen by a model of other weights; empty if enough was.

    Args:
        got: detections.
        names: label of each.
        truth: what is in the picture; half of it, rounded up, must be found.
    """
    found = 0
    for one in truth:
        box = np.asarray([one.x, one.y, one.x + one.w, one.y + one.h], np.float32)
        same = np.asarray([name == one.label for name in names], bool)
        found += bool((iou(got.boxes[same], box) >= MIN_TRUE_IOU).any())
    if found * 2 >= len(truth):
        return ""
    shown = ", ".join(one.label for one in truth)
    return f"sees {', '.join(names) or 'nothing'} where {shown} are"


def iou(boxes: Floats, box: Floats) -> Floats:
    """Return the overlap of each of ``boxes`` (n, 4) with ``box`` (4,), both xyxy, 0..1."""
    low = np.maximum(boxes[:, :2], box[:2])
    high = np.minimum(boxes[:, 2:], box[2:])
    inside = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return np.asarray(inside / np.maximum(areas - inside, 1e-9), np.float32)


def _clear(seen: Detections) -> NDArray[np.intp]:
    return np.flatnonzero(seen.scores >= SCORE_THRESHOLD + SCORE_TOLERANCE)


def _unmatched(one: Detections, index: int, others: Detections) -> str:
    """Say what is wrong with the best partner of a detection; empty if nothing is."""
    box, label, score = one.boxes[index], one.label_ids[index], float(one.scores[index])
    shown = f"label {label} ({score:.2f})"
    same = others.label_ids == label
    if not same.any():
        return shown
    overlaps = iou(others.boxes[same], box)
    best = int(np.argmax(overlaps))
    if overlaps[best] < MIN_IOU:
        return f"{shown} elsewhere (IoU {overlaps[best]:.2f}, at least {MIN_IOU} is right)"
    other = float(others.scores[same][best])
    if abs(other - score) > SCORE_TOLERANCE:
        return f"{shown} with another score ({other:.2f}, {SCORE_TOLERANCE} apart is right)"
    return ""
