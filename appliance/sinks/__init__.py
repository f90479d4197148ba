"""Sinks: where finished messages go. Each message is encoded once, for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from appliance.reports.messages import SinkInfo
    from appliance.reports.outgoing import Outgoing


SinkProblem = tuple[Literal["broker", "outbox", "sink_failing", "sink_stalled"], str, str]
"""Kind, subject and words of what is wrong with a sink; see ``reports.problems``."""


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
