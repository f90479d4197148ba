"""What waits for a sink, in order and bounded; which message has to go when there is no room.

* Frames (``detections``): the oldest goes, and is counted. Nobody can be told any more what he
  would have wanted to see then, but what is seen now can still be told.
* States (retained: info, health, metrics, update): the last word of a topic counts, so an earlier
  one that still waits is replaced, not lost. There are as many as topics, so they need no limit.
* Events (all else: alerts, results): each says something that no later one says again. They have
  room of their own, which no flood of frames takes; beyond it the oldest goes, and is counted.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.reports.outgoing import Outgoing

FRAMES = 1024
"""Frames that may wait: half a minute of a fast camera, a few MB of many objects."""
EVENTS = 256


class Backlog:
    """Not thread-safe.

    Args:
        frames, events: how many of each may wait.

    Attributes:
        dropped: messages that had to go.
    """

    def __init__(self, frames: int = FRAMES, events: int = EVENTS) -> None:
        self._limits = {"frames": frames, "events": events}
        self._waiting: dict[str, deque[tuple[int, Outgoing]]] = {
            kind: deque() for kind in self._limits
        }
        self._states: dict[str, tuple[int, Outgoing]] = {}  # by topic, oldest first
        self._number = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._states) + sum(map(len, self._waiting.values()))

    def add(self, outgoing: Outgoing) -> None:
        """Append a message."""
        self._number += 1
        if outgoing.retain:
            self._states.pop(outgoing.topic, None)
            self._states[outgoing.topic] = (self._number, outgoing)
            return
        kind = "frames" if outgoing.kind == "detections" else "events"
        waiting = self._waiting[kind]
        waiting.append((self._number, outgoing))
        if len(waiting) > self._limits[kind]:
            waiting.popleft()
            self.dropped += 1

    def take(self) -> Outgoing | None:
        """Return the oldest message that waits, whatever its kind."""
        heads = [waiting[0][0] for waiting in self._waiting.values() if waiting]
        topic = next(iter(self._states), None)
        oldest = min(heads, default=None)
        if topic is not None and (oldest is None or self._states[topic][0] < oldest):
            return self._states.pop(topic)[1]
        for waiting in self._waiting.values():
            if waiting and waiting[0][0] == oldest:
                return waiting.popleft()[1]
        return None
