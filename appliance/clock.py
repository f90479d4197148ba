"""Clocks: monotonic nanoseconds for every duration, wall time only for display."""

from __future__ import annotations

import ctypes
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import threading

NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000


class Clock(Protocol):
    """What the rest of the appliance knows of time."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never jump; the origin is arbitrary."""

    def utc(self) -> datetime:
        """Return the wall time, timezone-aware, for display only."""

    def synced(self) -> bool:
        """Say whether the wall time was set from outside (NTP) since boot."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until ``event`` is set or ``seconds`` passed; return whether it is set."""


class SystemClock:
    """The machine's clocks (CLOCK_MONOTONIC and CLOCK_REALTIME)."""

    _SYNC_CHECK_NS = 10 * NS_PER_SECOND

    def __init__(self) -> None:
        self._synced = False
        self._synced_checked_ns: int | None = None

    def monotonic_ns(self) -> int:
        """Return CLOCK_MONOTONIC in nanoseconds."""
        return time.monotonic_ns()

    def utc(self) -> datetime:
        """Return CLOCK_REALTIME as an aware datetime."""
        return datetime.now(UTC)

    def synced(self) -> bool:
        """Ask the kernel (adjtimex), at most every 10 s, whether its clock is disciplined."""
        now_ns = self.monotonic_ns()
        checked_ns = self._synced_checked_ns
        if checked_ns is None or now_ns - checked_ns > self._SYNC_CHECK_NS:
            self._synced = kernel_clock_synced()
            self._synced_checked_ns = now_ns
        return self._synced

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait on the event itself, so that setting it ends the wait at once."""
        return event.wait(max(0.0, seconds))


class ManualClock:
    """A clock that stands still until told otherwise: for tests, replays and simulations.

    ``wait`` returns at once, having advanced the clock by the whole wait.
    """

    def __init__(
        self, start_ns: int = NS_PER_SECOND, utc: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    ) -> None:
        self._start_ns = start_ns
        self._now_ns = start_ns
        self._utc = utc
        self.is_synced = True

    def advance(self, seconds: float) -> None:
        """Move time forward by ``seconds``."""
        self._now_ns += round(seconds * NS_PER_SECOND)

    def monotonic_ns(self) -> int:
        """Return the manual time in nanoseconds."""
        return self._now_ns

    def utc(self) -> datetime:
        """Return the wall time that belongs to the manual time."""
        return self._utc + timedelta(microseconds=(self._now_ns - self._start_ns) // 1000)

    def synced(self) -> bool:
        """Return what ``is_synced`` was set to."""
        return self.is_synced

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Advance by ``seconds`` unless ``event`` is set."""
        if not event.is_set():
            self.advance(max(0.0, seconds))
        return event.is_set()


def rfc3339(moment: datetime) -> str:
    """Return ``moment`` as RFC 3339 in UTC with microseconds, e.g. 2026-11-21T01:35:22.123456Z."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def wall_of(clock: Clock, stamp_ns: int) -> str:
    """Return the wall time, RFC 3339, of a past monotonic stamp."""
    age = timedelta(microseconds=(clock.monotonic_ns() - stamp_ns) / 1000)
    return rfc3339(clock.utc() - age)


def kernel_clock_synced() -> bool:
    """Return whether the kernel says that its clock is synchronised.

    ``ntp_adjtime`` with no modes set only reads; it returns TIME_ERROR (5) while the clock is
    unsynchronised (adjtimex(2)). Works for every NTP daemon and needs no privilege.
    """
    time_error = 5
    timex_bytes = 208  # sizeof(struct timex) on 64-bit Linux; zeroed: modes = 0
    try:
        state = ctypes.CDLL(None).ntp_adjtime(ctypes.create_string_buffer(timex_bytes))
    except (OSError, AttributeError):
        return False
    return int(state) not in (-1, time_error)
