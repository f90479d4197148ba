"""Sinks: where finished messages go. Each message is encoded once, for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.messages import Message


@dataclass(frozen=True, slots=True, eq=False)
class Outgoing:
    """One encoded message.

    Attributes:
        kind: of message, as in ``appliance.messages.MESSAGES``; or ``discovery``.
        topic: below ``{prefix}/{device}/``; from the root where it begins with ``/``.
        payload: JSON.
        message: what was encoded, for sinks in this process; None where it is not ours.
        qos: 0 or 1.
        retain: the broker keeps it as the topic's state.
        durable: must arrive: waits in the outbox for the broker.
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


SinkProblem = tuple[Literal["broker", "outbox", "sink"], str, str]
"""Kind, subject and words of what is wrong with a sink; see ``appliance.problems.Problem``."""


@runtime_checkable
class Fallible(Protocol):
    """A sink that can tell what is wrong with it."""

    def problems(self) -> tuple[SinkProblem, ...]:
        """Return what is wrong now; called from the main thread."""


class Sink(Protocol):
    """Takes messages; called from the pipeline's threads, so ``put`` never blocks."""

    def put(self, outgoing: Outgoing) -> None:
        """Take a message; must neither block nor raise for what happens outside."""

    def close(self) -> None:
        """Flush within a second and let go; safe to call twice."""
