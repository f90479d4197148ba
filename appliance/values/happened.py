"""What happened in front of a camera: values from the objects' room to who publishes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Change = Literal["new", "update", "end"]
Ending = Literal["", "left", "unwatched", "stopped", "restarted"]
Direction = Literal["in", "out"]
Counts = dict[str, int]
"""By label."""


@dataclass(frozen=True, slots=True)
class Stay:
    """A time that an object spent in a zone.

    Attributes:
        zone: its name.
        entered_ns, left_ns: CLOCK_MONOTONIC; None while it is there.
    """

    zone: str
    entered_ns: int
    left_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Crossing:
    """An object crossed a line, at ``at_ns`` (CLOCK_MONOTONIC)."""

    line: str
    direction: Direction
    at_ns: int


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """One object, as of now.

    Attributes:
        id: unique for ever.
        change: what this is about: the object is new, something became of it, it is gone.
        news: what became of it, in words of ``reports.messages``.
        label, label_id: what most looks said.
        score, box: of the last look; box is xmin, ymin, xmax, ymax in 0..1 of the frame.
        best_score, best_box: of the best look.
        first_ns, last_ns: when it was first and last seen, CLOCK_MONOTONIC.
        looks: in how many frames it was seen.
        stationary: whether it stands still.
        stays: in zones, in order.
        crossings: of lines, in order.
        path: where it was, middle of its lower edge, few points.
        ending: why it is gone; empty while it is there.
    """

    id: str
    change: Change
    news: tuple[str, ...]
    label: str
    label_id: int
    score: float
    box: tuple[float, float, float, float]
    best_score: float
    best_box: tuple[float, float, float, float]
    first_ns: int
    last_ns: int
    looks: int
    stationary: bool
    stays: tuple[Stay, ...]
    crossings: tuple[Crossing, ...]
    path: tuple[tuple[float, float], ...]
    ending: Ending = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """What a camera counted, for ever.

    Attributes:
        objects: new ones.
        zones: entries, by zone.
        lines: crossings, by line and direction.
        stays: ended stays in zones, by zone.
        stay_seconds: how long those were, together, by zone.
    """

    objects: Counts = field(default_factory=dict)
    zones: dict[str, Counts] = field(default_factory=dict)
    lines: dict[str, dict[str, Counts]] = field(default_factory=dict)
    stays: dict[str, Counts] = field(default_factory=dict)
    stay_seconds: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """What is in a place: a zone, or the whole picture.

    Attributes:
        counts: objects there now.
        stationary: those of them that stand still.
        occupied: whether any was there just now.
    """

    counts: Counts
    stationary: Counts
    occupied: dict[str, bool]


@dataclass(frozen=True, slots=True)
class ObjectState:
    """What is in front of a camera, and what was counted.

    Attributes:
        watched: somebody looks; else the places say nothing.
        everywhere: the whole picture.
        zones: by name.
        totals: of the camera.
    """

    watched: bool
    everywhere: Place
    zones: dict[str, Place]
    totals: Totals


@dataclass(frozen=True, slots=True)
class Happened:
    """What a look brought.

    Attributes:
        events: in order.
        state: None where it is as it was.
        better: ids of objects that this look shows better than any before.
        changed: the objects, their labels, zones or stillness are other than at the last look.
    """

    events: tuple[ObjectEvent, ...] = ()
    state: ObjectState | None = None
    changed: bool = False
    better: frozenset[str] = frozenset()


NOTHING = Happened()
