"""The board's fan: hwmon (``pwmfan`` on a Pi 5), else the kernel's cooling device ``pwm-fan``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.board.files import read_number, read_text
from appliance.telemetry.readings import Fan

if TYPE_CHECKING:
    from pathlib import Path

_PWM_MAXIMUM = 255
_NAMES = ("pwmfan", "pwm-fan", "gpio_fan")


class FanCollector:
    """Reads the fan under ``root``; whether there is one is looked up once."""

    def __init__(self, root: Path) -> None:
        self._monitor = _first(root / "sys/class/hwmon", "hwmon*", "name")
        self._device = _first(root / "sys/class/thermal", "cooling_device*", "type")

    def collect(self) -> Fan | None:
        """Return level and speed; None without a fan."""
        if self._monitor is None and self._device is None:
            return None
        speed = read_number(self._monitor / "fan1_input") if self._monitor else None
        return Fan(
            level_ratio=self._level(),
            revolutions_per_minute=None if speed is None else float(speed),
        )

    def _level(self) -> float | None:
        pwm = read_number(self._monitor / "pwm1") if self._monitor else None
        if pwm is not None:
            return round(pwm / _PWM_MAXIMUM, 3)
        if self._device is None:
            return None
        state = read_number(self._device / "cur_state")
        most = read_number(self._device / "max_state")
        return round(state / most, 3) if state is not None and most else None


def _first(folder: Path, pattern: str, name: str) -> Path | None:
    for one in sorted(folder.glob(pattern)):
        try:
            if (read_text(one / name) or "") in _NAMES:
                return one
        except OSError:
            continue
    return None


def create(root: Path) -> FanCollector:
    """Return the collector."""
    return FanCollector(root)
