"""Heat of accelerators that tell it without vendor software: Coral on PCIe (driver apex).

Coral on USB has no sensor that can be read; Hailo's needs its library (google/gasket-driver,
apex_driver.c; Hailo: no sysfs). Others show up as thermal zones of the board.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from appliance.board.files import explain, read_number
from appliance.telemetry import PLAUSIBLE_CELSIUS, Gauge, PartialReading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class AcceleratorHeat(Struct, frozen=True, kw_only=True):
    """Heat of accelerators that tell it without vendor software."""

    temperatures_celsius: Annotated[
        dict[str, float], Meta(description="By device, e.g. apex_0 (Coral on PCIe).")
    ]
    limits_celsius: Annotated[
        dict[str, float], Meta(description="Lowest temperature at which it slows down.")
    ]


class AcceleratorCollector:
    """Reads apex devices under ``root``; what there is is looked up once."""

    def __init__(self, root: Path) -> None:
        self._devices = sorted((root / "sys/class/apex").glob("apex_*"))

    def collect(self) -> AcceleratorHeat | None:
        """Return temperatures; None without such a device."""
        if not self._devices:
            return None
        temperatures, limits, problems = {}, {}, []
        for device in self._devices:
            try:
                millidegrees = read_number(device / "temp")
                trip = read_number(device / "trip_point0_temp")
            except (OSError, ValueError) as error:
                problems.append(explain(device / "temp", error))
                continue
            if trip:
                limits[device.name] = trip / 1000
            if millidegrees is None:
                continue
            low, high = PLAUSIBLE_CELSIUS
            if low <= millidegrees / 1000 <= high:
                temperatures[device.name] = millidegrees / 1000
            else:
                problems.append(f"{device.name}/temp: {millidegrees} cannot be right")
        reading = AcceleratorHeat(temperatures_celsius=temperatures, limits_celsius=limits)
        if problems:
            raise PartialReading(reading, problems)
        return reading


def create(root: Path) -> AcceleratorCollector:
    return AcceleratorCollector(root)


READING = AcceleratorHeat


def gauges(reading: AcceleratorHeat) -> Iterator[Gauge]:
    """Yield what Prometheus is told."""
    heat = {(device,): celsius for device, celsius in reading.temperatures_celsius.items()}
    text = "Temperature of an accelerator."
    yield Gauge("accelerator_temperature_celsius", text, heat, ("device",))


def describe(reading: AcceleratorHeat) -> Iterator[str]:
    """Yield lines for a person."""
    heat = reading.temperatures_celsius.items()
    yield f"accelerator  {', '.join(f'{device} {celsius:.1f} °C' for device, celsius in heat)}"
