"""The board's fan: hwmon (``pwmfan`` on a Pi 5), else the kernel's cooling device ``pwm-fan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from appliance.board.files import read_number, read_text
from appliance.telemetry import Gauge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PWM_MAXIMUM = 255
_NAMES = ("pwmfan", "pwm-fan", "gpio_fan")


class Fan(Struct, frozen=True, kw_only=True):
    """The board's fan."""

    level_ratio: Annotated[float | None, Meta(description="0 to 1 of what it can do.")]
    revolutions_per_minute: float | None


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
    return FanCollector(root)


READING = Fan


def gauges(reading: Fan) -> Iterator[Gauge]:
    """Yield what Prometheus is told."""
    speed = reading.revolutions_per_minute
    yield Gauge("fan_level_ratio", "Of what the fan can do.", {(): reading.level_ratio})
    yield Gauge("fan_revolutions_per_minute", "Speed of the fan.", {(): speed})


def describe(reading: Fan) -> Iterator[str]:
    """Yield lines for a person."""
    level, speed = reading.level_ratio, reading.revolutions_per_minute
    words = [] if level is None else [f"{level:.0%}"]
    words += [] if speed is None else [f"{speed:.0f} revolutions a minute"]
    yield f"fan          {', '.join(words) or 'there, tells nothing'}"
