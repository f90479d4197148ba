"""Puts an outlet behind a bounded queue and a thread of its own, so that it can hold nobody.

An outlet is what somebody writes who wants messages to go somewhere: ``open``, ``handle``,
``close``, all called on that thread, all free to wait for a disk, a reader or a network. What it
raises, how long it takes and what is lost meanwhile is told here, so none of it can be forgotten.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from appliance.clock import NS_PER_SECOND
from appliance.errors import ApplianceError
from appliance.pipeline.heartbeat import Heartbeat
from appliance.reports.messages import SinkInfo
from appliance.sinks.queue.backlog import Backlog

if TYPE_CHECKING:
    from appliance.clock import Clock
    from appliance.reports.outgoing import Outgoing
    from appliance.sinks import Outlet, SinkProblem

log = logging.getLogger(__name__)

HANDLE_SECONDS = 3.0
"""An outlet that takes longer for one message is told; it ends nothing, so this may be tight."""
RETRY_SECONDS = 2.0
"""Between two attempts at what the world outside refuses."""
LOSING_SECONDS = 5.0
"""Who lost a message is slow for so long."""
CLOSE_SECONDS = 0.8
_IDLE_SECONDS = 60.0


class QueuedSink:
    """Thread-safe; the thread runs from the start.

    ``OSError`` and ``ApplianceError`` speak of the world outside: the outlet is closed, opened
    again and given the same message, until it is through. Anything else is a fault of the outlet
    with this message: it is counted, and the next one has its turn.

    Args:
        outlet: takes the messages.
        clock: the appliance's clock.
        backlog: what may wait.
    """

    may_hang = True  # what lies outside would hold a new process as well

    def __init__(self, outlet: Outlet, clock: Clock, backlog: Backlog | None = None) -> None:
        self.name = outlet.name
        self.heartbeat = Heartbeat(outlet.name, clock)
        self._outlet = outlet
        self._clock = clock
        self._changed = threading.Condition()
        self._backlog = Backlog() if backlog is None else backlog
        self._handled = self._failed = 0
        self._busy = self._closing = self._given_up = False
        self._open = False
        self._fault = ""
        self._lost_ns: int | None = None
        self._closed_ns = 0
        self._thread = threading.Thread(target=self._run, name=outlet.name, daemon=True)
        self._thread.start()

    def put(self, outgoing: Outgoing) -> None:
        """Take a message; never waits for the outlet."""
        if self._outlet.kinds is not None and outgoing.kind not in self._outlet.kinds:
            return
        with self._changed:
            if self._closing:
                return
            dropped = self._backlog.dropped
            self._backlog.add(outgoing)
            if self._backlog.dropped > dropped:
                self._lost_ns = self._clock.monotonic_ns()
            self._changed.notify()

    def tally(self) -> SinkInfo:
        """Return what became of the messages so far."""
        with self._changed:
            return SinkInfo(
                handled=self._handled,
                waiting=len(self._backlog) + self._busy,
                dropped=self._backlog.dropped,
                failed=self._failed,
            )

    def problems(self) -> tuple[SinkProblem, ...]:
        """Return why messages do not arrive, or not all of them."""
        with self._changed:
            lost, fault, since_ns = self._lost, self._fault, self._lost_ns
        told = f" ({lost} messages lost)" if lost else ""
        if fault:
            return (("sink_failing", self.name, f"{self.name}: {fault}{told}"),)
        now_ns = self._clock.monotonic_ns()
        if since_ns is not None and now_ns - since_ns < LOSING_SECONDS * NS_PER_SECOND:
            return (("sink_stalled", self.name, f"{self.name}: is too slow{told}"),)
        return ()

    def end(self) -> None:
        """Take no more; what waits is still written."""
        with self._changed:
            if not self._closing:
                self._closing = True
                self._closed_ns = self._clock.monotonic_ns()
                self._changed.notify_all()

    def close(self) -> None:
        """Let what waits be written, until ``CLOSE_SECONDS`` after ``end``; safe to call twice."""
        self.end()
        gone_ns = self._clock.monotonic_ns() - self._closed_ns
        self._thread.join(max(0.0, CLOSE_SECONDS - gone_ns / NS_PER_SECOND))
        with self._changed:
            left = len(self._backlog) + self._busy
            told, self._given_up = self._given_up, True  # a hang that ends later writes no more
        if left and not told:
            log.warning("%s: %d messages were not written", self.name, left)

    @property
    def _lost(self) -> int:
        return self._backlog.dropped + self._failed

    def _run(self) -> None:
        try:
            while self._is_ready() and (outgoing := self._next()) is not None:
                if not self._deliver(outgoing):
                    return
        finally:
            self._shut()
            self.heartbeat.ended = True

    def _next(self) -> Outgoing | None:
        with self._changed:
            while not self._backlog and not self._closing:
                self.heartbeat.wait("a message", _IDLE_SECONDS)
                self._changed.wait(_IDLE_SECONDS / 2)
            outgoing = None if self._given_up else self._backlog.take()
            self._busy = outgoing is not None
            return outgoing

    def _deliver(self, outgoing: Outgoing) -> bool:
        """Hand a message over, however often that takes; False when the sink is closed before."""
        while True:
            self.heartbeat.wait("a write", HANDLE_SECONDS)
            try:
                self._outlet.handle(outgoing)
            except (OSError, ApplianceError) as error:
                if not (self._pause(error) and self._opened()):
                    return False
            except Exception as error:  # noqa: BLE001 - whatever a sink does, the others go on
                self._note_fault(f"{type(error).__name__}: {error}")
                self._note_done(failed=True)
                return True
            else:
                self._note_done(failed=False)
                return True

    def _is_ready(self) -> bool:
        """Open the outlet where it is not; False when the sink is closed before."""
        if self._open:
            return True
        if not self._opened():
            return False
        with self._changed:
            self._fault = ""
        return True

    def _opened(self) -> bool:
        while True:
            self.heartbeat.wait("its opening", HANDLE_SECONDS)
            try:
                self._outlet.open()
            except Exception as error:  # noqa: BLE001 - as above
                if not self._pause(error):
                    return False
            else:
                self._open = True
                return True

    def _pause(self, error: Exception) -> bool:
        """Tell of an error and wait; False when the sink is being closed."""
        self._shut()
        self._note_fault(_words(error))
        self.heartbeat.wait("its next attempt", 2 * RETRY_SECONDS)
        with self._changed:
            return not self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)

    def _shut(self) -> None:
        self._open = False
        self.heartbeat.wait("its closing", HANDLE_SECONDS)
        try:
            self._outlet.close()
        except Exception as error:  # noqa: BLE001 - as above
            log.warning("%s: closing: %s", self.name, _words(error))

    def _note_fault(self, words: str) -> None:
        with self._changed:
            is_news, self._fault = not self._fault, words
        if is_news:
            log.warning("%s: %s", self.name, words)

    def _note_done(self, *, failed: bool) -> None:
        with self._changed:
            self._busy = False
            if failed:
                self._failed += 1
            else:
                self._handled += 1
                self._fault = ""


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
