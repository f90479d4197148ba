"""Temperatures from /sys/class/thermal (millidegrees; selected by type, indices move)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.telemetry.readings import Thermal

if TYPE_CHECKING:
    from pathlib import Path

_PROCESSOR_TYPES = ("cpu-thermal", "CPU-therm", "x86_pkg_temp", "soc-thermal", "tj-thermal")
"""Zones that are the processor: Raspberry Pi, Jetson Nano, x86, Rockchip, Jetson Orin."""
_CONSTANT_TYPES = ("PMIC",)
"""Jetson's PMIC zone reads a constant 100 degrees (jetson_stats skips it too)."""
PLAUSIBLE_CELSIUS = (-40.0, 150.0)
"""Outside, the sensor is dead (a dead Coral reads -89)."""


class ThermalCollector:
    """Reads every zone under ``root``."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "sys/class/thermal"

    def collect(self) -> Thermal | None:
        """Return all zones that are readable now; None without any zone."""
        zones: dict[str, float] = {}
        for zone in sorted(self._folder.glob("thermal_zone*")):
            try:
                kind = (zone / "type").read_text().strip()
                celsius = int((zone / "temp").read_text()) / 1000
            except (OSError, ValueError):
                continue  # a sensor whose rail is off answers EAGAIN, EINVAL or ENODATA
            low, high = PLAUSIBLE_CELSIUS
            if low <= celsius <= high and not kind.startswith(_CONSTANT_TYPES):
                zones[_unique(kind, zones)] = celsius
        if not zones:
            return None
        named = next((zones[kind] for kind in _PROCESSOR_TYPES if kind in zones), None)
        return Thermal(
            temperature_celsius=named if named is not None else max(zones.values()),
            zones_celsius=zones,
        )


def _unique(kind: str, taken: dict[str, float]) -> str:
    """Return ``kind``, numbered where several zones have the same type."""
    names = [kind, *(f"{kind}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def create(root: Path) -> ThermalCollector:
    """Return the collector."""
    return ThermalCollector(root)
