"""Proof of life of each thread: progress made, or a wait that was declared and is bounded."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from appliance.clock import NS_PER_SECOND

if TYPE_CHECKING:
    from appliance.clock import Clock


class Heartbeat:
    """One thread's proof of life. Written by that thread, read by the supervisor.

    Args:
        name: of the thread, for messages.
        clock: the appliance's clock.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._beats = 0
        self._wait_until_ns = 0
        self._waiting_for = ""
        self.ended = False

    def beat(self) -> None:
        """Say that something was done; ends a declared wait."""
        self._beats += 1
        self._wait_until_ns = 0

    def wait(self, reason: str, seconds: float) -> None:
        """Declare a wait of at most ``seconds``."""
        self._waiting_for = reason
        self._wait_until_ns = self._clock.monotonic_ns() + round(seconds * NS_PER_SECOND)

    @property
    def beats(self) -> int:
        """Return how often something was done."""
        return self._beats

    @property
    def waiting_for(self) -> str:
        """Return what is being waited for, within the declared time; else nothing."""
        waits = self._clock.monotonic_ns() < self._wait_until_ns
        return self._waiting_for if waits else ""


class LifeSigns:
    """Tells whether every thread lives. Called by the supervisor only.

    Args:
        heartbeats: of all threads.
    """

    def __init__(self, heartbeats: tuple[Heartbeat, ...]) -> None:
        self._heartbeats = heartbeats
        self._seen = {heartbeat.name: -1 for heartbeat in heartbeats}
        self._lock = threading.Lock()

    def silent(self) -> tuple[str, ...]:
        """Return the threads that neither progressed since the last call nor declared a wait."""
        with self._lock:
            silent = []
            for heartbeat in self._heartbeats:
                beats = heartbeat.beats
                idle = heartbeat.ended or heartbeat.waiting_for
                if beats == self._seen[heartbeat.name] and not idle:
                    silent.append(heartbeat.name)
                self._seen[heartbeat.name] = beats
            return tuple(silent)
