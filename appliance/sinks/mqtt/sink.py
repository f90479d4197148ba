"""Publishes over MQTT: one thread holds the connection, everything else only fills the send queue.

It decides what is sent, how long it waits before it tries again, and which version it speaks.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from typing import TYPE_CHECKING

from paho.mqtt.client import MQTTv5, MQTTv311

from appliance.backoff import Backoff
from appliance.clock import SystemClock
from appliance.errors import ApplianceError, BrokerUnavailableError
from appliance.pipeline.heartbeat import BUSY_SECONDS, Heartbeat
from appliance.reports.messages import SinkInfo
from appliance.sinks.mqtt.connection import CONNECT_SECONDS, OFFLINE, Connection
from appliance.sinks.mqtt.queue import Queued, SendQueue
from appliance.sinks.mqtt.terms import Suspicion, Terms
from appliance.sinks.mqtt.twin import Twin

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.clock import Clock
    from appliance.reports.outgoing import Outgoing
    from appliance.sinks import SinkProblem
    from appliance.sinks.mqtt.commands import Commands
    from appliance.sinks.mqtt.connection import BrokerAddress
    from appliance.sinks.outbox.outbox import Outbox

log = logging.getLogger(__name__)

PROBE_SECONDS = 2.0
"""How long ``auto`` waits for an answer to MQTT 5 before it tries 3.1.1: some 3.1.1 brokers
(amqtt) neither answer nor close."""
SETTLED_SECONDS = 30.0
"""A session that lasted this long ends the back-off; shorter ones (two units that share a client
id and evict each other) back off further each time."""
FLUSH_SECONDS = 0.7
ONLINE = b"online"
TAKEN_OVER_SECONDS = 300.0
"""Two units that share a client id would evict each other for ever; the older one stands back."""
BIRTH_JITTER_MS = 5000
OPEN_SECONDS = 60.0
"""Longest that opening a connection may take: a resolver asks three servers twice, 5 s each, before
it says that a name is not known."""
_REFUSED_RETRY_SECONDS = 15.0
_TURN_SECONDS = 1.0


class MqttSink:
    """Publishes over MQTT on a thread of its own.

    Args:
        address: of the broker.
        base: ``{prefix}/{device}``: status goes to ``{base}/status``.
        outbox: keeps must-deliver messages.
        on_change: called, from the sink's thread, when the connection came or went.
        commands: what to subscribe to; None for nothing.
        clock: of the heartbeat and of how long publishing takes.
    """

    may_hang = False
    name = "mqtt"

    def __init__(
        self,
        address: BrokerAddress,
        base: str,
        outbox: Outbox,
        on_change: Callable[[], None] = lambda: None,
        *,
        commands: Commands | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self.heartbeat = Heartbeat("mqtt", self._clock)
        self._address = address
        self._commands = commands
        self._again_at: float | None = None
        if commands is not None:
            commands.on_birth = self._somebody_was_born
            commands.on_info = self._look_for_a_twin
        self._status_topic = f"{base}/status"
        self._info_topic = f"{base}/info"
        self._outbox = outbox
        self._on_change = on_change
        self._send_queue = SendQueue(outbox, base)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._wake_lock = threading.Lock()  # a message may come while a reload closes us
        self._closing = threading.Event()
        self._connected = threading.Event()
        self._session_began = 0.0
        self._version = MQTTv311 if address.protocol == "3.1.1" else MQTTv5
        self._backoff = Backoff(1.0, 60.0)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self.problem = "connecting"
        self.failure: ApplianceError | None = None
        self.connections = 0
        self._handled = self._failed = 0
        self._terms = Terms()
        self._suspicion = Suspicion()
        self._refusals: dict[str, tuple[str, int]] = {}
        self._told: set[str] = set()
        self._twin = Twin()
        self._five_worked = False

    def start(self) -> None:
        """Start connecting; does not wait for the broker."""
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Say whether the broker has accepted us and we still hear it."""
        return self._connected.is_set()

    @property
    def protocol_version(self) -> str:
        return "5" if self._version == MQTTv5 else "3.1.1"

    @property
    def frames_dropped(self) -> int:
        """Return per-frame messages that were not sent."""
        return self._send_queue.stream_dropped

    def problems(self) -> tuple[SinkProblem, ...]:
        """Return why messages do not arrive, or might not."""
        found: list[SinkProblem] = []
        if self.problem and self.problem != "connecting":
            found.append(("broker", "", f"broker: {self.problem}"))
        for topic, (why, count) in tuple(self._refusals.items()):
            text = f"broker: {topic} is refused ({count} messages): {why}"
            found.append(("refused", topic, text))
        if self._twin.is_there:
            device = self._info_topic.split("/")[-2]
            text = f"another unit publishes as {device}, too: set device in the configuration"
            found.append(("twin", "", f"broker: {text}"))
        if self._outbox.problem:
            found.append(("outbox", "", f"outbox: {self._outbox.problem}"))
        return tuple(found)

    def outbox_state(self) -> tuple[int, int, int]:
        """Return messages waiting, their bytes, and how many were given up."""
        return (*self._outbox.size(), self._outbox.dropped)

    def tally(self) -> SinkInfo:
        """Return what became of the messages; an outbox's are waiting until acknowledged."""
        events, _, given_up = self.outbox_state()
        return SinkInfo(
            handled=self._handled,
            waiting=events + self._send_queue.waiting(),
            dropped=given_up + self.frames_dropped,
            failed=self._failed,
        )

    def put(self, outgoing: Outgoing) -> None:
        """Take a message; never blocks."""
        self._send_queue.put(outgoing, connected=self._connected.is_set())
        self._notify()

    def end(self) -> None:
        """Send what waits, then ``offline``; returns at once."""
        self._closing.set()
        self._notify()

    def close(self) -> None:
        """Let what waits be sent, within ``FLUSH_SECONDS``."""
        self.end()
        if self._thread.is_alive():
            self._thread.join(FLUSH_SECONDS + 0.3)
        if not self._thread.is_alive():
            self._let_go()

    def _let_go(self) -> None:
        self._outbox.close()
        with self._wake_lock:
            descriptor, self._wake = self._wake, -1
            if descriptor >= 0:
                os.close(descriptor)

    def _notify(self) -> None:
        with self._wake_lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        """Hold connections until closed; whatever ends this thread unasked ends the process."""
        try:
            self._hold_connections()
        except Exception as error:  # noqa: BLE001 - reported by the supervisor
            self.failure = ApplianceError(f"the MQTT thread failed: {error!r}")
            self._on_change()
        finally:
            self.heartbeat.ended = True
            if self._closing.is_set():
                self._let_go()  # who closed us did not wait for an answer that never came

    def _hold_connections(self) -> None:
        while not self._closing.is_set() and self.failure is None:
            self._outbox.catch_up()
            wait_seconds = self._connect_once()
            if wait_seconds and not self._closing.is_set():
                self.heartbeat.wait("its next attempt", wait_seconds + BUSY_SECONDS)
                self._closing.wait(wait_seconds)

    def _connect_once(self) -> float:
        """Hold one connection until it ends; return how long to wait before the next."""
        terms = self._terms
        connection = Connection(
            self._address,
            self._version,
            self._status_topic,
            wake=self._wake,
            answers=self,
            terms=terms,
        )
        probing = self._address.protocol == "auto" and self._version == MQTTv5
        self.heartbeat.wait("the broker's answer", OPEN_SECONDS)
        try:
            connection.open(self._closing, PROBE_SECONDS if probing else CONNECT_SECONDS)
            self._session(connection)
        except (OSError, ValueError, BrokerUnavailableError) as error:
            self._went_down(str(error))
            self._suspicion.ended(connection.suspects)
        finally:
            connection.abandon()
            self._terms = connection.terms
            was_connected = self._connected.is_set()
            self._connected.clear()
            self._send_queue.disconnected()
        if was_connected:
            self._on_change()
        if connection.taken_over:
            self.problem = (
                f"another client took over the client id {self._address.client_id}: two units "
                "with one name? set device in the configuration"
            )
            log.error("MQTT: %s", self.problem)
            self._on_change()
            return TAKEN_OVER_SECONDS
        return self._pause(connection, terms, was_connected=was_connected)

    def _pause(self, ended: Connection, terms: Terms, *, was_connected: bool) -> float:
        asks_less = ended.refused and ended.terms != terms
        if self._try_older_protocol(ended) or asks_less:
            return 0.1
        if was_connected and time.monotonic() - self._session_began > SETTLED_SECONDS:
            self._backoff.reset()
            self._told.clear()
        if self._five_worked and self._address.protocol == "auto":
            self._version = MQTTv5
        if ended.refused:
            return max(self._backoff.next(), _REFUSED_RETRY_SECONDS)
        return self._backoff.next()

    def _try_older_protocol(self, ended: Connection) -> bool:
        """Alternate between MQTT 5 and 3.1.1 in ``auto`` while the broker accepts neither."""
        if self._address.protocol != "auto":
            return False
        if not (ended.unanswered or ended.unsupported):
            return False
        older = self._version == MQTTv5
        self._version = MQTTv311 if older else MQTTv5
        return older

    def _session(self, connection: Connection) -> None:
        self.connections += 1
        self._five_worked = self._five_worked or self._version == MQTTv5
        self._session_began = time.monotonic()
        connection.publish(self._status(ONLINE))
        if self._commands is not None:
            connection.listen(self._commands)
        self._connected.set()
        if self.problem:
            log.info(
                "MQTT connected to %s:%d (version %s)",
                self._address.host,
                self._address.port,
                self.protocol_version,
            )
        self.problem = ""
        self._on_change()
        while not self._closing.is_set():
            self.heartbeat.wait("the connection", _TURN_SECONDS + BUSY_SECONDS)
            self._outbox.catch_up()
            self._feed(connection)
            if not connection.turn(_TURN_SECONDS):
                said = connection.ended_because
                raise BrokerUnavailableError(
                    "the connection was closed" + (f" by the broker: {said}" if said else "")
                )
        self._say_goodbye(connection)

    def _say_goodbye(self, connection: Connection) -> None:
        deadline = time.monotonic() + FLUSH_SECONDS
        while time.monotonic() < deadline:
            self._feed(connection)
            if connection.idle:
                break
            if not connection.turn(deadline - time.monotonic()):
                return
        connection.publish(self._status(OFFLINE))
        while not connection.idle and time.monotonic() < deadline + 0.2:
            if not connection.turn(0.1):
                return
        connection.disconnect()

    def _status(self, word: bytes) -> Queued:
        return Queued(self._status_topic, word, 1, True, None)  # noqa: FBT003

    def _look_for_a_twin(self, payload: bytes, kept: bool) -> None:  # noqa: FBT001 - a callback
        device = self._info_topic.split("/")[-2]
        if self._twin.look(self._send_queue.state_of("info"), payload, kept=kept):
            if self._twin.is_there:
                log.error("MQTT: another unit publishes as %s, too", device)
            self._on_change()

    def _somebody_was_born(self) -> None:
        """Send all states again, not at the moment when every unit does."""
        self._again_at = time.monotonic() + secrets.randbelow(BIRTH_JITTER_MS) / 1000

    def _feed(self, connection: Connection) -> None:
        if self._again_at is not None and time.monotonic() >= self._again_at:
            self._again_at = None
            self._send_queue.again()
        if self._suspicion.is_careful:
            if connection.survived is not None:
                self._suspicion.cleared(connection.survived)
            if time.monotonic() - self._session_began > SETTLED_SECONDS:
                self._suspicion.settled()
        while not (connection.full or (self._suspicion.is_careful and connection.is_trying)):
            letter = self._send_queue.take()
            if letter is None:
                return
            refusal = self._suspicion.refusal(letter)
            if refusal:
                self.refused(letter, refusal)
            else:
                connection.publish(letter)

    def delivered(self, letter: Queued) -> None:
        """Count and forget a message that the broker has."""
        self._handled += 1
        if letter.qos:  # else it was only written
            self._suspicion.cleared(letter)
        self._refusals.pop(letter.topic, None)
        if letter.topic == self._info_topic:
            self._twin.told()
        if letter.written is not None:
            letter.written(self._clock.monotonic_ns() - letter.handed_ns)
        self._send_queue.acknowledged(letter)

    def refused(self, letter: Queued, why: str) -> None:
        """Step over a message that the broker does not take."""
        self._failed += 1
        before = self._refusals.get(letter.topic)
        self._refusals[letter.topic] = (why, before[1] + 1 if before else 1)
        if before is None or before[0] != why:
            log.warning("MQTT: %s was refused: %s", letter.topic, why)
        self._suspicion.cleared(letter)
        self._send_queue.acknowledged(letter)

    def _went_down(self, reason: str) -> None:
        if self._closing.is_set():
            return
        if reason not in self._told:  # the first symptom is seldom the reason
            self._told.add(reason)
            log.warning(
                "MQTT broker %s:%d: %s; trying again",
                self._address.host,
                self._address.port,
                reason,
            )
        self.problem = reason
