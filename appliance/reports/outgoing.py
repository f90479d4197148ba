"""A message on its way out, and what takes it. Made by the reporter, taken by sinks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.reports.common import Message


JSON, JPEG = "application/json", "image/jpeg"


@dataclass(frozen=True, slots=True, eq=False)
class Outgoing:
    """One encoded message.

    Attributes:
        kind: of message, as in ``appliance.reports.messages.MESSAGES``; ``snapshot``,
            ``image`` and ``discovery``.
        topic: below ``{prefix}/{device}/``; from the root where it begins with ``/``.
        payload: JSON, or what ``content_type`` says.
        message: what was encoded, for sinks in this process; None where it is not ours.
        qos: 0 or 1.
        retain: the broker keeps it as the topic's state.
        durable: must arrive: waits in the outbox for the broker.
        content_type: of the payload.
        user: words and their meanings besides (user properties of MQTT 5).
        fold: while it waits, a later message with the same word replaces it, and it goes before
            others where there is no room; empty for what nothing replaces.
        expiry_seconds: the broker forgets it after this (MQTT 5), None for never.
        written: called with the nanoseconds from hand-off to written (QoS 0) or acknowledged.
        handed_ns: CLOCK_MONOTONIC of the hand-off.
    """

    kind: str
    topic: str
    payload: bytes
    message: Message | None
    qos: int
    retain: bool
    durable: bool
    expiry_seconds: int | None
    handed_ns: int
    written: Callable[[int], None] | None = None
    fold: str = ""
    content_type: str = JSON
    user: tuple[tuple[str, str], ...] = ()


class Sink(Protocol):
    """Takes messages in the pipeline's threads, under locks of theirs: it never waits for anything.

    Not for authors of sinks, who write an ``Outlet``.
    """

    def put(self, outgoing: Outgoing) -> None:
        """Take a message; must neither block nor raise for what happens outside."""

    def end(self) -> None:
        """Take no more messages; returns at once."""

    def close(self) -> None:
        """End, flush within a second and let go; safe to call twice."""
