"""Objects that move before a camera, with truth: what a detector would see of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from appliance.clock import NS_PER_SECOND
from appliance.values import ClockOrigin, Detections, Observation, StageTimes

WIDTH, HEIGHT = 1280, 720


@dataclass(frozen=True)
class Walker:
    """An object that goes straight on.

    Attributes:
        x, y: of its foot at ``begin``, in 0..1.
        speed_x, speed_y: a second, in 0..1.
        begin, end: seconds in which it is there.
        height, width: in 0..1.
        label_id: of what it is.
    """

    x: float
    y: float
    speed_x: float = 0.0
    speed_y: float = 0.0
    begin: float = 0.0
    end: float = 1e9
    height: float = 0.2
    width: float = 0.05
    label_id: int = 1

    def box(self, seconds: float) -> tuple[float, float, float, float] | None:
        """Return xmin, ymin, xmax, ymax; None while it is not there."""
        if not self.begin <= seconds < self.end:
            return None
        x = self.x + self.speed_x * (seconds - self.begin)
        y = self.y + self.speed_y * (seconds - self.begin)
        return x - self.width / 2, y - self.height, x + self.width / 2, y


class Eyes:
    """A detector that errs: noise, misses, mistaken labels. Repeatable.

    Args:
        seed: of its errors.
        noise: of each edge, in sizes of the box.
        miss: share of the looks in which an object is not seen.
        mistake: share of the looks in which its label is another one.
    """

    def __init__(
        self, seed: int = 0, *, noise: float = 0.03, miss: float = 0.1, mistake: float = 0.0
    ) -> None:
        self._chance = np.random.default_rng(seed)
        self._noise, self._miss, self._mistake = noise, miss, mistake

    def look(self, walkers: tuple[Walker, ...], seconds: float) -> Detections:
        """Return what is seen at a moment."""
        rows = []
        for one in walkers:
            box = one.box(seconds)
            if box is None or self._chance.random() < self._miss:
                continue
            sides = np.array([one.width, one.height] * 2)
            wobbly = np.array(box) + sides * self._chance.normal(0, self._noise, 4)
            wrong = self._chance.random() < self._mistake
            score = float(np.clip(self._chance.normal(0.75, 0.08), 0.55, 0.99))
            rows.append((wobbly, score, 17 if wrong else one.label_id))
        if not rows:
            return Detections.empty()
        boxes, scores, labels = zip(*rows, strict=True)
        return seen(np.array(boxes), np.array(scores), np.array(labels))


def seen(boxes: Any, scores: Any, label_ids: Any) -> Detections:
    """Return detections of plain numbers."""
    return Detections.of(
        np.asarray(boxes, np.float32),
        np.asarray(scores, np.float32),
        np.asarray(label_ids, np.int32),
    )


def observation(found: Detections, seconds: float, seq: int = 0) -> Observation:
    """Return what a frame of that moment shows."""
    now_ns = round(seconds * NS_PER_SECOND)
    times = StageTimes(*(now_ns,) * 6)
    return Observation("front", seq, WIDTH, HEIGHT, ClockOrigin.READ, found, times)
