"""What a wild frame must not change: in a zone or not, on which side of a line, still or moving.

Each needs to be so in several looks and for some time before it counts: seconds alone would let
one frame of a slow board decide, looks alone a tenth of a second of a fast one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from appliance.objects.geometry import Point, Segment

LOOKS = 3
SECONDS = 0.25
LINE_LOOKS = 2
LINE_BAND = 0.05
"""An object is beyond a line once it is so far from it, in its own heights."""
STILL_SECONDS = 5.0
STILL_SIZES = 0.15
"""Within so many sizes of where it was, an object has not moved: its box wobbles."""
MOVED_SIZES = 0.3

Direction = Literal["in", "out"]


class Presence:
    """Whether an object is in a zone.

    Args:
        is_inside: where it is when it is known to be an object; that took some looks.
        now_ns: CLOCK_MONOTONIC.

    Attributes:
        inside: whether it is.
        since_ns: since when.
    """

    __slots__ = ("_began_ns", "_run", "inside", "since_ns")

    def __init__(self, *, is_inside: bool, now_ns: int) -> None:
        self.inside = is_inside
        self.since_ns = self._began_ns = now_ns
        self._run = 0

    def look(self, *, is_inside: bool, now_ns: int) -> bool:
        """Take where it was seen; True if it went in or out."""
        if is_inside == self.inside:
            self._run = 0
            return False
        if not self._run:
            self._began_ns = now_ns
        self._run += 1
        if self._run < LOOKS or now_ns - self._began_ns < SECONDS * 1e9:
            return False
        self.inside = is_inside
        self.since_ns = self._began_ns
        self._run = 0
        return True


class Side:
    """On which side of a line an object is."""

    __slots__ = ("_place", "_run", "_side")

    def __init__(self) -> None:
        self._side = 0
        self._run = 0
        self._place: Point = (0.0, 0.0)

    def look(self, line: Segment, x: float, y: float, height: float) -> Direction | None:
        """Take where it was seen, in heights of the picture; return the way it crossed."""
        place = line.place(x, y)
        right = place[1]
        if abs(right) < LINE_BAND * height:
            return None
        side = 1 if right > 0 else -1
        if side == self._side or not self._side:
            self._side, self._place, self._run = side, place, 0
            return None
        self._run += 1
        if self._run < LINE_LOOKS:
            return None
        crossed = line.crossed(self._place, place)
        self._side, self._place, self._run = side, place, 0
        if not crossed:
            return None
        return "in" if side > 0 else "out"


class Stillness:
    """Whether an object stands still.

    Attributes:
        still: whether it does.
    """

    __slots__ = ("_run", "_since_ns", "_x", "_y", "still")

    def __init__(self, x: float, y: float, now_ns: int) -> None:
        self._x, self._y, self._since_ns = x, y, now_ns
        self._run = 0
        self.still = False

    def look(self, x: float, y: float, size: float, now_ns: int) -> None:
        """Take where its centre was seen, and the square root of its area."""
        off = max(abs(x - self._x), abs(y - self._y))
        if off <= (MOVED_SIZES if self.still else STILL_SIZES) * size:
            self._run = 0
            self.still = self.still or now_ns - self._since_ns >= STILL_SECONDS * 1e9
            return
        self._run += 1
        if self._run >= LOOKS or not self.still:
            self._x, self._y, self._since_ns = x, y, now_ns
            self._run = 0
            self.still = False
