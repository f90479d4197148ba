"""Remembers the newest messages: for tests, the live view and anything in this process."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.reports.outgoing import Outgoing


class MemoryOutlet:
    """Keeps the last ``capacity`` messages in ``messages``, and counts all."""

    name = "memory"
    kinds: frozenset[str] | None = None

    def __init__(self, capacity: int = 1000) -> None:
        self.messages: deque[Outgoing] = deque(maxlen=capacity)
        self.count = 0

    def open(self) -> None:
        """There is nothing to open."""

    def handle(self, outgoing: Outgoing) -> None:
        """Remember it."""
        self.messages.append(outgoing)
        self.count += 1

    def latest(self, kind: str) -> Outgoing | None:
        """Return the newest message of ``kind``."""
        return next((one for one in reversed(tuple(self.messages)) if one.kind == kind), None)

    def close(self) -> None:
        """Keep what is there."""
