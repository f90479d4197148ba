"""Raspberry Pi throttle flags: the firmware's word by mailbox, else by sysfs. No vcgencmd.

The mailbox layout is that of vcgencmd.c (raspberrypi/utils) and of the firmware's property
interface. ``/dev/vcio_gencmd`` (kernels from 2026) takes only the text command, ``/dev/vcio``
the plain tag. The sysfs file's sticky bits mean "since the kernel's last poll", so what was seen
since boot is latched here instead. Contract-tested with a scripted mailbox, not run on a Pi.
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import TYPE_CHECKING

from appliance.telemetry.readings import Cause, Throttle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CAUSES: tuple[Cause, ...] = (
    "under_voltage",
    "frequency_capped",
    "throttled",
    "soft_temperature_limit",
)
"""Bits 0 to 3 of the word are these, now; bits 16 to 19 the same, since boot."""
_STICKY_SHIFT = 16

_REQUEST = 0xC0086400 if struct.calcsize("P") == 8 else 0xC0046400  # _IOWR(100, 0, char *)
_TAG_GET_THROTTLED = 0x00030046
_TAG_GENCMD = 0x00030080
_RESPONSE_OK = 0x80000000
_GENCMD_STRING_BYTES = 4096
_GENCMD_BYTES = 4124


def _kernel_ioctl(descriptor: int, request: int, buffer: bytearray) -> int:
    return int(fcntl.ioctl(descriptor, request, buffer, True))  # noqa: FBT003 - mutate the buffer


class ThrottleCollector:
    """Reads the throttled word.

    Args:
        root: normally ``/``.
        ioctl: (descriptor, request, mutable buffer) to int; replaced in tests.
    """

    def __init__(
        self, root: Path, ioctl: Callable[[int, int, bytearray], int] = _kernel_ioctl
    ) -> None:
        self._text_mailbox = root / "dev/vcio_gencmd"
        self._mailbox = root / "dev/vcio"
        self._firmware = root / "sys/bus/platform/drivers/raspberrypi-firmware"
        self._ioctl = ioctl
        self._seen = 0

    def collect(self) -> Throttle | None:
        """Return the flags; None on boards without this firmware or without permission."""
        for path, ask in ((self._text_mailbox, self._ask_text), (self._mailbox, self._ask_tag)):
            if path.exists() and os.access(path, os.R_OK):
                return _throttle(self._call(path, ask), "mailbox")
        for path in sorted(self._firmware.glob("*/get_throttled")):
            word = int(path.read_text().strip(), 16)
            self._seen |= word & 0xF | word >> _STICKY_SHIFT & 0xF
            return _throttle(word & 0xF | self._seen << _STICKY_SHIFT, "sysfs")
        return None

    def _call(self, path: Path, ask: Callable[[int], int]) -> int:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return ask(descriptor)
        finally:
            os.close(descriptor)

    def _ask_tag(self, descriptor: int) -> int:
        buffer = bytearray(struct.pack("<7I", 28, 0, _TAG_GET_THROTTLED, 4, 0, 0, 0))
        self._ioctl(descriptor, _REQUEST, buffer)
        words = struct.unpack("<7I", buffer)
        if words[1] != _RESPONSE_OK:
            raise OSError(f"the firmware's mailbox answered {words[1]:#x}")
        return int(words[5])

    def _ask_text(self, descriptor: int) -> int:
        buffer = bytearray(_GENCMD_BYTES)
        struct.pack_into(
            "<6I", buffer, 0, _GENCMD_BYTES, 0, _TAG_GENCMD, _GENCMD_STRING_BYTES, 0, 0
        )
        command = b"get_throttled"
        buffer[24 : 24 + len(command)] = command
        self._ioctl(descriptor, _REQUEST, buffer)
        (code,) = struct.unpack_from("<I", buffer, 4)
        answer = bytes(buffer[24 : 24 + _GENCMD_STRING_BYTES]).split(b"\0")[0].decode("ascii")
        if code != _RESPONSE_OK or not answer.startswith("throttled="):
            raise OSError(f"the firmware's mailbox answered {code:#x} {answer!r}")
        return int(answer.partition("=")[2], 16)


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
