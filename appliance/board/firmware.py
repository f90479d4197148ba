"""The Raspberry Pi firmware's mailbox: two questions by ioctl, no process.

The layout is that of vcgencmd.c (raspberrypi/utils) and of the firmware's property interface.
``/dev/vcio_gencmd`` (kernels from 2026) takes only the text command, ``/dev/vcio`` both.
Contract-tested with a scripted ioctl, not run on a Pi.
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Ioctl = Callable[[int, int, bytearray], int]

_REQUEST = 0xC0086400 if struct.calcsize("P") == 8 else 0xC0046400  # _IOWR(100, 0, char *)
_TAG_GET_THROTTLED = 0x00030046
_TAG_GENCMD = 0x00030080
_RESPONSE_OK = 0x80000000
_STRING_BYTES = 4096
_GENCMD_BYTES = 4124


def kernel_ioctl(descriptor: int, request: int, buffer: bytearray) -> int:
    """Ask the kernel; it writes the answer into ``buffer``."""
    return int(fcntl.ioctl(descriptor, request, buffer, True))  # noqa: FBT003 - mutate the buffer


class Firmware:
    """The mailbox under ``root``.

    Args:
        root: normally ``/``.
        ioctl: (descriptor, request, mutable buffer) to int; replaced in tests.
    """

    def __init__(self, root: Path, ioctl: Ioctl = kernel_ioctl) -> None:
        self._text_node = root / "dev/vcio_gencmd"
        self._node = root / "dev/vcio"
        self._ioctl = ioctl

    @property
    def present(self) -> bool:
        """Say whether it is there and may be opened."""
        return any(os.access(node, os.R_OK) for node in (self._text_node, self._node))

    @property
    def denied(self) -> bool:
        """Say whether it is there and may not be opened."""
        return not self.present and any(n.exists() for n in (self._text_node, self._node))

    def throttled_word(self) -> int:
        """Return the word of ``vcgencmd get_throttled``.

        Raises:
            OSError: the firmware refuses.
        """
        if os.access(self._text_node, os.R_OK):
            try:
                return self._throttled_by_text()
            except OSError:
                if not os.access(self._node, os.R_OK):
                    raise
        buffer = bytearray(struct.pack("<7I", 28, 0, _TAG_GET_THROTTLED, 4, 0, 0, 0))
        self._ask(self._node, buffer)
        words = struct.unpack("<7I", buffer)
        if words[1] != _RESPONSE_OK:
            raise OSError(f"the firmware's mailbox answered {words[1]:#x}")
        return int(words[5])

    def _throttled_by_text(self) -> int:
        answer = self._text(self._text_node, "get_throttled")
        if not answer.startswith("throttled="):
            raise OSError(f"the firmware's mailbox answered {answer!r}")
        return int(answer.partition("=")[2], 16)

    def command(self, text: str) -> str:
        """Return the firmware's answer to a text command.

        Raises:
            OSError: the firmware refuses.
        """
        node = self._text_node if os.access(self._text_node, os.R_OK) else self._node
        return self._text(node, text)

    def _text(self, node: Path, text: str) -> str:
        buffer = bytearray(_GENCMD_BYTES)
        struct.pack_into("<6I", buffer, 0, _GENCMD_BYTES, 0, _TAG_GENCMD, _STRING_BYTES, 0, 0)
        command = text.encode("ascii")
        buffer[24 : 24 + len(command)] = command
        self._ask(node, buffer)
        (code,) = struct.unpack_from("<I", buffer, 4)
        answer = bytes(buffer[24 : 24 + _STRING_BYTES]).split(b"\0")[0].decode("ascii", "replace")
        if code != _RESPONSE_OK:
            raise OSError(f"the firmware's mailbox answered {code:#x} {answer!r}")
        return answer

    def _ask(self, node: Path, buffer: bytearray) -> None:
        descriptor = os.open(node, os.O_RDONLY)
        try:
            self._ioctl(descriptor, _REQUEST, buffer)
        finally:
            os.close(descriptor)
