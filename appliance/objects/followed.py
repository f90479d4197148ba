"""One object that is followed: its zones, lines, path and best look, and what is new of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.objects.geometry import inside
from appliance.objects.inertia import Presence, Side
from appliance.values.happened import Crossing, ObjectEvent, Stay

if TYPE_CHECKING:
    from appliance.config.scene import LineSettings, ZoneSettings
    from appliance.objects.geometry import Segment
    from appliance.objects.tally import Tally
    from appliance.objects.tracker import Track
    from appliance.values.happened import Change, Ending

UPDATE_SECONDS = 1.0
"""Least time between two updates of one object."""
BETTER = 0.05
"""A look is better when its score is so much higher than the best so far."""
MOST_TOLD = 32
"""Stays and crossings of an object, the newest: one that wavers for days would fill a packet."""
PATH_POINTS = 32
PATH_SIZES = 0.5
"""A point of the path is so many heights of the object from the last."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What is drawn on a camera's picture.

    Attributes:
        zones: in 0..1 of the frame.
        lines: each with its place in heights of the frame.
        aspect: width of the frame over its height.
    """

    zones: tuple[ZoneSettings, ...]
    lines: tuple[tuple[LineSettings, Segment], ...]
    aspect: float


class Followed:
    """One object. Not thread-safe.

    Args:
        event_id: unique for ever.
        track: as it was when it became an object.
        label: name of what it is.
        layout: what is drawn on the picture.
        tally: counts what happens.

    Attributes:
        id: unique for ever.
        improved: the last look was better than any before.
    """

    def __init__(
        self, event_id: str, track: Track, label: str, layout: Layout, tally: Tally
    ) -> None:
        self.track = track
        self.label = label
        self.id = event_id
        self._tally = tally
        self._score = track.score
        self._best = track.score, track.detected
        self._crossings: list[Crossing] = []
        self._past: list[Stay] = []
        self._entered: dict[str, tuple[int, str]] = {}
        self._label_since_ns = 0
        self._sides: dict[str, Side] = {}
        x, y = _foot(track)
        self._path = [(round(x, 4), round(y, 4))]
        self._news: list[str] = []
        self.improved = False
        self._told_ns = 0
        self._places = {
            zone.name: Presence(is_inside=inside(zone.polygon, x, y), now_ns=track.last_ns)
            for zone in layout.zones
        }
        tally.object(label)
        self._settle(layout, track.last_ns)
        self._cross(layout, x, y)

    @property
    def zones(self) -> tuple[str, ...]:
        """Return the zones that it is in."""
        return tuple(self._entered)

    @property
    def state(self) -> tuple[object, ...]:
        """Return what makes it another state of affairs when it changes."""
        return self.track.number, self.label, self.track.stationary, self.zones

    def look(self, track: Track, label: str, layout: Layout) -> None:
        """Take where it is now."""
        before, self.track = self.track, track
        self.improved = False
        if not track.seen:
            return
        self._score = track.score
        if label != self.label:
            self.label, self._label_since_ns = label, track.last_ns
            self._news.append("label")
        if track.stationary != before.stationary:
            self._news.append("stationary" if track.stationary else "moving")
        if track.score >= self._best[0] + BETTER:
            self._best = track.score, track.detected
            self._news.append("better")
            self.improved = True
        x, y = _foot(track)
        height = track.box[3] - track.box[1]
        self._walk(x, y, height, layout.aspect)
        if layout.zones:
            for zone in layout.zones:
                is_inside = inside(zone.polygon, x, y)
                self._places[zone.name].look(is_inside=is_inside, now_ns=track.last_ns)
            self._settle(layout, track.last_ns)
        if layout.lines:
            self._cross(layout, x, y)

    def told(self, now_ns: int) -> None:
        """Note that what is new was told."""
        self._told_ns = now_ns
        self._news.clear()

    def due(self, now_ns: int) -> bool:
        """Say whether there is news, and time to tell it."""
        return bool(self._news) and now_ns - self._told_ns >= UPDATE_SECONDS * 1e9

    def end(self) -> None:
        """Leave all zones: it was last seen there."""
        for zone in tuple(self._entered):
            self._leave(zone, self.track.last_ns)

    def event(self, change: Change, ending: Ending = "") -> ObjectEvent:
        """Return what is known of it."""
        track = self.track
        here = (Stay(zone, since_ns) for zone, (since_ns, _) in self._entered.items())
        return ObjectEvent(
            id=self.id,
            change=change,
            news=tuple(dict.fromkeys(self._news)),
            label=self.label,
            label_id=track.label_id,
            score=self._score,
            box=track.detected,
            best_score=self._best[0],
            best_box=self._best[1],
            first_ns=track.first_ns,
            last_ns=track.last_ns,
            looks=track.looks,
            stationary=track.stationary,
            stays=(*self._past, *here),
            crossings=tuple(self._crossings),
            path=tuple(self._path),
            ending=ending,
        )

    def _settle(self, layout: Layout, now_ns: int) -> None:
        """Note which zones it came into and which it left, as what it is."""
        for zone in layout.zones:
            place = self._places[zone.name]
            since_ns = max(place.since_ns, self._label_since_ns)
            is_there = (
                place.inside
                and (not zone.labels or self.label in zone.labels)
                and now_ns - since_ns >= zone.loitering_seconds * 1e9
            )
            if is_there and zone.name not in self._entered:
                self._entered[zone.name] = since_ns, self.label
                self._tally.entered(zone.name, self.label)
                self._news.append("entered")
            elif zone.name in self._entered and not (
                place.inside and (not zone.labels or self.label in zone.labels)
            ):
                entered_ns, _ = self._entered[zone.name]
                left_ns = now_ns if place.inside else place.since_ns
                self._leave(zone.name, max(left_ns, entered_ns))
                self._news.append("left")

    def _leave(self, zone: str, left_ns: int) -> None:
        entered_ns, label = self._entered.pop(zone)
        self._past.append(Stay(zone, entered_ns, left_ns))
        del self._past[:-MOST_TOLD]
        self._tally.left(zone, label, (left_ns - entered_ns) / 1e9)

    def _cross(self, layout: Layout, x: float, y: float) -> None:
        height = self.track.box[3] - self.track.box[1]
        for line, segment in layout.lines:
            side = self._sides.setdefault(line.name, Side())
            direction = side.look(segment, x * layout.aspect, y, height)
            if direction is not None and (not line.labels or self.label in line.labels):
                self._crossings.append(Crossing(line.name, direction, self.track.last_ns))
                del self._crossings[:-MOST_TOLD]
                self._tally.crossed(line.name, direction, self.label)
                self._news.append("crossed")

    def _walk(self, x: float, y: float, height: float, aspect: float) -> None:
        last_x, last_y = self._path[-1]
        off = max(abs(x - last_x) * aspect, abs(y - last_y))
        if off < PATH_SIZES * height:
            return
        self._path.append((round(x, 4), round(y, 4)))
        if len(self._path) > PATH_POINTS:
            del self._path[1:-1:2]


def _foot(track: Track) -> tuple[float, float]:
    """Return where an object stands: the middle of its lower edge, in the picture."""
    x0, _, x1, y1 = track.box
    return min(max((x0 + x1) / 2, 0.0), 1.0), min(max(y1, 0.0), 1.0)
