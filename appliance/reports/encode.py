"""From values of the pipeline to fields of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from appliance.clock import NS_PER_SECOND, wall_of
from appliance.reports.common import Box
from appliance.reports.objects import LineCrossing, Look, PlaceInfo, TotalsInfo, ZoneStay

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.clock import Clock
    from appliance.values.happened import ObjectEvent, ObjectState, Place, Stay

_DIGITS = 4
_SECONDS_DIGITS = 3


def rounded_box(corners: Iterable[float]) -> Box:
    """Return xmin, ymin, xmax, ymax as x, y, w, h, four decimals."""
    x0, y0, x1, y1 = (round(value, _DIGITS) for value in corners)
    return Box(x=x0, y=y0, w=round(x1 - x0, _DIGITS), h=round(y1 - y0, _DIGITS))


def event_fields(event: ObjectEvent, clock: Clock) -> dict[str, Any]:
    """Return what an event's message says besides its head and camera."""
    return {
        "id": event.id,
        "event": event.change,
        "changes": event.news,
        "label": event.label,
        "label_id": event.label_id,
        "score": round(event.score, _DIGITS),
        "box": rounded_box(event.box),
        "best": Look(score=round(event.best_score, _DIGITS), box=rounded_box(event.best_box)),
        "stationary": event.stationary,
        "looks": event.looks,
        "began_at": wall_of(clock, event.first_ns),
        "last_seen_at": wall_of(clock, event.last_ns),
        "duration_seconds": _seconds(event.last_ns - event.first_ns),
        "zones": tuple(stay.zone for stay in event.stays if stay.left_ns is None),
        "stays": tuple(_stay(stay, event.last_ns, clock) for stay in event.stays),
        "crossings": tuple(
            LineCrossing(line=one.line, direction=one.direction, at=wall_of(clock, one.at_ns))
            for one in event.crossings
        ),
        "path": event.path,
        "ended": event.ending,
    }


def state_fields(state: ObjectState) -> dict[str, Any]:
    """Return what the message of a camera's state says besides its head and camera."""
    return {
        "watched": state.watched,
        "everywhere": _place(state.everywhere, state.watched),
        "zones": {name: _place(place, state.watched) for name, place in state.zones.items()},
        "totals": TotalsInfo(**msgspec.to_builtins(state.totals)),
    }


def _stay(stay: Stay, last_ns: int, clock: Clock) -> ZoneStay:
    end_ns = last_ns if stay.left_ns is None else stay.left_ns
    return ZoneStay(
        zone=stay.zone,
        entered_at=wall_of(clock, stay.entered_ns),
        left_at=None if stay.left_ns is None else wall_of(clock, stay.left_ns),
        seconds=_seconds(max(end_ns - stay.entered_ns, 0)),
    )


def _place(place: Place, watched: bool) -> PlaceInfo:  # noqa: FBT001 - goes with the state
    if not watched:
        return PlaceInfo(counts=None, stationary=None, occupied=None)
    return PlaceInfo(counts=place.counts, stationary=place.stationary, occupied=place.occupied)


def _seconds(duration_ns: int) -> float:
    return round(duration_ns / NS_PER_SECOND, _SECONDS_DIGITS)
