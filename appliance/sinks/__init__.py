"""Sinks: where finished messages go. Each message is encoded once, for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.messages import Message, SinkInfo


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


SinkProblem = tuple[Literal["broker", "outbox", "sink_failing", "sink_stalled"], str, str]
"""Kind, subject and words of what is wrong with a sink; see ``appliance.problems.Problem``."""


@runtime_checkable
class Fallible(Protocol):
    """A sink that can tell what is wrong with it."""

    def problems(self) -> tuple[SinkProblem, ...]:
        """Return what is wrong now; called from the main thread."""


@runtime_checkable
class Counting(Protocol):
    """A sink that counts what became of its messages.

    Attributes:
        name: of the sink, in health and in Prometheus.
    """

    name: str

    def tally(self) -> SinkInfo:
        """Return the counts so far; called from the main thread."""


class Outlet(Protocol):
    """Where messages go: what an author of a sink writes; ``QueuedSink`` does the rest.

    All three methods are called on one thread that is the outlet's own, so they may wait for what
    lies outside; it is told when they take long, and nobody else waits. They are called in the
    order ``open``, ``handle`` ..., ``close``, again from the start after an ``OSError`` of
    ``handle``; the message is then handled once more.

    Attributes:
        name: of the sink, short and its own.
        kinds: of messages that it wants, see ``Outgoing.kind``; None for all.
    """

    name: str
    kinds: frozenset[str] | None

    def open(self) -> None:
        """Get ready.

        Raises:
            Exception: it cannot be; it is tried again.
        """

    def handle(self, outgoing: Outgoing) -> None:
        """Do with a message what the outlet is for.

        Raises:
            OSError: the world outside does not let us; the message comes again.
            Exception: nothing can be done with this message.
        """

    def close(self) -> None:
        """Let go of what ``open`` took, also after it failed halfway; safe to call twice."""


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
