"""Do other programs take the processor? Then a slower inference says nothing of heat."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.board.processor import CpuTimes

CONTENDED_SHARE = 0.15
"""Of all processor time; what a system does beside us when it is left alone is a few per cent."""


class Contention:
    """Compares two moments."""

    def __init__(self) -> None:
        self._before: CpuTimes | None = None

    def look(self, now: CpuTimes | None) -> bool:
        """Say whether others took much of the processor since the last look.

        Args:
            now: None where it cannot be told; then nobody is blamed.
        """
        before, self._before = self._before, now
        if before is None or now is None:
            return False
        busy = (now.total - before.total) - (now.idle - before.idle)
        others = busy - (now.own - before.own)
        return others > CONTENDED_SHARE * (now.total - before.total)
