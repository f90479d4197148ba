"""Filters: change what an observation holds before the sinks see it; in order, fast, no I/O.

One file a kind, found because it lies here (``appliance.extensions.kinds``): a module with an
``Options`` struct, whose defaults and sentences are the documentation of ``[[camera.filter]]``,
and ``create(request)``, called once for each camera that wants the kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from appliance.config.options import convert, module_of
from appliance.errors import ConfigError
from appliance.extensions import kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.config import CameraSettings
    from appliance.models import Labels
    from appliance.values import Observation
    from appliance.values.happened import Ending, Happened

ROOM = "appliance.filters"


class Filter(Protocol):
    """One step between detector and sinks. Called in frame order, for one camera.

    Attributes:
        wants_picture: True to be given ``Observation.picture`` (costs a copy of the input).
    """

    wants_picture: bool

    def apply(self, observation: Observation) -> Observation:
        """Return the observation, changed or not; must not block."""


@runtime_checkable
class Timed(Protocol):
    """A filter that remembers: time alone changes what it has to tell."""

    def tick(self, now_ns: int) -> Happened | None:
        """Return what happened by ``now_ns`` (CLOCK_MONOTONIC), without a frame."""

    def again(self) -> None:
        """Tell all once more, with what happens next."""

    def end(self, ending: Ending, now_ns: int) -> Happened | None:
        """Return what ends: no frame comes any more."""


@dataclass(frozen=True, slots=True)
class FilterRequest:
    """What a filter is made from.

    Attributes:
        options: an instance of the kind's ``Options``.
        camera: name of the camera that it is for.
        labels: of the model.
    """

    options: Any
    camera: str
    labels: Labels


def create_filters(camera: CameraSettings, labels: Labels) -> tuple[Filter, ...]:
    """Return the filters of a camera, in order.

    Raises:
        ConfigError: an unknown kind or wrong options.
        LabelsError: a label that the model does not know.
    """
    return tuple(
        module.create(FilterRequest(options, camera.name, labels))
        for module, options in _wanted(camera)
    )


def check_filters(camera: CameraSettings) -> None:
    """Raise ConfigError unless the camera's filters and their options make sense."""
    for _ in _wanted(camera):
        pass


def _wanted(camera: CameraSettings) -> Iterator[tuple[Any, Any]]:
    """Yield module and options of each filter."""
    places = kinds(ROOM)
    for number, table in enumerate(camera.filter, 1):
        key = f"camera[{camera.name}].filter[{number}]"
        given = dict(table)
        kind = given.pop("kind", None)
        if not isinstance(kind, str):
            raise ConfigError(
                "the configuration cannot be used:",
                faults=(f"{key}.kind: got {kind!r}, expected one of {', '.join(places)}",),
            )
        module = module_of(kind, places, f"{key}.kind")
        yield module, convert(given, module.Options, key)
