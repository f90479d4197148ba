"""Publishes over MQTT: one thread owns the client, everything else only fills the mailbag.

paho-mqtt is driven by our own loop: no thread of its own that a callback could kill, a new client
for every connection so that nothing stale is sent again, and never more than ten unacknowledged
messages inside it (after a reconnect it would send its whole queue at once).
"""

from __future__ import annotations

import logging
import os
import select
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from paho.mqtt.client import Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from appliance.backoff import Backoff
from appliance.errors import ApplianceError, BrokerUnavailableError
from appliance.sinks.mailbag import Letter, Mailbag

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.sinks import Outgoing
    from appliance.sinks.commands import Commands
    from appliance.sinks.outbox import Outbox

log = logging.getLogger(__name__)

IN_FLIGHT_LIMIT = 10
CONNECT_SECONDS = 5.0
PROBE_SECONDS = 2.0
"""How long ``auto`` waits for an answer to MQTT 5 before it tries 3.1.1: some 3.1.1 brokers
(amqtt) neither answer nor close."""
SETTLED_SECONDS = 30.0
"""A session that lasted this long ends the back-off; shorter ones (two units that share a client
id and evict each other) back off further each time."""
FLUSH_SECONDS = 0.7
TCP_USER_TIMEOUT_MS = 30_000
ONLINE, OFFLINE = b"online", b"offline"
TAKEN_OVER_SECONDS = 300.0
"""Two units that share a client id would evict each other for ever; the older one stands back."""
_SESSION_TAKEN_OVER = 0x8E
_UNSUPPORTED_VERSION = 0x84
_REFUSED_RETRY_SECONDS = 30.0

ProtocolName = Literal["auto", "5", "3.1.1"]


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """How to reach the broker.

    Attributes:
        host, port: of the broker.
        client_id: unique at the broker.
        username, password: empty for none.
        protocol: MQTT version; ``auto`` tries 5 first.
        keepalive_seconds: a dead peer is noticed within twice this.
        tls: the TLS context, or None.
    """

    host: str
    port: int
    client_id: str
    username: str = ""
    password: str = ""
    protocol: ProtocolName = "auto"
    keepalive_seconds: int = 15
    tls: ssl.SSLContext | None = None


