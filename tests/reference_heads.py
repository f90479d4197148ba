"""Heads decoded once more, a number at a time, from what the exporters' own code does.

Nothing here is shared with the appliance: no arrays, no helper, no constant.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Box = tuple[float, float, float, float]
Seen = tuple[int, float, Box]
"""Number of the class, score, and corners as shares of the picture."""


def yolov8(table: Any, width: int, height: int, lowest: float, *, pixels: bool) -> list[Seen]:
    """Decode (4 + classes, cells)."""
    found: list[Seen] = []
    for cell in range(len(table[0])):
        scores = [float(row[cell]) for row in table[4:]]
        best = max(range(len(scores)), key=scores.__getitem__)
        if scores[best] < lowest:
            continue
        x, y, w, h = (float(table[k][cell]) for k in range(4))
        if pixels:
            x, y, w, h = x / width, y / height, w / width, h / height
        found.append((best, scores[best], (x - w / 2, y - h / 2, x + w / 2, y + h / 2)))
    return _finished(found, 0.7)


def yolox(table: Any, width: int, height: int, lowest: float, *, decoded: bool) -> list[Seen]:
    """Decode (cells, 5 + classes)."""
    found: list[Seen] = []
    for (column, row, stride), line in zip(_cells(width, height, (8, 16, 32)), table, strict=True):
        x, y, w, h, objectness = (float(line[k]) for k in range(5))
        scores = [objectness * float(one) for one in line[5:]]
        best = max(range(len(scores)), key=scores.__getitem__)
        if scores[best] < lowest:
            continue
        if not decoded:
            x, y = (x + column) * stride, (y + row) * stride
            w, h = math.exp(w) * stride, math.exp(h) * stride
        box = (x - w / 2) / width, (y - h / 2) / height, (x + w / 2) / width, (y + h / 2) / height
        found.append((best, scores[best], box))
    return _finished(found, 0.45)


def nanodet(
    scores: Any, distances: Any, width: int, height: int, lowest: float, *, plus: bool
) -> list[Seen]:
    """Decode (cells, classes) and (cells, 4 * bins)."""
    found: list[Seen] = []
    strides = (8, 16, 32, 64) if plus else (8, 16, 32)
    middle = 0.0 if plus else 0.5
    for at, (column, row, stride) in enumerate(_cells(width, height, strides)):
        sides = []
        bins = len(distances[at]) // 4
        for side in range(4):
            powers = [math.exp(float(distances[at][side * bins + k])) for k in range(bins)]
            sides.append(sum(k * power for k, power in enumerate(powers)) / sum(powers) * stride)
        x, y = (column + middle) * stride, (row + middle) * stride
        left, top = max(x - sides[0], 0) / width, max(y - sides[1], 0) / height
        right, bottom = min(x + sides[2], width) / width, min(y + sides[3], height) / height
        found += [
            (number, float(score), (left, top, right, bottom))
            for number, score in enumerate(scores[at])
            if float(score) >= lowest
        ]
    return _finished(found, 0.6)


def end_to_end(table: Any, width: int, height: int, lowest: float, *, pixels: bool) -> list[Seen]:
    """Decode (n, 6)."""
    found: list[Seen] = []
    for line in table:
        x0, y0, x1, y1, score, number = (float(one) for one in line)
        if score >= lowest:
            if pixels:
                x0, y0, x1, y1 = x0 / width, y0 / height, x1 / width, y1 / height
            found.append((round(number), score, (x0, y0, x1, y1)))
    return _clipped(sorted(found, key=lambda one: -one[1]))[:100]


def _cells(width: int, height: int, strides: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    for stride in strides:
        for row in range(math.ceil(height / stride)):
            for column in range(math.ceil(width / stride)):
                yield column, row, stride


def _finished(found: list[Seen], most: float) -> list[Seen]:
    kept: list[Seen] = []
    for one in sorted(found, key=lambda one: -one[1]):
        if all(one[0] != other[0] or _overlap(one[2], other[2]) <= most for other in kept):
            kept.append(one)
    return _clipped(kept[:100])


def _overlap(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return wide * high / (sum(areas) - wide * high)


def _clipped(found: list[Seen]) -> list[Seen]:
    clipped = [
        (number, score, (max(b[0], 0.0), max(b[1], 0.0), min(b[2], 1.0), min(b[3], 1.0)))
        for number, score, b in found
    ]
    return [one for one in clipped if one[2][2] > one[2][0] and one[2][3] > one[2][1]]
