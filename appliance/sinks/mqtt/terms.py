"""What a broker takes: what its CONNACK says, and what it shows by ending connections.

One message that a broker answers by closing would be sent again on each connection, for ever, with
all the others behind it. So each message that was on its way when a connection ended is suspected;
then they go one at a time, until it is clear which it is; and that one is stepped over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.sinks.mqtt.queue import Queued

STRIKES = 3
"""Connections that end with the same message on its way until it is stepped over."""
SUSPECT_SECONDS = 5.0
"""A broker that does not like a message ends the connection within so long."""
_FIXED_HEADER_MOST = 5
_PACKET_ID = 2


@dataclass(frozen=True, slots=True)
class Terms:
    """What a broker says that it takes (MQTT 5; 3.1.1 has no words for it).

    Attributes:
        packet_bytes: size of the largest packet; None for no limit.
        in_flight: QoS 1 messages at a time.
        retain: it keeps retained messages.
        qos: the highest.
    """

    packet_bytes: int | None = None
    in_flight: int = 65_535
    retain: bool = True
    qos: int = 1

    def refusal(self, letter: Queued, property_bytes: int) -> str:
        """Return why a message cannot be sent at all; empty where it can."""
        if self.packet_bytes is None:
            return ""
        topic = 2 + len(letter.topic.encode())
        size = _FIXED_HEADER_MOST + topic + _PACKET_ID + property_bytes + len(letter.payload)
        if size <= self.packet_bytes:
            return ""
        return f"{size} bytes, the broker takes {self.packet_bytes}"


class Suspicion:
    """Which message ends connections. Used by one thread."""

    def __init__(self) -> None:
        self._strikes: dict[tuple[str, int], int] = {}
        self._sizes: dict[str, int] = {}

    @property
    def is_careful(self) -> bool:
        """Say whether messages go one at a time, to see which it is."""
        return bool(self._strikes)

    def ended(self, letters: Iterable[Queued]) -> None:
        """Take the messages that were on their way when the broker ended a connection."""
        for letter in letters:
            key = letter.topic, letter.outbox_number or 0
            self._strikes[key] = self._strikes.get(key, 0) + 1
            if self._strikes[key] >= STRIKES and not letter.outbox_number:
                self._sizes[letter.topic] = len(letter.payload)

    def settled(self) -> None:
        """A connection lasted: what was suspected of ending others did not end it."""
        self._strikes.clear()

    def cleared(self, letter: Queued) -> None:
        """The broker took a message, or it is stepped over."""
        self._strikes.pop((letter.topic, letter.outbox_number or 0), None)

    def refusal(self, letter: Queued) -> str:
        """Return why a message is stepped over; empty where it is not.

        A state is tried again once it is shorter than the one that ended connections.
        """
        key = letter.topic, letter.outbox_number or 0
        if letter.outbox_number is None and letter.topic in self._sizes:
            if len(letter.payload) >= self._sizes[letter.topic]:
                self._strikes.pop(key, None)
                return "the broker ended each connection on which it was sent"
            del self._sizes[letter.topic]
        if self._strikes.get(key, 0) < STRIKES:
            return ""
        del self._strikes[key]
        return "the broker ended each connection on which it was sent"
