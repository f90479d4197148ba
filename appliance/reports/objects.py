"""Messages about objects: what became of each, and how many are where.

Names follow ONVIF's JSON scene description where it has one; docs/mqtt.md has the table.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from appliance.reports.common import Box, Message, Moment

Counts = Annotated[dict[str, int], Meta(description="By label.")]
Ways = dict[str, Counts]


class Look(Struct, frozen=True, kw_only=True):
    """One look at an object."""

    score: Annotated[float, Meta(ge=0, le=1)]
    box: Box


class ZoneStay(Struct, frozen=True, kw_only=True):
    """A time that an object spent in a zone."""

    zone: str
    entered_at: Moment
    left_at: Annotated[str | None, Meta(description="RFC 3339, UTC; null while it is there.")]
    seconds: Annotated[float, Meta(ge=0, description="Until it left, or was last seen.")]


class LineCrossing(Struct, frozen=True, kw_only=True):
    """An object crossed a line."""

    line: str
    direction: Literal["in", "out"]
    at: Moment


class EventMessage(Message, frozen=True, kw_only=True):
    """One object: it is there, something became of it, it is gone."""

    schema: Literal["appliance.event/1"] = "appliance.event/1"
    camera: str
    id: Annotated[str, Meta(description="Of the object; unique for ever (ULID).")]
    event: Literal["new", "update", "end"]
    changes: Annotated[
        tuple[
            Literal["label", "stationary", "moving", "entered", "left", "crossed", "better"], ...
        ],
        Meta(description="For update: what is other than in the message before."),
    ]
    label: Annotated[str, Meta(description="What most looks said.")]
    label_id: int
    score: Annotated[float, Meta(ge=0, le=1, description="Of the last look.")]
    box: Annotated[Box, Meta(description="Where it was last seen.")]
    best: Annotated[Look, Meta(description="The look with the highest score.")]
    stationary: bool
    looks: Annotated[int, Meta(description="Frames in which it was seen.")]
    began_at: Moment
    last_seen_at: Moment
    duration_seconds: float
    zones: Annotated[tuple[str, ...], Meta(description="In which it is now.")]
    stays: tuple[ZoneStay, ...]
    crossings: tuple[LineCrossing, ...]
    path: Annotated[
        tuple[tuple[float, float], ...],
        Meta(description="Where it stood, x and y in 0..1, few points."),
    ]
    snapshot: Annotated[
        str | None,
        Meta(description="SHA-256 of the picture sent with this; null where none is."),
    ] = None
    ended: Annotated[
        Literal["", "left", "unwatched", "stopped", "restarted"],
        Meta(
            description="For end. left: out of sight. unwatched: no frames came. stopped: the "
            "unit ended, or its lines, zones or model changed. restarted: the unit died; told at "
            "its next start."
        ),
    ]


class PlaceInfo(Struct, frozen=True, kw_only=True):
    """What is in the picture or in a zone; null while nobody looks."""

    counts: Annotated[dict[str, int] | None, Meta(description="Objects there now, by label.")]
    stationary: Annotated[dict[str, int] | None, Meta(description="Those that stand still.")]
    occupied: Annotated[
        dict[str, bool] | None,
        Meta(description="Whether any is there, or was within occupancy_seconds; by label."),
    ]


class TotalsInfo(Struct, frozen=True, kw_only=True):
    """What the camera counted, over all starts of the unit."""

    objects: Counts
    zones: Annotated[dict[str, Counts], Meta(description="Entries, by zone and label.")]
    lines: Annotated[
        dict[str, Ways], Meta(description="Crossings, by line, direction (in, out) and label.")
    ]
    stays: Annotated[dict[str, Counts], Meta(description="Stays that ended, by zone and label.")]
    stay_seconds: Annotated[
        dict[str, dict[str, float]], Meta(description="How long those were, together.")
    ]


class ObjectsMessage(Message, frozen=True, kw_only=True):
    """What is before a camera, and what was counted."""

    schema: Literal["appliance.objects/1"] = "appliance.objects/1"
    camera: str
    watched: Annotated[bool, Meta(description="False while no frames come.")]
    everywhere: PlaceInfo
    zones: dict[str, PlaceInfo]
    totals: TotalsInfo
