"""The power supply: a Raspberry Pi's under-voltage alarm (hwmon ``rpi_volt``), a Pi 5's rails.

The alarm is sticky for the kernel's last poll of 2 s. The PMIC of a Pi 5 answers the firmware's
text command ``pmic_read_adc`` with lines such as ``EXT5V_V volt(24)=5.05700000V``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from appliance.board.files import read_number, read_text
from appliance.board.firmware import Firmware
from appliance.telemetry import Gauge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PMIC_LINE = re.compile(r"(\w+_V) volt\(\d+\)=([0-9.]+)V")
_PI5 = "brcm,bcm2712"


class Supply(Struct, frozen=True, kw_only=True):
    """The board's power supply."""

    under_voltage: Annotated[
        bool | None, Meta(description="The board's own alarm; null where it has none.")
    ]
    volts: Annotated[
        dict[str, float], Meta(description="Rails that can be read, by name, e.g. EXT5V_V (Pi 5).")
    ]


class SupplyCollector:
    """Reads the alarm and the rails under ``root``.

    Args:
        root: normally ``/``.
        mailbox: of the firmware, asked for the PMIC on a Pi 5.
    """

    def __init__(self, root: Path, mailbox: Firmware | None = None) -> None:
        monitors = (root / "sys/class/hwmon").glob("hwmon*")
        self._monitor = next((m for m in sorted(monitors) if _name(m) == "rpi_volt"), None)
        self._mailbox = mailbox or Firmware(root)
        self._has_pmic = _PI5 in _compatible(root)

    def collect(self) -> Supply | None:
        """Return alarm and rails; None where the board tells neither."""
        alarm, volts = None, {}
        if self._monitor is not None:
            alarm = read_number(self._monitor / "in0_lcrit_alarm")
        if self._has_pmic and self._mailbox.present:
            answer = self._mailbox.command("pmic_read_adc")
            volts = {name: float(value) for name, value in _PMIC_LINE.findall(answer)}
        if alarm is None and not volts:
            return None
        return Supply(under_voltage=None if alarm is None else bool(alarm), volts=volts)


def _name(monitor: Path) -> str:
    try:
        return read_text(monitor / "name") or ""
    except OSError:
        return ""


def _compatible(root: Path) -> list[str]:
    try:
        return (
            (root / "proc/device-tree/compatible")
            .read_bytes()
            .decode("ascii", "replace")
            .split("\0")
        )
    except OSError:
        return []


def create(root: Path) -> SupplyCollector:
    return SupplyCollector(root)


READING = Supply


def gauges(reading: Supply) -> Iterator[Gauge]:
    """Yield what Prometheus is told."""
    volts = {(rail,): value for rail, value in reading.volts.items()}
    yield Gauge("supply_volts", "Voltage of a rail.", volts, ("rail",))
    yield Gauge("supply_under_voltage", "The board's alarm.", {(): reading.under_voltage})


def describe(reading: Supply) -> Iterator[str]:
    """Yield lines for a person."""
    volts = ", ".join(f"{name} {value:.2f} V" for name, value in reading.volts.items())
    alarm = {True: "under-voltage", False: "enough", None: "no alarm"}[reading.under_voltage]
    yield f"supply       {alarm} {volts}".rstrip()
