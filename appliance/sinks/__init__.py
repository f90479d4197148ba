"""Sinks: where finished messages go. Each message is encoded once, for all of them.

One file a kind, found because it lies here (``appliance.extensions.kinds``): a module with an
``Options`` struct, whose defaults and sentences are the documentation of ``[sinks.<kind>]``, and
``create(request)``, which returns an ``Outlet``, or None where its options ask for none. MQTT is
no such kind: it also receives, and it must deliver (``sinks/mqtt``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from appliance.config.options import all_options
from appliance.extensions import kinds, load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.reports.messages import SinkInfo
    from appliance.reports.outgoing import Outgoing


SinkProblem = tuple[
    Literal["broker", "refused", "twin", "outbox", "sink_failing", "sink_stalled"], str, str
]
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


@dataclass(frozen=True, slots=True)
class SinkRequest:
    """What a sink is made from.

    Attributes:
        options: an instance of the kind's ``Options``.
        variables: of the environment.
    """

    options: Any
    variables: Mapping[str, str]


def sink_options(given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the options of every kind, from the tables ``[sinks.<kind>]``; defaults for the rest.

    Raises:
        ConfigError: an unknown kind or option, all faults listed; or a kind of another package
            that cannot be loaded.
    """
    return all_options(given, kinds("appliance.sinks"), "sinks")


def create_outlet(kind: str, options: Any, variables: Mapping[str, str]) -> Outlet | None:
    """Return the outlet of a kind; None where its options ask for none."""
    module = load(kinds("appliance.sinks")[kind])
    outlet: Outlet | None = module.create(SinkRequest(options, variables))
    return outlet
