"""Posts events to a receiver, in order, from an outbox that outlives its absence and ours."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import msgspec

from appliance.backoff import Backoff
from appliance.clock import NS_PER_SECOND
from appliance.pipeline.heartbeat import BUSY_SECONDS, Heartbeat
from appliance.reports.messages import SinkInfo
from appliance.reports.objects import EventMessage
from appliance.sinks.webhook.post import LONGEST_WAIT_SECONDS, Poster, headers_of

if TYPE_CHECKING:
    from appliance.clock import Clock
    from appliance.config.webhook import WebhookSettings
    from appliance.reports.outgoing import Outgoing
    from appliance.sinks import SinkProblem
    from appliance.sinks.outbox.outbox import Outbox, Waiting

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 30.0
LOSING_SECONDS = 60.0
"""A receiver that refused an event for good is told for so long."""
CLOSE_SECONDS = 0.8
_IDLE_SECONDS = 30.0


class _Head(msgspec.Struct, frozen=True):
    """What of a waiting message its headers need."""

    boot_id: str
    camera: str
    seq: int
    event: str


class WebhookSink:
    """Thread-safe; its thread runs from ``start``.

    Args:
        settings: of the receiver.
        secret: the key that signs; empty for none.
        outbox: keeps what was not taken yet.
        clock: the appliance's clock.
        poster: sends.
    """

    may_hang = True  # what lies outside would hold a new process as well

    def __init__(
        self,
        settings: WebhookSettings,
        secret: bytes,
        outbox: Outbox,
        clock: Clock,
        poster: Poster,
    ) -> None:
        self.name = f"webhook-{settings.name}"
        self.heartbeat = Heartbeat(self.name, clock)
        self._settings = settings
        self._secret = secret
        self._outbox = outbox
        self._clock = clock
        self._poster = poster
        self._backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
        self._wake, self._closing = threading.Event(), threading.Event()
        self._handled = self._failed = 0
        self._fault = self._refusal = ""
        self._refused_ns: int | None = None
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def put(self, outgoing: Outgoing) -> None:
        """Take a message; never blocks."""
        if isinstance(outgoing.message, EventMessage) and self._wants(outgoing.message):
            self._outbox.add(outgoing.topic, outgoing.payload, None, outgoing.fold)
            self._wake.set()

    def tally(self) -> SinkInfo:
        """Return what became of the events so far."""
        waiting, _ = self._outbox.size()
        return SinkInfo(
            handled=self._handled,
            waiting=waiting,
            dropped=self._outbox.dropped,
            failed=self._failed,
        )

    def problems(self) -> tuple[SinkProblem, ...]:
        """Return why events do not arrive, or not all of them."""
        found: list[SinkProblem] = []
        if self._fault:
            found.append(("sink_failing", self.name, f"{self.name}: {self._fault}"))
        since_ns = self._refused_ns
        if since_ns is not None:
            gone_ns = self._clock.monotonic_ns() - since_ns
            if gone_ns < LOSING_SECONDS * NS_PER_SECOND:
                words = f"{self.name}: an event was refused: {self._refusal}"
                found.append(("sink_failing", self.name, words))
        if self._outbox.problem:
            found.append(("outbox", self.name, f"{self.name}: {self._outbox.problem}"))
        return tuple(found[:1])

    def end(self) -> None:
        """Take no more; returns at once."""
        self._closing.set()
        self._wake.set()

    def close(self) -> None:
        """Let what is being sent be sent; what waits is kept for the next start."""
        self.end()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS / 2)
            self._poster.abort()  # its answer is not waited for: it is sent again, under its id
            self._thread.join(CLOSE_SECONDS / 2)
        if not self._thread.is_alive():
            self._outbox.close()

    def _wants(self, message: EventMessage) -> bool:
        wanted = self._settings
        return (
            message.event in wanted.events
            and (not wanted.cameras or message.camera in wanted.cameras)
            and (not wanted.labels or message.label in wanted.labels)
        )

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                try:
                    self._turn()
                except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
                    self._fault = f"{type(error).__name__}: {error}"
                    log.warning("%s: %s", self.name, self._fault)
                    self._pause(LONGEST_RETRY_SECONDS, is_idle=False)
        finally:
            self._poster.close()
            self.heartbeat.ended = True
            if self._closing.is_set():
                self._outbox.close()

    def _turn(self) -> None:
        self._outbox.catch_up()
        waiting = self._outbox.after(0)
        seconds = _IDLE_SECONDS if waiting is None else self._send(waiting)
        if seconds:
            self._pause(seconds, is_idle=waiting is None)

    def _pause(self, seconds: float, *, is_idle: bool) -> None:
        """Wait for something to send, or until it is time to try again."""
        self.heartbeat.wait("an event" if is_idle else "its next attempt", seconds + BUSY_SECONDS)
        if is_idle:
            self._wake.wait(seconds)
            self._wake.clear()
        else:
            self._closing.wait(seconds)

    def _send(self, waiting: Waiting) -> float:
        """Try the oldest event once; return how long to wait before the next try."""
        head = msgspec.json.decode(waiting.payload, type=_Head)
        delivery = f"{head.boot_id}-{head.camera}-{head.seq}"
        headers = headers_of(waiting.payload, delivery, head.event, self._secret)
        self.heartbeat.wait("an answer", 3 * self._settings.timeout_seconds + BUSY_SECONDS)
        answer = self._poster.post(waiting.payload, headers)
        if answer.again:
            if not self._fault:
                log.warning("%s: %s", self.name, answer.words)
            self._fault = answer.words
            return min(max(self._backoff.next(), answer.wait_seconds), LONGEST_WAIT_SECONDS)
        self._outbox.remove(waiting.number)
        self._backoff.reset()
        self._fault = ""
        if answer.taken:
            self._handled += 1
        else:
            self._failed += 1
            self._refusal, self._refused_ns = answer.words, self._clock.monotonic_ns()
            log.warning("%s: event %s was refused: %s", self.name, delivery, answer.words)
        return 0.0
