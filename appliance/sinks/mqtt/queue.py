"""What waits to be sent, and in which order: states (newest of each topic), events, frames."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.reports.outgoing import JSON

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.reports.outgoing import Outgoing
    from appliance.sinks.outbox.outbox import Outbox

STREAM_LIMIT = 64
"""Per-frame messages that may wait for the network; older ones are dropped and counted."""


@dataclass(frozen=True, slots=True)
class Queued:
    """One message as it is handed to the MQTT client.

    Attributes:
        topic, payload, qos, retain, expiry_seconds: as published.
        content_type, user: as in ``Outgoing``.
        outbox_number: its number in the outbox, or None.
        handed_ns, written: for the time to written; see ``Outgoing``.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    expiry_seconds: int | None
    content_type: str = JSON
    user: tuple[tuple[str, str], ...] = ()
    outbox_number: int | None = None
    handed_ns: int = 0
    written: Callable[[int], None] | None = None


class SendQueue:
    """Thread-safe queue in front of the MQTT client.

    Args:
        outbox: keeps must-deliver messages.
        base: ``{prefix}/{device}``.
    """

    def __init__(self, outbox: Outbox, base: str) -> None:
        self._lock = threading.Lock()
        self._outbox = outbox
        self._base = base
        self._states: dict[str, Queued] = {}
        self._changed: dict[str, None] = {}
        self._stream: deque[Queued] = deque()
        self._sent_number = 0
        self.stream_dropped = 0

    def put(self, outgoing: Outgoing, *, connected: bool) -> None:
        """Take a message; per-frame ones are dropped while there is no connection."""
        absolute = outgoing.topic.startswith("/")
        topic = outgoing.topic[1:] if absolute else f"{self._base}/{outgoing.topic}"
        if outgoing.durable:
            self._outbox.add(topic, outgoing.payload, outgoing.expiry_seconds, outgoing.fold)
            return
        letter = Queued(
            topic,
            outgoing.payload,
            outgoing.qos,
            outgoing.retain,
            outgoing.expiry_seconds,
            outgoing.content_type,
            outgoing.user,
            handed_ns=outgoing.handed_ns,
            written=outgoing.written,
        )
        with self._lock:
            if outgoing.retain:
                self._states[topic] = letter
                self._changed[topic] = None
            elif connected:
                self._stream.append(letter)
                if len(self._stream) > STREAM_LIMIT:
                    self._stream.popleft()
                    self.stream_dropped += 1
            else:
                self.stream_dropped += 1

    def take(self) -> Queued | None:
        """Return the next message to send: states first, then events, then frames.

        Called by one thread only, as ``disconnected`` is.
        """
        with self._lock:
            if self._changed:
                topic = next(iter(self._changed))
                del self._changed[topic]
                return self._states[topic]
        # Without our lock: the outbox may be at its disk, and a worker must not wait for that.
        waiting = self._outbox.after(self._sent_number)
        if waiting is not None:
            self._sent_number = waiting.number
            return Queued(
                waiting.topic,
                waiting.payload,
                1,
                False,  # noqa: FBT003 - events are never retained
                waiting.expiry_seconds,
                outbox_number=waiting.number,
            )
        with self._lock:
            return self._stream.popleft() if self._stream else None

    def waiting(self) -> int:
        """Return how many states and frames wait; the outbox counts its events."""
        with self._lock:
            return len(self._changed) + len(self._stream)

    def acknowledged(self, letter: Queued) -> None:
        """Forget a message that was delivered."""
        if letter.outbox_number is not None:
            self._outbox.remove(letter.outbox_number)
        elif letter.retain and not letter.payload:
            with self._lock:  # the topic is empty, and stays so without us
                if self._states.get(letter.topic) is letter:
                    del self._states[letter.topic]

    def state_of(self, topic: str) -> bytes:
        """Return the last word on a topic below the unit's; empty where there was none."""
        with self._lock:
            letter = self._states.get(f"{self._base}/{topic}")
        return letter.payload if letter is not None else b""

    def again(self) -> None:
        """Send all states again: somebody who listens has forgotten them."""
        with self._lock:
            self._changed = dict.fromkeys(self._states)

    def disconnected(self) -> None:
        """Prepare for the next connection: all states and unacknowledged events go again."""
        with self._lock:
            self._changed = dict.fromkeys(self._states)
            self._sent_number = 0
            self.stream_dropped += len(self._stream)
            self._stream.clear()
