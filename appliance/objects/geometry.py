"""Points, polygons and lines on the picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Point = tuple[float, float]


def inside(polygon: Sequence[Point], x: float, y: float) -> bool:
    """Say whether a point lies in a polygon, by the even-odd rule."""
    odd = False
    last_x, last_y = polygon[-1]
    for next_x, next_y in polygon:
        if (next_y > y) != (last_y > y):
            at = next_x + (y - next_y) * (last_x - next_x) / (last_y - next_y)
            if x < at:
                odd = not odd
        last_x, last_y = next_x, next_y
    return odd


class Segment:
    """A line from ``start`` to ``end``, in heights of the picture.

    Raises:
        ValueError: it has no length.
    """

    __slots__ = ("_length", "_start", "_unit")

    def __init__(self, start: Point, end: Point) -> None:
        self._start = start
        off = end[0] - start[0], end[1] - start[1]
        self._length = math.hypot(*off)
        if not self._length:
            raise ValueError("the line has no length")
        self._unit = off[0] / self._length, off[1] / self._length

    def place(self, x: float, y: float) -> Point:
        """Return how far along the line a point lies, and how far to its right (left: negative).

        Right is what is on the right hand of who looks from start to end on the picture.
        """
        off_x, off_y = x - self._start[0], y - self._start[1]
        unit_x, unit_y = self._unit
        return off_x * unit_x + off_y * unit_y, off_y * unit_x - off_x * unit_y

    def crossed(self, before: Point, after: Point) -> bool:
        """Say whether the way between two places (see ``place``) leads through the line itself."""
        along_a, right_a = before
        along_b, right_b = after
        if right_a == right_b:
            return False
        along = along_a + (along_b - along_a) * right_a / (right_a - right_b)
        return 0 <= along <= self._length
