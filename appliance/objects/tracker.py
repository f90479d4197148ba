"""The same object over time: from the boxes of each frame to tracks, one tracker a camera.

Works in seconds, not frames: the governor and slow boards change the rate of looks. Matching is
one greedy pass: known objects first, by overlap and then by distance within a gate that grows with
the uncertainty; then low scores, which only go on with what is known and never begin it; then what
is no object yet. To take what was seen last before what is out of sight was tried: a miss in ten
looks then costs identities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from appliance.objects import kalman
from appliance.objects.inertia import Stillness
from appliance.objects.kalman import P00, H, Rows, W, X, Y

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.values import Detections, Floats, Ints

MEMORY_SECONDS = 3.0
"""An object out of sight for so long is gone."""
MEMORY_LOOKS = 4
"""... and out of so many looks: a motion gate or a slow board looks seldom."""
CONFIRM_LOOKS = 3
"""Seen so often, an object is one: false boxes seldom stand at the same place thrice."""
CONFIRM_SECONDS = 0.12
"""... and for so long: three looks of a fast camera are one moment."""
UNCONFIRMED_MISSES = 2
"""Looks that what is no object yet may miss in a row."""
STILL_MEMORY_SECONDS = 30.0
"""What stood still and is out of sight for less was hidden by what passed before it."""
OVERLAP = 0.3
"""Least overlap (IoU) of a track's expected box with what goes on with it."""
GATE = 0.6
"""How far the centre may lie from where it is expected, in sizes of the box, at least."""
GATE_SIGMAS = 4.0
GATE_MOST = 2.5
SIZE_RATIO = 1.5
"""Heights that differ by more are two objects, where the boxes do not overlap."""
RIVAL_OVERLAP = 0.6
"""A box that covers a matched one by so much (IoU) is the same object under another label."""
OTHER_LABEL = 0.3
"""What an overlap loses where the labels differ."""
LEFT_MEMORY_SECONDS = 0.5
"""What is expected beyond the edge of the picture has left: who comes there next is another."""
_LEFT_MEMORY_NS = round(LEFT_MEMORY_SECONDS * 1e9)
_STILL_MEMORY_NS = round(STILL_MEMORY_SECONDS * 1e9)
VOTE_KEPT = 0.95
"""What a label's votes are worth at the next look: an object may turn, a mistake is outvoted."""


Corners = tuple[float, float, float, float]


class Track(msgspec.Struct, frozen=True, gc=False):
    """An object, as of one look.

    Attributes:
        number: of the track, since the tracker began; never used twice.
        box: xmin, ymin, xmax, ymax in 0..1 of the frame, smoothed; may reach out of it.
        detected: the box of the last detection that was it, as the detector gave it.
        label_id: what most looks said, newest counting most.
        score: of this look's detection; 0 where it was not seen.
        seen: in this look; else it is where it is expected.
        stationary: it stands still.
        looks: in how many looks it was seen.
        first_ns, last_ns: when it was first and last seen, CLOCK_MONOTONIC.
    """

    number: int
    box: Corners
    detected: Corners
    label_id: int
    score: float
    seen: bool
    stationary: bool
    looks: int
    first_ns: int
    last_ns: int


class _Memory:
    """What is known of a track besides its movement."""

    __slots__ = (
        "confirmed",
        "detected",
        "first_ns",
        "label_id",
        "last_ns",
        "looks",
        "missed",
        "number",
        "score",
        "stillness",
        "votes",
    )

    def __init__(self, number: int, now_ns: int, x: float, y: float) -> None:
        self.number = number
        self.stillness = Stillness(x, y, now_ns)
        self.first_ns = self.last_ns = now_ns
        self.looks = self.missed = 0
        self.confirmed = False
        self.votes: dict[int, float] = {}
        self.label_id = 0
        self.score = 0.0
        self.detected: Corners = (0.0, 0.0, 0.0, 0.0)

    def see(self, now_ns: int, score: float, label_id: int, corners: list[float]) -> None:
        self.looks += 1
        self.missed = 0
        self.last_ns = now_ns
        self.score = score
        self.detected = corners[0], corners[1], corners[2], corners[3]
        votes = self.votes
        if len(votes) > 1 or label_id not in votes:
            for one in votes:
                votes[one] *= VOTE_KEPT
            votes[label_id] = votes.get(label_id, 0.0) + score
            self.label_id = max(votes, key=votes.__getitem__)
        else:
            votes[label_id] = votes[label_id] * VOTE_KEPT + score
        if self.looks >= CONFIRM_LOOKS and now_ns - self.first_ns >= CONFIRM_SECONDS * 1e9:
            self.confirmed = True


