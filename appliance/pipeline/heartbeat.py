"""Proof of life of each thread: a sign of progress, or a declared wait, always with a bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from appliance.clock import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.clock import Clock

BUSY_SECONDS = 8.0
"""Longest between a sign of progress and the next, where no wait is declared; and what waits have
to spare: a small board that boots, or swaps, keeps a thread from running for seconds."""


class Heartbeat:
    """One thread's proof of life. Written by that thread, read by the supervisor.

    A thread that gave no sign yet is not watched.

    Args:
        name: of the thread, for messages.
        clock: the appliance's clock.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._signs = 0
        self._due_ns: int | None = None
        self._waiting_for = ""
        self.ended = False

    def beat(self) -> None:
        """Say that something was done; ends a declared wait."""
        self._sign("", BUSY_SECONDS)

    def wait(self, reason: str, seconds: float) -> None:
        """Declare a wait of at most ``seconds``."""
        self._sign(reason, seconds)

    def _sign(self, reason: str, seconds: float) -> None:
        self._signs += 1
        self._waiting_for = reason
        self._due_ns = self._clock.monotonic_ns() + round(seconds * NS_PER_SECOND)

    @property
    def waiting_for(self) -> str:
        """Return what is being waited for, within the declared time; else nothing."""
        return "" if self.overdue(self._clock.monotonic_ns()) else self._waiting_for

    def overdue(self, now_ns: int) -> Overdue | None:
        """Return what the thread should be done with and is not; None while all is well."""
        due_ns = self._due_ns
        if due_ns is None or self.ended or now_ns < due_ns:
            return None
        return Overdue(self.name, self._waiting_for or "its work", self._signs)


@dataclass(frozen=True, slots=True)
class Overdue:
    """A thread that gave no sign in time.

    Attributes:
        thread: its name.
        doing: what it said that it waits for.
        sign: number of the sign it gave last; another number means that it went on.
    """

    thread: str
    doing: str
    sign: int


@runtime_checkable
class Watched(Protocol):
    """A part with a thread of its own.

    Attributes:
        heartbeat: of that thread.
        may_hang: it is a sink: what it waits for lies outside and a new process would wait as
            well, so a hang is told and does not end the process.
    """

    heartbeat: Heartbeat
    may_hang: bool


@dataclass(frozen=True, slots=True)
class Hang:
    """A thread that hangs.

    Attributes:
        thread: its name.
        text: what it hangs in, in words.
        seconds: for how long this was watched.
    """

    thread: str
    text: str
    seconds: float


class HangWatch:
    """Tells which threads hang. Called by the supervisor only.

    A thread that is overdue is looked at once more before anything is said of it: after the whole
    process stood still (stopped, or the machine suspended), every thread is late and none hangs.
    """

    def __init__(self) -> None:
        self._since: dict[tuple[str, int], int] = {}

    def look(self, heartbeats: Iterable[Heartbeat], now_ns: int) -> tuple[Hang, ...]:
        """Return the threads that hang at ``now_ns``, as far as two looks tell."""
        late = [one for one in (beat.overdue(now_ns) for beat in heartbeats) if one]
        self._since = {
            (one.thread, one.sign): self._since.get((one.thread, one.sign), now_ns) for one in late
        }
        hangs = []
        for one in late:
            seconds = (now_ns - self._since[one.thread, one.sign]) / NS_PER_SECOND
            if seconds > 0:
                hangs.append(Hang(one.thread, f"{one.thread}: hangs in {one.doing}", seconds))
        return tuple(hangs)
