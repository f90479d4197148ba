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
    from collections.abc import Callable, Iterable, Iterator

    from appliance.album.drawing import Drawer
    from appliance.values import Observation, Pixels
    from appliance.values.happened import ObjectEvent

MOST_ASKED = 8
"""Requests that may wait for the next frame."""
SOON_SECONDS = 10.0
"""A frame that comes later is not the next one that somebody asked for."""


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
    """What is to be sent with a frame's events.

    Attributes:
        pictures: clean, each with the id of the event, or of the request, that it belongs to.
        boxed: of this frame, with the boxes of all that was seen; None where none was taken.
    """

    pictures: tuple[tuple[str, Picture], ...] = ()
    boxed: Picture | None = None

    def of(self, number: str) -> Picture | None:
        """Return the picture of an event; None where there is none."""
        return next((picture for name, picture in self.pictures if name == number), None)


NONE = Taken()


@dataclass(slots=True)
class Photographer:
    """Of one camera. Results come one at a time; requests from any thread.

    A better look is kept until its event is told, which may be some looks later.

    Attributes:
        drawer: makes the JPEGs.
        bucket: how many there may be; those that are asked for are not counted.
        name: of a label id.
    """

    drawer: Drawer
    bucket: Bucket
    name: Callable[[int], str]
    _asked: deque[tuple[str, int]] = field(default_factory=lambda: deque(maxlen=MOST_ASKED))
    _better: dict[str, Picture] = field(default_factory=dict)

    def ask(self, request: str, now_ns: int) -> None:
        """Have a picture taken of the next frame, if one comes soon (CLOCK_MONOTONIC)."""
        self._asked.append((request, now_ns))

    def forget(self, ids: Iterable[str]) -> None:
        """Keep no look at these objects: they ended without a frame."""
        for one in ids:
            self._better.pop(one, None)

    def look(self, seen: Observation) -> Taken:
        """Return what is to be sent with a frame."""
        asked = tuple(self._drain(seen.times.captured_ns))
        events = seen.happened.events
        new = frozenset(event.id for event in events if event.change == "new")
        wanted = frozenset(
            one
            for one in sorted(new | seen.happened.better)
            if self.bucket.take(seen.times.captured_ns)
        )
        rgb = self._upright(seen) if wanted or asked else None
        clean = boxed = None
        if rgb is not None:
            clean, boxed = self._picture(rgb, seen), self._picture(self._drawn(rgb, seen), seen)
            self._better |= dict.fromkeys(wanted - new, clean)
        told = [(event.id, self._picture_of(event, clean, wanted)) for event in events]
        told += [(request, clean) for request in asked]
        pictures = tuple((name, picture) for name, picture in told if picture is not None)
        return Taken(pictures, boxed) if pictures or boxed else NONE

    def _picture_of(
        self, event: ObjectEvent, clean: Picture | None, wanted: frozenset[str]
    ) -> Picture | None:
        if event.change == "new":
            return clean if event.id in wanted else None
        if event.change == "end" or "better" in event.news:
            kept = self._better.pop(event.id, None)
            return kept if event.change == "update" else None
        return None

    def _upright(self, seen: Observation) -> Pixels | None:
        if seen.frame is None:
            return None
        try:
            return self.drawer.upright(seen.frame)
        except FrameError:  # of this one there is no picture, and its events say so
            return None

    def _drawn(self, rgb: Pixels, seen: Observation) -> Pixels:
        found = seen.detections
        rows = zip(
            found.boxes.tolist(), found.scores.tolist(), found.label_ids.tolist(), strict=True
        )
        boxes = [(f"{self.name(label)} {score:.2f}", tuple(box)) for box, score, label in rows]
        return with_boxes(rgb, boxes)

    def _drain(self, captured_ns: int) -> Iterator[str]:
        while self._asked:
            request, asked_ns = self._asked.popleft()
            if captured_ns - asked_ns < SOON_SECONDS * NS_PER_SECOND:
                yield request

    def _picture(self, rgb: Pixels, seen: Observation) -> Picture:
        height, width = rgb.shape[:2]
        return Picture(self.drawer.encode(rgb), width, height, seen.times.captured_ns)
