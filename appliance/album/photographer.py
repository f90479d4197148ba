"""Which frames become pictures: those of new objects and better looks, and those asked for."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.album.drawing import with_boxes
from appliance.clock import NS_PER_SECOND
from appliance.errors import FrameError
from appliance.values import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.album.drawing import Drawer
    from appliance.values import Observation, Pixels

MOST_ASKED = 8
"""Requests that may wait for the next frame."""


class Bucket:
    """Lets so many pass a minute; what was not used is saved up for one.

    Args:
        per_minute: how many.
    """

    def __init__(self, per_minute: float) -> None:
        self._most = max(1.0, per_minute)
        self._rate = per_minute / 60 / NS_PER_SECOND
        self._left = self._most
        self._at_ns: int | None = None

    def take(self, now_ns: int) -> bool:
        """Say whether one more may pass; ``now_ns`` on CLOCK_MONOTONIC never goes back."""
        if self._at_ns is not None:
            self._left = min(self._most, self._left + (now_ns - self._at_ns) * self._rate)
        self._at_ns = now_ns
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(frozen=True, slots=True)
class Taken:
    """The pictures of a frame.

    Attributes:
        clean: without boxes; None where none was taken.
        boxed: the same, with the boxes of all that was seen.
        objects: ids of the events that it belongs to.
        asked: ids of the requests that it answers.
    """

    clean: Picture | None = None
    boxed: Picture | None = None
    objects: frozenset[str] = frozenset()
    asked: tuple[str, ...] = ()


NONE = Taken()


@dataclass(slots=True)
class Photographer:
    """Of one camera. Results come one at a time; requests from any thread.

    Attributes:
        drawer: makes the JPEGs.
        bucket: how many there may be; those that are asked for are not counted.
        name: of a label id.
        left_out: pictures that there would have been one too many of, or that could not be made.
    """

    drawer: Drawer
    bucket: Bucket
    name: Callable[[int], str]
    left_out: int = 0
    _asked: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_ASKED))

    def ask(self, request: str) -> None:
        """Have a picture taken of the next frame."""
        self._asked.append(request)

    def look(self, seen: Observation) -> Taken:
        """Return the pictures of a frame, if any is wanted."""
        asked = tuple(self._drain())
        wanted = frozenset(
            event.id
            for event in seen.happened.events
            if event.change == "new" or "better" in event.news
        )
        if wanted and not self.bucket.take(seen.times.captured_ns):
            wanted = frozenset()
            self.left_out += 1
        if seen.frame is None or not (wanted or asked):
            return NONE
        try:
            rgb = self.drawer.upright(seen.frame)
        except FrameError:
            self.left_out += 1
            return NONE
        found = seen.detections
        rows = zip(
            found.boxes.tolist(), found.scores.tolist(), found.label_ids.tolist(), strict=True
        )
        boxes = [(f"{self.name(label)} {score:.2f}", tuple(box)) for box, score, label in rows]
        return Taken(
            self._picture(rgb, seen), self._picture(with_boxes(rgb, boxes), seen), wanted, asked
        )

    def _drain(self) -> Iterator[str]:
        while self._asked:
            yield self._asked.popleft()

    def _picture(self, rgb: Pixels, seen: Observation) -> Picture:
        height, width = rgb.shape[:2]
        return Picture(self.drawer.encode(rgb), width, height, seen.times.captured_ns)
