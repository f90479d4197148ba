"""Families about objects: how many are where now, and what was counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.sinks.exposition.family import counter, gauge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from appliance.reports.objects import ObjectsMessage, PlaceInfo

EVERYWHERE = ""
_PLACE = ("camera", "zone", "label")


def of_objects(cameras: dict[str, ObjectsMessage]) -> Iterator[Metric]:
    """Yield what the latest message of each camera says; zone "" is the whole picture."""
    places = {
        (camera, zone): place
        for camera, one in cameras.items()
        for zone, place in {EVERYWHERE: one.everywhere, **one.zones}.items()
    }
    yield gauge("objects", "Objects there now.", _by_label(places, "counts"), _PLACE)
    yield gauge(
        "objects_stationary", "Objects that stand still.", _by_label(places, "stationary"), _PLACE
    )
    yield gauge(
        "occupied", "1 where an object is, or was just now.", _by_label(places, "occupied"), _PLACE
    )
    totals = {camera: one.totals for camera, one in cameras.items()}
    yield counter(
        "objects_seen",
        "Objects that came.",
        {
            (camera, label): count
            for camera, one in totals.items()
            for label, count in one.objects.items()
        },
        ("camera", "label"),
    )
    yield counter(
        "line_crossings",
        "Objects that crossed a line.",
        {
            (camera, line, direction, label): count
            for camera, one in totals.items()
            for line, ways in one.lines.items()
            for direction, counts in ways.items()
            for label, count in counts.items()
        },
        ("camera", "line", "direction", "label"),
    )
    for name, text, attribute in (
        ("zone_entries", "Objects that came into a zone.", "zones"),
        ("zone_stays", "Stays in a zone that ended.", "stays"),
        ("zone_stay_seconds", "How long those stays were, together.", "stay_seconds"),
    ):
        values = {
            (camera, zone, label): value
            for camera, one in totals.items()
            for zone, counts in getattr(one, attribute).items()
            for label, value in counts.items()
        }
        yield counter(name, text, values, _PLACE)


def _by_label(
    places: dict[tuple[str, str], PlaceInfo], attribute: str
) -> dict[tuple[str, str, str], float]:
    return {
        (camera, zone, label): float(value)
        for (camera, zone), place in places.items()
        for label, value in (getattr(place, attribute) or {}).items()
    }
