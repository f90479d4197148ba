"""The motion gate: is there anything new in this frame, worth an inference?

A frame is compared with the last one that was let through, on a tiny grey picture, so slow changes
add up until they count, and whatever stands still was seen by the inference before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.clock import NS_PER_SECOND
from appliance.preprocess import layout

if TYPE_CHECKING:
    from appliance.preprocess import View
    from appliance.values import Frame, Pixels

GREY_SIZE = (64, 36)
"""Width, height of what is compared: a person who is a tenth of the frame's height covers some of
its pixels."""
_SAMPLED_SIZE = (256, 144)
"""About as many pixels are sampled, then averaged four by four: noise shrinks to a quarter."""
GREY_STEP = 12
"""Grey levels (of 255) by which a tiny pixel must differ to count: more than noise leaves of it."""


class MotionGate:
    """Lets frames through in which something moved, and one now and then. One for each camera.

    Args:
        view: only its crop is looked at.
        threshold: share of the tiny picture, 0..1, that must have changed.
        keepalive_seconds: longest that nothing is let through.
    """

    def __init__(self, view: View, threshold: float, keepalive_seconds: float) -> None:
        self._view = view
        self._least = max(1, round(threshold * GREY_SIZE[0] * GREY_SIZE[1]))
        self._keepalive_ns = round(keepalive_seconds * NS_PER_SECOND)
        self._reference: Pixels | None = None
        self._admitted_ns = 0

    def admits(self, frame: Frame, now_ns: int) -> bool:
        """Say whether the frame is worth an inference; if so, later ones are compared with it."""
        grey = tiny_grey(frame, self._view)
        known = self._reference
        due = now_ns - self._admitted_ns >= self._keepalive_ns
        if known is not None and not due and changed(known, grey) < self._least:
            return False
        self._reference, self._admitted_ns = grey, now_ns
        return True


def tiny_grey(frame: Frame, view: View) -> Pixels:
    """Return the looked-at part of a frame, uint8 (36, 64): Y, or green, which is nearly that."""
    x0, y0, x1, y1 = layout(view, frame.width, frame.height, *GREY_SIZE).crop
    plane = frame.pixels[..., 1] if frame.pixels.ndim == 3 else frame.pixels
    step_x, step_y = max(1, (x1 - x0) // _SAMPLED_SIZE[0]), max(1, (y1 - y0) // _SAMPLED_SIZE[1])
    sampled = np.ascontiguousarray(plane[y0:y1:step_y, x0:x1:step_x])
    return np.asarray(cv2.resize(sampled, GREY_SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def changed(one: Pixels, other: Pixels) -> int:
    """Return how many pixels differ by more than ``GREY_STEP``."""
    return int(np.count_nonzero(cv2.absdiff(one, other) > GREY_STEP))