class MqttSink:
    """See the module's description.

    Args:
        address: of the broker.
        base: ``{prefix}/{device}``: status goes to ``{base}/status``.
        outbox: keeps must-deliver messages.
        on_change: called, from the sink's thread, when the connection came or went.
        commands: what to subscribe to; None for nothing.
    """

    def __init__(
        self,
        address: BrokerAddress,
        base: str,
        outbox: Outbox,
        on_change: Callable[[], None] = lambda: None,
        commands: Commands | None = None,
    ) -> None:
        self._address = address
        self._commands = commands
        self._status_topic = f"{base}/status"
        self._outbox = outbox
        self._on_change = on_change
        self._mailbag = Mailbag(outbox, base)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closing = threading.Event()
        self._connected = threading.Event()
        self._in_flight: dict[int, Letter] = {}
        self._made_properties: dict[int | None, Properties] = {}
        self._connack: Any = None
        self._disconnect_code = 0
        self._unanswered = False
        self._session_began = 0.0
        self._version = MQTTv311 if address.protocol == "3.1.1" else MQTTv5
        self._backoff = Backoff(1.0, 60.0)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self.problem = "connecting"
        self.failure: ApplianceError | None = None
        self.connections = 0

    def start(self) -> None:
        """Start connecting; does not wait for the broker."""
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Say whether the broker has accepted us and we still hear it."""
        return self._connected.is_set()

    @property
    def protocol_version(self) -> str:
        """Return the MQTT version in use."""
        return "5" if self._version == MQTTv5 else "3.1.1"

    @property
    def frames_dropped(self) -> int:
        """Return per-frame messages that were not sent."""
        return self._mailbag.stream_dropped

    def outbox_state(self) -> tuple[int, int, int]:
        """Return messages waiting, their bytes, and how many were given up."""
        return (*self._outbox.size(), self._outbox.dropped)

    def put(self, outgoing: Outgoing) -> None:
        """Take a message; never blocks."""
        self._mailbag.put(outgoing, connected=self._connected.is_set())
        self._notify()

    def close(self) -> None:
        """Send what waits, then ``offline``, within ``FLUSH_SECONDS``."""
        self._closing.set()
        self._notify()
        if self._thread.is_alive():
            self._thread.join(FLUSH_SECONDS + 0.3)
        if not self._thread.is_alive() and self._wake >= 0:
            self._outbox.close()
            descriptor, self._wake = self._wake, -1
            os.close(descriptor)

    def _notify(self) -> None:
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        """Hold connections until closed; whatever ends this thread unasked ends the process."""
        try:
            self._hold_connections()
        except Exception as error:  # noqa: BLE001 - reported by the supervisor
            self.failure = ApplianceError(f"the MQTT thread failed: {error!r}")
            self._on_change()

    def _hold_connections(self) -> None:
        while not self._closing.is_set() and self.failure is None:
            wait_seconds = self._connect_once()
            if wait_seconds and not self._closing.is_set():
                self._closing.wait(wait_seconds)

    def _connect_once(self) -> float:
        """Hold one connection until it ends; return how long to wait before the next."""
        client = self._client()
        self._connack, self._disconnect_code, self._unanswered = None, 0, False
        try:
            client.connect(self._address.host, self._address.port, self._address.keepalive_seconds)
            self._set_user_timeout(client)
            self._await_connack(client)
            self._session(client)
        except (OSError, ValueError, BrokerUnavailableError) as error:
            self._went_down(str(error))
        finally:
            _abandon(client)
            was_connected = self._connected.is_set()
            self._connected.clear()
            self._in_flight.clear()
            self._mailbag.disconnected()
        if was_connected:
            self._on_change()
        if self._disconnect_code == _SESSION_TAKEN_OVER:
            self.problem = (
                f"another client took over the client id {self._address.client_id}: two units "
                "with one name? set device in the configuration"
            )
            log.error("MQTT: %s", self.problem)
            self._on_change()
            return TAKEN_OVER_SECONDS
        return self._pause(was_connected=was_connected)

    def _pause(self, *, was_connected: bool) -> float:
        if self._try_older_protocol():
            return 0.1
        if was_connected and time.monotonic() - self._session_began > SETTLED_SECONDS:
            self._backoff.reset()
        if self._connack is not None and self._connack.is_failure:
            return max(self._backoff.next(), _REFUSED_RETRY_SECONDS / 2)
        return self._backoff.next()

    def _try_older_protocol(self) -> bool:
        """Alternate between MQTT 5 and 3.1.1 in ``auto`` while the broker accepts neither."""
        if self._address.protocol != "auto" or self.connections:
            return False
        refused_version = self._connack is not None and self._connack.value == _UNSUPPORTED_VERSION
        if not (self._unanswered or refused_version):
            return False
        older = self._version == MQTTv5
        self._version = MQTTv311 if older else MQTTv5
        return older

    def _client(self) -> Client:
        address = self._address
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=address.client_id,
            protocol=self._version,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_SECONDS
        if address.username:
            client.username_pw_set(address.username, address.password or None)
        if address.tls is not None:
            client.tls_set_context(address.tls)
        client.will_set(self._status_topic, OFFLINE, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    def _await_connack(self, client: Client) -> None:
        self._unanswered = True
        probing = self._address.protocol == "auto" and self._version == MQTTv5
        deadline = time.monotonic() + (PROBE_SECONDS if probing else CONNECT_SECONDS)
        while self._connack is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise BrokerUnavailableError("the broker does not answer CONNECT")
            if self._closing.is_set():
                raise BrokerUnavailableError("closing")
            if not self._turn(client, min(left, 0.5)) and self._connack is None:
                raise BrokerUnavailableError("closed by the broker without an answer")
        self._unanswered = False
        if self._connack.is_failure:
            raise BrokerUnavailableError(f"refused by the broker: {self._connack.getName()}")

    def _session(self, client: Client) -> None:
        self.connections += 1
        self._session_began = time.monotonic()
        self._publish(client, Letter(self._status_topic, ONLINE, 1, True, None))  # noqa: FBT003
        if self._commands is not None:
            self._commands.listen(client)
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
            self._feed(client)
            if not self._turn(client, 1.0):
                raise BrokerUnavailableError("the connection was closed")
        self._say_goodbye(client)

    def _say_goodbye(self, client: Client) -> None:
        deadline = time.monotonic() + FLUSH_SECONDS
        while time.monotonic() < deadline:
            self._feed(client)
            if not self._in_flight:
                break
            if not self._turn(client, deadline - time.monotonic()):
                return
        self._publish(client, Letter(self._status_topic, OFFLINE, 1, True, None))  # noqa: FBT003
        while self._in_flight and time.monotonic() < deadline + 0.2:
            if not self._turn(client, 0.1):
                return
        client.disconnect()

    def _feed(self, client: Client) -> None:
        while len(self._in_flight) < IN_FLIGHT_LIMIT:
            letter = self._mailbag.take()
            if letter is None:
                return
            self._publish(client, letter)

    def _publish(self, client: Client, letter: Letter) -> None:
        properties = None
        if self._version == MQTTv5 and letter.topic != self._status_topic:
            properties = self._properties(letter.expiry_seconds)
        info = client.publish(
            letter.topic, letter.payload, letter.qos, letter.retain, properties=properties
        )
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BrokerUnavailableError(f"the connection was lost while sending ({info.rc.name})")
        if info.is_published():  # QoS 0, written at once: on_publish has run already
            self._delivered(letter)
        else:
            self._in_flight[info.mid] = letter

    def _properties(self, expiry_seconds: int | None) -> Properties:
        """Return what says of a message that it is JSON and how long it counts; made once each."""
        if expiry_seconds not in self._made_properties:
            made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            made.ContentType = "application/json"
            made.PayloadFormatIndicator = 1
            if expiry_seconds is not None:
                made.MessageExpiryInterval = expiry_seconds
            self._made_properties[expiry_seconds] = made
        return self._made_properties[expiry_seconds]

    def _turn(self, client: Client, seconds: float) -> bool:
        """Serve the socket once, waiting up to ``seconds``; False when it is closed."""
        connection = client.socket()
        if connection is None:
            return False
        pending = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
        writes = [connection] if client.want_write() else []
        readers: list[Any] = [connection, self._wake]
        readable, writable, _ = select.select(
            readers, writes, [], 0 if pending else max(0.0, seconds)
        )
        if self._wake in readable:
            os.eventfd_read(self._wake)
        if writable:
            client.loop_write()
        if pending or connection in readable:
            client.loop_read()
        client.loop_misc()
        return client.socket() is not None

    def _on_connect(self, _c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        self._connack = reason

    def _on_disconnect(self, _c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        self._disconnect_code = reason.value

    def _on_publish(self, _c: Any, _u: Any, mid: int, reason: Any, _p: Any) -> None:
        letter = self._in_flight.pop(mid, None)
        if letter is None:
            return
        if reason.is_failure:
            log.warning("MQTT: %s was refused: %s", letter.topic, reason.getName())
        self._delivered(letter)

    def _delivered(self, letter: Letter) -> None:
        if letter.written is not None:
            letter.written(time.monotonic_ns() - letter.handed_ns)
        self._mailbag.acknowledged(letter)

    def _went_down(self, reason: str) -> None:
        if self._closing.is_set():
            return
        if not self.problem or self.problem == "connecting":
            log.warning(
                "MQTT broker %s:%d: %s; trying again",
                self._address.host,
                self._address.port,
                reason,
            )
        self.problem = reason

    @staticmethod
    def _set_user_timeout(client: Client) -> None:
        connection = client.socket()
        if isinstance(connection, socket.socket):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)


def _abandon(client: Client) -> None:
    """Close the socket without a DISCONNECT, unless one was sent: then it is closed already."""
    connection = client.socket()
    if connection is not None:
        connection.close()
