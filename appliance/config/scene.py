"""Settings of what is told about objects: zones, lines, parts to leave out, tracking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from appliance.config.schedule import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.config.settings import CameraSettings, ModelSettings

Share = Annotated[float, Meta(ge=0, le=1)]
Point = tuple[Share, Share]
Polygon = Annotated[tuple[Point, ...], Meta(min_length=3, max_length=64)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9-]+$", examples=["front-door"])]
_POLYGON = "Corners x, y in 0..1 of the upright picture, e.g. [[0.1, 0.5], [0.4, 0.5], [0.4, 1]]."
_SMALLEST_AREA = 1e-6
_LABELS = "Only these labels; empty for all."


class ZoneSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the picture; an object is where the middle of its lower edge is."""

    name: Annotated[Name, Meta(description="Name in messages: a-z, 0-9 and -.")]
    polygon: Annotated[Polygon, Meta(description=_POLYGON)]
    labels: Annotated[tuple[str, ...], Meta(description=_LABELS)] = ()
    loitering_seconds: Annotated[
        Annotated[float, Meta(ge=0, le=86400)],
        Meta(description="An object counts as in the zone only after it has been so long."),
    ] = 0.0


class LineSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line; who stands at its start and looks to its end sees "in" go from left to right."""

    name: Annotated[Name, Meta(description="Name in messages: a-z, 0-9 and -.")]
    start: Annotated[Point, Meta(description="x, y in 0..1 of the upright picture.")]
    end: Annotated[Point, Meta(description="x, y in 0..1 of the upright picture.")]
    labels: Annotated[tuple[str, ...], Meta(description=_LABELS)] = ()


class IgnoreSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the picture whose objects are left out; its pixels stay."""

    polygon: Annotated[Polygon, Meta(description=_POLYGON)]
    labels: Annotated[tuple[str, ...], Meta(description=_LABELS)] = ()


class MaskSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the picture that nobody may see, the model included: its pixels are blank."""

    polygon: Annotated[Polygon, Meta(description=_POLYGON)]


class ObjectSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same object over time: events, counts, zones and lines."""

    enabled: Annotated[
        bool, Meta(description="Follow objects; off, only single frames are told.")
    ] = True
    memory_seconds: Annotated[
        Annotated[float, Meta(ge=0.5, le=60)],
        Meta(description="An object out of sight for so long is gone."),
    ] = 3.0
    occupancy_seconds: Annotated[
        Annotated[float, Meta(ge=0, le=3600)],
        Meta(description="A place counts as occupied for so long after the last object left it."),
    ] = 10.0


def threshold_of(camera: CameraSettings, common: ModelSettings) -> float:
    """Return the lowest score that counts at a camera, where no label has its own."""
    return common.score_threshold if camera.threshold is None else camera.threshold


def labels_of(camera: CameraSettings, common: ModelSettings) -> tuple[str, ...]:
    """Return what is looked for at a camera; none for all."""
    return camera.labels or common.labels


def scene_faults(camera: CameraSettings) -> list[str]:
    """Return what is wrong with a camera's zones, lines and sizes as a whole."""
    key = f"camera[{camera.name}]"
    faults = []
    for kind, names in (
        ("zone", [zone.name for zone in camera.zone]),
        ("line", [line.name for line in camera.line]),
    ):
        faults += [
            f"{key}.{kind}[{name}].name: got it twice, expected a different name for each {kind}"
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
    areas = [(f"{key}.zone[{zone.name}]", zone.polygon) for zone in camera.zone]
    areas += [(f"{key}.ignore[{at}]", one.polygon) for at, one in enumerate(camera.ignore, 1)]
    areas += [(f"{key}.mask[{at}]", one.polygon) for at, one in enumerate(camera.mask, 1)]
    faults += [
        f"{where}.polygon: its edges {one} and {other} cross; expected corners in order around it"
        for where, polygon in areas
        for one, other in [crossing(polygon)]
        if one
    ]
    faults += [
        f"{where}.polygon: got {[list(point) for point in polygon]}, expected corners around "
        "some area"
        for where, polygon in areas
        if _area(polygon) < _SMALLEST_AREA
    ]
    faults += [
        f"{key}.line[{line.name}].end: got {list(line.end)}, expected another point than start"
        for line in camera.line
        if line.start == line.end
    ]
    for at, text in enumerate(camera.pause, 1):
        try:
            parse(text)
        except ValueError as error:
            faults.append(f"{key}.pause[{at}]: {error}")
    if camera.min_area >= camera.max_area:
        faults.append(
            f"{key}.min_area: got {camera.min_area}, expected less than max_area "
            f"({camera.max_area})"
        )
    if not camera.objects.enabled and (camera.zone or camera.line):
        faults.append(
            f"{key}.objects.enabled: got false, expected true where there are zones or lines"
        )
    return faults


def crossing(polygon: Sequence[tuple[float, float]]) -> tuple[int, int]:
    """Return the numbers, from 1, of two edges that cross each other; zeros where none do."""
    edges = list(zip(polygon, [*polygon[1:], polygon[0]], strict=True))
    for at, (a, b) in enumerate(edges):
        for further, (c, d) in enumerate(edges[at + 1 :], at + 1):
            if _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0:
                return at + 1, further + 1
    return 0, 0


def _side(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _area(polygon: Sequence[tuple[float, float]]) -> float:
    double = 0.0
    last_x, last_y = polygon[-1]
    for next_x, next_y in polygon:
        double += last_x * next_y - next_x * last_y
        last_x, last_y = next_x, next_y
    return abs(double) / 2
