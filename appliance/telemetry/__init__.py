"""Telemetry of the board: one file a collector, roots as parameters, no process per reading.

A collector is found because its module lies here, or is added by an entry point
(``appliance.extensions.kinds``). The module has

* ``READING``: the struct that it reads; its fields and sentences document the health message;
* ``create(root)``: returns the collector;
* ``gauges(reading)``: what Prometheus is told of a reading;
* ``describe(reading)``: the same as lines for a person.

Absent is not failed and not zero: a collector returns None where the board has no such thing,
and raises where it should be readable and is not. It keeps nothing from one reading to the next:
what moved since the last one is for ``appliance.heat`` to say.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import msgspec

from appliance.clock import NS_PER_MS
from appliance.extensions import kinds, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from appliance.clock import Clock

log = logging.getLogger(__name__)

ROOM = "appliance.telemetry"
PLAUSIBLE_CELSIUS = (-40.0, 150.0)
"""Outside, a sensor is dead (a dead Coral reads -89)."""
Cause = Literal[
    "under_voltage",
    "frequency_capped",
    "throttled",
    "soft_temperature_limit",
    "thermal",
    "inferred",
]
"""Why a board is slower than it could be; the same words everywhere."""
ReadingT = TypeVar("ReadingT", bound=msgspec.Struct)


class Collector(Protocol):
    """Reads one kind of thing."""

    def collect(self) -> msgspec.Struct | None:
        """Return the reading, or None where the board has no such thing.

        Raises:
            OSError, ValueError: it is there but cannot be read or understood.
            PartialReading: some of it could be read.
        """


class PartialReading(ValueError):  # noqa: N818 - half a success
    """Some of the files cannot be read or understood; the rest is here.

    Args:
        reading: what could be read, or None.
        problems: what could not, one text each.
    """

    def __init__(self, reading: msgspec.Struct | None, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.reading = reading


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number that Prometheus is told, or several of a kind.

    Attributes:
        name: behind ``appliance_``, with its unit.
        text: what it is.
        values: by a tuple with a text for each label; None has no sample.
        labels: their names.
    """

    name: str
    text: str
    values: Mapping[Any, float | None]
    labels: tuple[str, ...] = field(default=())


class CollectorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one collector fared: it read something, found nothing to read, or failed."""

    success: bool
    duration_ms: float
    error: str = ""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All readings at one instant, by collector; what is absent or failed is not among them."""

    readings: dict[str, Any] = msgspec.field(default_factory=dict)
    collectors: dict[str, CollectorStatus]

    def get(self, reading: type[ReadingT]) -> ReadingT | None:
        """Return the reading of a kind; None where it is absent or failed."""
        return next((one for one in self.readings.values() if isinstance(one, reading)), None)

    def flat(self) -> dict[str, Any]:
        """Return it for JSON: every collector's reading or null, and how the collectors fared."""
        return {
            **{name: self.readings.get(name) for name in self.collectors},
            "collectors": self.collectors,
        }


def unflattened(tree: dict[str, Any]) -> Snapshot:
    """Return the snapshot that ``Snapshot.flat`` was made of.

    Raises:
        msgspec.ValidationError: it is none.
    """
    structs = reading_structs()
    rest = dict(tree)
    collectors = msgspec.convert(rest.pop("collectors", None), dict[str, CollectorStatus])
    readings = {
        name: msgspec.convert(value, structs[name])
        for name, value in rest.items()
        if value is not None and name in structs
    }
    return Snapshot(readings=readings, collectors=collectors)


def reading_structs() -> dict[str, type[msgspec.Struct]]:
    """Return what each collector reads, by its name; those that cannot be loaded are left out."""
    return {name: module.READING for name, module in _modules().items() if module is not None}


def gauges(readings: Mapping[str, Any]) -> Iterator[Gauge]:
    """Yield what Prometheus is told of the readings."""
    yield from _of_each("gauges", readings)


def describe(readings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the readings as lines for a person."""
    yield from _of_each("describe", readings)


def _of_each(what: str, readings: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what the function of this name makes of each reading; one that fails tells nothing."""
    modules = _modules()
    for name, reading in readings.items():
        try:
            yield from tuple(getattr(modules[name], what)(reading))
        except Exception:
            log.exception("collector %s: %s", name, what)


def _modules() -> dict[str, Any]:
    """Return the module of each collector, or None where it cannot be loaded."""
    found: dict[str, Any] = {}
    for name, place in kinds(ROOM).items():
        try:
            module = load(place)
            _ = module.READING, module.create
            found[name] = module
        except Exception as error:  # noqa: BLE001 - another package's: whatever it does there
            log.debug("collector %s: %s", name, error)
            found[name] = None
    return found


@dataclass(frozen=True, slots=True)
class _Missing:
    """Stands for a collector that cannot be made."""

    reason: str

    def collect(self) -> None:
        raise LookupError(self.reason)


def _made(module: Any, root: Path) -> Collector:
    if module is None:
        return _Missing("its package cannot be loaded; install it anew, for this Python")
    try:
        collector: Collector = module.create(root)
    except Exception as error:  # noqa: BLE001 - another package's: whatever it does there
        return _Missing(f"it cannot be made: {type(error).__name__}: {error}")
    return collector


@dataclass(frozen=True, slots=True)
class Telemetry:
    """All collectors over one root."""

    collectors: dict[str, Collector]
    clock: Clock

    @classmethod
    def over(cls, root: Path, clock: Clock) -> Telemetry:
        """Return the collectors over ``root`` (normally ``/``)."""
        return cls({name: _made(module, root) for name, module in _modules().items()}, clock)

    def snapshot(self) -> Snapshot:
        """Read everything; a failing collector never fails the snapshot."""
        readings: dict[str, Any] = {}
        statuses = {}
        for name, collector in self.collectors.items():
            began_ns = self.clock.monotonic_ns()
            reading, error = None, ""
            try:
                reading = collector.collect()
                msgspec.json.encode(reading)  # what cannot be published is no reading
            except PartialReading as why:
                reading, error = why.reading, str(why)
            except Exception as why:  # noqa: BLE001 - what one does must not end the others
                reading, error = None, f"{type(why).__name__}: {why}"
            if reading is not None:
                readings[name] = reading
            duration_ms = (self.clock.monotonic_ns() - began_ns) / NS_PER_MS
            statuses[name] = CollectorStatus(
                success=not error, duration_ms=round(duration_ms, 3), error=error
            )
        return Snapshot(readings=readings, collectors=statuses)
