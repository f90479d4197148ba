"""How busy the board is: a collector in one file, as an example that is run by the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from appliance.telemetry import Gauge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Load(Struct, frozen=True, kw_only=True):
    """Load of the board."""

    one_minute: Annotated[float, Meta(description="Processes that want to run, on average.")]


READING = Load


class LoadCollector:
    """Reads a file below ``root``; keeps nothing from one reading to the next."""

    def __init__(self, root: Path) -> None:
        self._file = root / "proc/loadavg"

    def collect(self) -> Load | None:
        """Return the load; None where there is no such file, an error where it is unreadable."""
        if not self._file.exists():
            return None
        return Load(one_minute=float(self._file.read_text().split()[0]))


create = LoadCollector


def gauges(reading: Load) -> Iterator[Gauge]:
    """Yield what Prometheus is told."""
    yield Gauge("load_ratio", "Processes that want to run.", {(): reading.one_minute})


def describe(reading: Load) -> Iterator[str]:
    """Yield lines for a person: a name of twelve letters at most, and what it is."""
    yield f"load         {reading.one_minute:.2f}"
