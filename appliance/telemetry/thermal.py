"""Temperatures from /sys/class/thermal (millidegrees; selected by type, indices move)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from appliance.board.files import explain, read_number, read_text
from appliance.telemetry import PLAUSIBLE_CELSIUS, Gauge, PartialReading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PROCESSOR_TYPES = (
    "cpu-thermal",
    "CPU-therm",
    "x86_pkg_temp",
    "soc-thermal",
    "package-thermal",
    "tj-thermal",
)
"""Zones that are the processor: Raspberry Pi, Jetson Nano, x86, Rockchip, Jetson Orin."""
_CONSTANT_TYPES = ("PMIC",)
"""Jetson's PMIC zone reads a constant 100 degrees (jetson_stats skips it too)."""
_TRIPS = {"passive": "soft", "hot": "hard", "critical": "critical"}
"""Trip points of the kernel by what they mean: from a passive one on the processor is slowed."""
FIRMWARE_LIMITS: tuple[tuple[str, dict[str, float]], ...] = (
    ("raspberrypi,3-model-b-plus", {"soft": 60.0, "hard": 85.0}),
    ("raspberrypi,3-model-a-plus", {"soft": 60.0, "hard": 85.0}),
    ("raspberrypi,", {"soft": 80.0, "hard": 85.0}),
)
"""A Raspberry Pi's firmware slows by itself (documentation of config.txt): a 3B+ or 3A+ from
temp_soft_limit, the others from 80, all more from 85 degrees."""


class Thermal(Struct, frozen=True, kw_only=True):
    """Temperatures of the board."""

    temperature_celsius: Annotated[
        float | None, Meta(description="The processor's, or the hottest zone where none is named.")
    ]
    zones_celsius: Annotated[dict[str, float], Meta(description="Every readable zone by type.")]
    limits_celsius: Annotated[
        dict[str, float],
        Meta(description="Of the processor: soft (it is slowed), hard (slowed more), critical."),
    ]


class ThermalCollector:
    """Reads every zone under ``root``; what zones there are is looked up once."""

    def __init__(self, root: Path) -> None:
        self._zones = sorted((root / "sys/class/thermal").glob("thermal_zone*"))
        self._firmware_limits = _firmware_limits(root)

    def collect(self) -> Thermal | None:
        """Return all zones that are readable now; None without any zone."""
        zones: dict[str, float] = {}
        limits: dict[str, dict[str, float]] = {}
        problems = []
        for zone in self._zones:
            try:
                kind, millidegrees = read_text(zone / "type"), read_number(zone / "temp")
            except (OSError, ValueError) as error:
                problems.append(explain(zone / "temp", error))
                continue
            if kind is None or millidegrees is None or kind.startswith(_CONSTANT_TYPES):
                continue
            low, high = PLAUSIBLE_CELSIUS
            celsius = millidegrees / 1000
            if low <= celsius <= high:
                name = _unique(kind, zones)
                zones[name] = celsius
                limits[name] = _trips(zone)
            else:
                problems.append(f"{zone.name}/temp: {celsius} degrees cannot be right")
        reading = self._reading(zones, limits) if zones else None
        if problems:
            raise PartialReading(reading, problems)
        return reading

    def _reading(self, zones: dict[str, float], limits: dict[str, dict[str, float]]) -> Thermal:
        named = next((kind for kind in _PROCESSOR_TYPES if kind in zones), None)
        name = named or max(zones, key=lambda kind: zones[kind])
        return Thermal(
            temperature_celsius=zones[name],
            zones_celsius=zones,
            limits_celsius={**limits[name], **self._firmware_limits},
        )


def _trips(zone: Path) -> dict[str, float]:
    """Return the lowest trip point of each meaning; unreadable ones are left out."""
    found: dict[str, float] = {}
    for number in range(12):
        try:
            kind = read_text(zone / f"trip_point_{number}_type")
            millidegrees = read_number(zone / f"trip_point_{number}_temp")
        except (OSError, ValueError):
            continue
        if kind is None:
            break
        meaning = _TRIPS.get(kind)
        if meaning and millidegrees and millidegrees > 0:
            found[meaning] = min(found.get(meaning, 1000.0), millidegrees / 1000)
    return found


def _firmware_limits(root: Path) -> dict[str, float]:
    try:
        compatible = (root / "proc/device-tree/compatible").read_bytes().decode("ascii", "replace")
    except OSError:
        return {}
    names = compatible.split("\0")
    for prefix, limits in FIRMWARE_LIMITS:
        if any(name.startswith(prefix) for name in names):
            return dict(limits)
    return {}


def _unique(kind: str, taken: dict[str, float]) -> str:
    """Return ``kind``, numbered where several zones have the same type."""
    names = [kind, *(f"{kind}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def create(root: Path) -> ThermalCollector:
    return ThermalCollector(root)


READING = Thermal


def gauges(reading: Thermal) -> Iterator[Gauge]:
    """Yield what Prometheus is told."""
    processor = {(): reading.temperature_celsius}
    zones = {(zone,): celsius for zone, celsius in reading.zones_celsius.items()}
    limits = {(limit,): celsius for limit, celsius in reading.limits_celsius.items()}
    yield Gauge("temperature_celsius", "The processor's temperature.", processor)
    yield Gauge("zone_temperature_celsius", "Temperature of a zone.", zones, ("zone",))
    yield Gauge("temperature_limit_celsius", "Limit of the processor.", limits, ("limit",))


def describe(reading: Thermal) -> Iterator[str]:
    """Yield lines for a person."""
    zones = ", ".join(f"{zone} {value:.1f} °C" for zone, value in reading.zones_celsius.items())
    limits = ", ".join(f"{name} {value:.0f}" for name, value in reading.limits_celsius.items())
    yield f"temperature  {reading.temperature_celsius} °C ({zones})"
    yield f"limits       {limits or 'not known'}"
