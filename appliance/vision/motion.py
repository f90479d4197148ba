"""The motion gate: is there anything new in this frame, worth an inference?

A frame is compared with the last one that was let through, on a tiny picture, so slow changes
add up until they count, and whatever stands still was seen by the inference before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.clock import NS_PER_SECOND
from appliance.vision.preprocess import Preprocessor

if TYPE_CHECKING:
    from appliance.values import Frame, Pixels
    from appliance.vision.preprocess import Placement, View

TINY_SIZE = (64, 36)
"""Width, height of what is compared."""
_SAMPLED_SIZE = (256, 144)
"""Sampled from the frame first; each tiny pixel is the mean of sixteen of these, so the noise of a
sensor shrinks to a quarter."""
STEP = 12
"""Levels (of 255) by which a tiny pixel must differ to count: more than noise leaves of it."""


class MotionGate:
    """Lets frames through in which something moved, and one now and then. One for each camera.

    Args:
        view: only its crop is looked at.
        threshold: share of the tiny picture, 0..1, that must have changed.
        keepalive_seconds: longest that nothing is let through.
    """

    def __init__(self, view: View, threshold: float, keepalive_seconds: float) -> None:
        self._layouts = Preprocessor(view, *TINY_SIZE)
        self._least = max(1, round(threshold * TINY_SIZE[0] * TINY_SIZE[1]))
        self._keepalive_ns = round(keepalive_seconds * NS_PER_SECOND)
        self._reference: Pixels | None = None
        self._candidate: Pixels | None = None
        self._accepted_ns = 0

    def moved(self, frame: Frame, now_ns: int) -> bool:
        """Say whether the frame is worth an inference; if it gets one, call ``accept``."""
        self._candidate = tiny(frame, self._layouts.plan(frame))
        known = self._reference
        due = now_ns - self._accepted_ns >= self._keepalive_ns
        return known is None or due or changed(known, self._candidate) >= self._least

    def accept(self, now_ns: int) -> None:
        """Compare later frames with the one that ``moved`` was asked of last."""
        self._reference, self._accepted_ns = self._candidate, now_ns

    def forget(self) -> None:
        """Let the next frame through: the inference of the last one failed. From any thread."""
        self._reference = None


def tiny(frame: Frame, plan: Placement) -> Pixels:
    """Return the looked-at part of a frame, uint8 (36, 64, 3), or (36, 64) of formats with Y."""
    x0, y0, x1, y1 = plan.crop
    part = frame.planes[0][y0:y1, x0:x1]
    sampled = cv2.resize(part, _SAMPLED_SIZE, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(sampled, TINY_SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def changed(one: Pixels, other: Pixels) -> int:
    """Return how many pixels differ by more than ``STEP`` in any channel."""
    if one.shape != other.shape:
        return one.size  # the camera changed its format
    differs = cv2.absdiff(one, other) > STEP
    return int(np.count_nonzero(differs.any(axis=2) if differs.ndim == 3 else differs))