class Tracker:
    """Not thread-safe.

    Args:
        memory_seconds: an object out of sight for so long is gone.
    """

    def __init__(self, memory_seconds: float = MEMORY_SECONDS) -> None:
        self._memory_ns = round(memory_seconds * 1e9)
        self._rows: Rows = np.empty((0, kalman.COLUMNS))
        self._known: list[_Memory] = []
        self._now_ns: int | None = None
        self._next = 1

    def step(
        self, found: Detections, sure: NDArray[np.bool_], *, aspect: float, now_ns: int
    ) -> list[Track]:
        """Take what was seen in a frame; return the objects there are.

        Args:
            found: what may be an object.
            sure: bool (n,), which of them may begin one; the others only go on with one.
            aspect: width of the frame over its height.
            now_ns: when the frame was taken, CLOCK_MONOTONIC; never goes back.
        """
        self._predict(now_ns)
        for one in self._known:
            one.missed += 1
        if len(found):
            self._match(_centred(found.boxes, aspect), found, sure, now_ns)
        self._forget(aspect, now_ns)
        return self._tell(aspect)

    def _predict(self, now_ns: int) -> None:
        """Move every track on; what stands still and is hidden stays where it is."""
        rows, before_ns, self._now_ns = self._rows, self._now_ns, now_ns
        if before_ns is None or not len(rows):
            return
        held = [at for at, one in enumerate(self._known) if one.missed and one.stillness.still]
        kept = rows[held] if held else None
        kalman.predict(rows, (now_ns - before_ns) / 1e9)
        if kept is not None:
            kept[:, kalman.SPEED] = 0
            rows[held] = kept

    def _match(self, boxes: Rows, found: Detections, sure: NDArray[np.bool_], now_ns: int) -> None:
        known = self._known
        scores, label_ids = found.scores.tolist(), found.label_ids.tolist()
        corners = found.boxes.tolist()
        tracks: list[int] = []
        matched: list[int] = []
        if known:
            tracks, matched = self._pairs(boxes, found.label_ids, sure)
        if tracks:
            rows = kalman.correct(self._rows[tracks], boxes[matched])
            self._rows[tracks] = rows
            places = rows[:, kalman.BOX].tolist()
            for track, box, (x, y, w, h) in zip(tracks, matched, places, strict=True):
                one = known[track]
                one.see(now_ns, scores[box], label_ids[box], corners[box])
                one.stillness.look(x, y, (w * h) ** 0.5, now_ns)
        fresh = [box for box in np.flatnonzero(sure).tolist() if box not in matched]
        if not fresh:
            return
        fresh = _without_rivals(boxes, matched, fresh)
        self._rows = np.concatenate([self._rows, kalman.born(boxes[fresh])])
        for box in fresh:
            x, y = boxes[box, :2].tolist()
            one = _Memory(self._next, now_ns, x, y)
            self._next += 1
            one.see(now_ns, scores[box], label_ids[box], corners[box])
            known.append(one)

    def _pairs(
        self, found: Rows, label_ids: Ints, high: NDArray[np.bool_]
    ) -> tuple[list[int], list[int]]:
        """Return which track goes on with which box.

        Every pair gets one number, so that a single greedy pass takes them in turns: known objects
        first, then low scores, then what is no object yet; in each, overlap before distance.
        """
        known, rows = self._known, self._rows
        labels = np.fromiter((one.label_id for one in known), np.int64, len(known))
        other = OTHER_LABEL * (labels[:, None] != label_ids)
        overlap = iou(rows[:, kalman.BOX], found) - other
        size = rows[:, H] * rows[:, W]
        gate = np.minimum(GATE + GATE_SIGMAS * np.sqrt(rows[:, P00] + kalman.MEASURED), GATE_MOST)
        off_x = rows[:, X, None] - found[:, 0]
        off_y = rows[:, Y, None] - found[:, 1]
        near = 1 - (off_x * off_x + off_y * off_y) / (gate * gate * size)[:, None] - other
        ratio = rows[:, H, None] / found[:, 3]
        near[(ratio > SIZE_RATIO) | (ratio * SIZE_RATIO < 1)] = 0
        sure = np.fromiter((one.confirmed for one in known), bool, len(known))[:, None]
        overlaps = overlap > OVERLAP
        score = np.where(overlaps, 1 + overlap, near)
        turn = np.where(sure, np.where(high, 4, np.where(overlaps, 2, -2)), np.where(high, 0, -2))
        return _greedy(np.where(score > 0, score + turn, 0))

    def _forget(self, aspect: float, now_ns: int) -> None:
        x, y = self._rows[:, X], self._rows[:, Y]
        outside = ((x < 0) | (x > aspect) | (y < 0) | (y > 1)).tolist()
        keep = [
            self._stays(one, now_ns, has_left=has_left)
            for one, has_left in zip(self._known, outside, strict=True)
        ]
        if not all(keep):
            self._rows = self._rows[keep]
            self._known = [one for one, stays in zip(self._known, keep, strict=True) if stays]

    def _stays(self, one: _Memory, now_ns: int, *, has_left: bool) -> bool:
        if not one.confirmed:
            return one.missed < UNCONFIRMED_MISSES
        if one.missed < MEMORY_LOOKS:
            return True
        memory_ns = _LEFT_MEMORY_NS if has_left else self._memory_ns
        if one.stillness.still:
            memory_ns = max(memory_ns, _STILL_MEMORY_NS)
        return now_ns - one.last_ns <= memory_ns

    def _tell(self, aspect: float) -> list[Track]:
        rows = self._rows
        half_w, half_h = rows[:, W] / (2 * aspect), rows[:, H] / 2
        x, y = rows[:, X] / aspect, rows[:, Y]
        boxes = np.stack([x - half_w, y - half_h, x + half_w, y + half_h], 1).tolist()
        return [
            Track(
                one.number,
                tuple(box),
                one.detected,
                one.label_id,
                one.score if not one.missed else 0.0,
                not one.missed,
                one.stillness.still,
                one.looks,
                one.first_ns,
                one.last_ns,
            )
            for one, box in zip(self._known, boxes, strict=True)
            if one.confirmed
        ]


