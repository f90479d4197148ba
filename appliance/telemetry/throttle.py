"""Raspberry Pi throttle flags: the firmware's word by mailbox, else by sysfs. No vcgencmd.

The sysfs file's sticky bits mean "since the kernel's last poll", so what was seen since boot is
latched here instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.board.firmware import Firmware
from appliance.telemetry.readings import Cause, Throttle

if TYPE_CHECKING:
    from pathlib import Path

CAUSES: tuple[Cause, ...] = (
    "under_voltage",
    "frequency_capped",
    "throttled",
    "soft_temperature_limit",
)
"""Bits 0 to 3 of the word are these, now; bits 16 to 19 the same, since boot."""
_STICKY_SHIFT = 16


class ThrottleCollector:
    """Reads the throttled word.

    Args:
        root: normally ``/``.
        mailbox: of the firmware.
    """

    def __init__(self, root: Path, mailbox: Firmware | None = None) -> None:
        self._mailbox = mailbox or Firmware(root)
        firmware = root / "sys/bus/platform/drivers/raspberrypi-firmware"
        self._file = next(iter(sorted(firmware.glob("*/get_throttled"))), None)
        self._seen = 0

    def collect(self) -> Throttle | None:
        """Return the flags; None on boards without this firmware or without permission."""
        if self._mailbox.present:
            try:
                return _throttle(self._mailbox.throttled_word(), "mailbox")
            except OSError:
                if self._file is None:
                    raise
        if self._file is None:
            if self._mailbox.denied:
                raise PermissionError("/dev/vcio may not be opened: join group video")
            return None
        word = int(self._file.read_text().strip(), 16)
        self._seen |= word & 0xF | word >> _STICKY_SHIFT & 0xF
        return _throttle(word & 0xF | self._seen << _STICKY_SHIFT, "sysfs")


def _throttle(word: int, source: str) -> Throttle:
    return Throttle(
        now=_causes(word),
        since_boot=_causes(word >> _STICKY_SHIFT),
        source="mailbox" if source == "mailbox" else "sysfs",
    )


def _causes(bits: int) -> tuple[Cause, ...]:
    return tuple(cause for number, cause in enumerate(CAUSES) if bits >> number & 1)


def create(root: Path) -> ThrottleCollector:
    """Return the collector."""
    return ThrottleCollector(root)
