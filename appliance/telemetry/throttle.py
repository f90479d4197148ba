"""Raspberry Pi throttle flags: the firmware's word by mailbox, our module or sysfs. No vcgencmd.

Debian's kernel has neither mailbox nor file; there our own module asks (deploy/kernel). The file of
the vendor's kernel comes last: its sticky bits mean "since the kernel's last poll". What was seen
longer ago is remembered by who looks again and again (``heat.causes``), not here.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from appliance.board.firmware import Firmware
from appliance.telemetry import Cause, Gauge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CAUSES: tuple[Cause, ...] = (
    "under_voltage",
    "frequency_capped",
    "throttled",
    "soft_temperature_limit",
)
"""Bits 0 to 3 of the word are these, now; bits 16 to 19 the same, since boot."""
_LIVE = 0xF
_STICKY_SHIFT = 16
_DRIVERS = "sys/bus/platform/drivers"
Source = Literal["mailbox", "module", "sysfs"]


class Throttle(Struct, frozen=True, kw_only=True):
    """The firmware's throttle flags (Raspberry Pi)."""

    now: Annotated[tuple[Cause, ...], Meta(description="Causes in force now.")]
    since_boot: Annotated[tuple[Cause, ...], Meta(description="Causes seen since boot.")]
    source: Annotated[
        Source,
        Meta(description="Where it was read; from sysfs, since_boot is what we saw ourselves."),
    ]


class ThrottleCollector:
    """Reads the throttled word.

    Args:
        root: normally ``/``.
        mailbox: of the firmware.
    """

    def __init__(self, root: Path, mailbox: Firmware | None = None) -> None:
        self._root = root
        self._mailbox = mailbox or Firmware(root)

    def collect(self) -> Throttle | None:
        """Return the flags; None on boards without this firmware, or whose firmware has none.

        Raises:
            OSError: the firmware does not answer.
            PermissionError: there is a mailbox, which may not be opened, and no file.
        """
        if self._mailbox.present:
            try:
                return _throttle(self._mailbox.throttled_word(), "mailbox")
            except OSError:
                told = self._of_kernel()
                if told is None:
                    raise
                return told
        told = self._of_kernel()
        if told is None and self._mailbox.denied:
            raise PermissionError("/dev/vcio may not be opened: join group video")
        return told

    def _of_kernel(self) -> Throttle | None:
        if modules := self._file("rpi-readings"):
            try:
                return _throttle(int(modules.read_text().strip(), 16), "module")
            except OSError as error:  # this firmware knows no such question
                if error.errno != errno.EOPNOTSUPP:
                    raise
                return None
        if vendors := self._file("raspberrypi-firmware"):
            word = int(vendors.read_text().strip(), 16)
            return _throttle(word | (word & _LIVE) << _STICKY_SHIFT, "sysfs")
        return None

    def _file(self, driver: str) -> Path | None:
        return next(iter(sorted((self._root / _DRIVERS / driver).glob("*/get_throttled"))), None)


def _throttle(word: int, source: Source) -> Throttle:
    return Throttle(now=_causes(word), since_boot=_causes(word >> _STICKY_SHIFT), source=source)


def _causes(bits: int) -> tuple[Cause, ...]:
    return tuple(cause for number, cause in enumerate(CAUSES) if bits >> number & 1)


def create(root: Path) -> ThrottleCollector:
    return ThrottleCollector(root)


READING = Throttle


def gauges(reading: Throttle) -> Iterator[Gauge]:
    """Yield what Prometheus is told."""
    since = {(cause,): float(cause in reading.since_boot) for cause in CAUSES}
    yield Gauge("throttle_since_boot", "Whether it happened since boot.", since, ("cause",))


def describe(reading: Throttle) -> Iterator[str]:
    """Yield lines for a person."""
    yield f"since boot   {', '.join(reading.since_boot) or 'not throttled'} ({reading.source})"
