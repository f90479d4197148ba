"""Another unit that publishes under our name: each would end the other's session, for ever.

MQTT 5 brokers may say so (0x8E); mosquitto 2.0.11 does not, and 3.1.1 has no word for it. So each
unit reads its own ``info``: whoever lives has another boot id.
"""

from __future__ import annotations

import msgspec


class _Info(msgspec.Struct):
    boot_id: str = ""


class Twin:
    """Used by one thread; ``is_there`` may be read by others.

    Attributes:
        is_there: somebody else publishes as we do.
    """

    def __init__(self) -> None:
        self.is_there = False
        self._is_told = False

    def told(self) -> None:
        """The broker has our own info: what it keeps from now on is not from an earlier start."""
        self._is_told = True

    def look(self, ours: bytes, heard: bytes, *, kept: bool) -> bool:
        """Take an info message that came; return whether there is news.

        Args:
            ours: what we said last; empty before that.
            heard: what came.
            kept: the broker had it from before.
        """
        mine, theirs = boot_of(ours), boot_of(heard)
        if not mine or not theirs or (kept and not self._is_told):
            return False
        before = self.is_there
        if mine != theirs:
            self.is_there = True
        elif not kept:
            self.is_there = False
        return before != self.is_there


def boot_of(info: bytes) -> str:
    """Return the boot id of an info message; empty where it has none."""
    try:
        return msgspec.json.decode(info, type=_Info).boot_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