def iou(a: Rows, b: Rows) -> Rows:
    """Return the overlap of every box of ``a`` with every one of ``b``: centre, width, height."""
    half_a, half_b = a[:, 2:] / 2, b[:, 2:] / 2
    low = np.maximum((a[:, :2] - half_a)[:, None], (b[:, :2] - half_b)[None])
    high = np.minimum((a[:, :2] + half_a)[:, None], (b[:, :2] + half_b)[None])
    side = np.maximum(high - low, 0)
    inside = side[..., 0] * side[..., 1]
    total = (a[:, 2] * a[:, 3])[:, None] + (b[:, 2] * b[:, 3])[None] - inside
    overlap: Rows = inside / total
    return overlap


def _without_rivals(found: Rows, matched: list[int], fresh: list[int]) -> list[int]:
    """Leave out boxes that are an object we have, under another label."""
    kept: list[int] = []
    for box in fresh:
        others = [*matched, *kept]
        if not others or iou(found[[box]], found[others]).max() < RIVAL_OVERLAP:
            kept.append(box)
    return kept


def _greedy(score: Rows) -> tuple[list[int], list[int]]:
    """Return rows and columns of the best pairs; 0 and less is none."""
    flat = score.ravel()
    candidates = np.flatnonzero(flat > 0)
    order = candidates[np.argsort(-flat[candidates], kind="stable")].tolist()
    rows: list[int] = []
    columns: list[int] = []
    width = score.shape[1]
    for place in order:
        row, column = divmod(place, width)
        if row not in rows and column not in columns:
            rows.append(row)
            columns.append(column)
    return rows, columns


def _centred(boxes: Floats, aspect: float) -> Rows:
    """Return boxes as centre x, y, width, height, in heights of the frame."""
    corners = boxes.astype(np.float64)
    corners[:, ::2] *= aspect
    low, high = corners[:, :2], corners[:, 2:]
    return np.concatenate([(low + high) / 2, high - low], 1)
