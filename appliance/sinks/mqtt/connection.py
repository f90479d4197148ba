"""One MQTT connection, from CONNECT to its end: paho-mqtt driven by our own loop.

No thread of paho's that a callback could kill; a new client for every connection, so that nothing
stale is sent again; and never more than ten unacknowledged messages inside it (after a reconnect
it would send its whole queue at once).
"""

from __future__ import annotations

import logging
import os
import select
import socket
import ssl
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from appliance.errors import BrokerUnavailableError
from appliance.reports.outgoing import JSON
from appliance.sinks.mqtt.terms import SUSPECT_SECONDS, Terms

if TYPE_CHECKING:
    import threading

    from appliance.sinks.mqtt.commands import Commands
    from appliance.sinks.mqtt.queue import Queued

log = logging.getLogger(__name__)

IN_FLIGHT_LIMIT = 10
CONNECT_SECONDS = 5.0
TCP_USER_TIMEOUT_MS = 30_000
OFFLINE = b"offline"
TRIAL_SECONDS = 0.5
_SESSION_TAKEN_OVER = 0x8E
_RETAIN_NOT_SUPPORTED = 0x9A
_QOS_NOT_SUPPORTED = 0x9B
_UNSUPPORTED_VERSION = 0x84
_KEEPALIVE_TIMEOUT = 0x8D

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


class Answers(Protocol):
    """Is told what became of each message."""

    def delivered(self, letter: Queued) -> None:
        """The broker has it."""

    def refused(self, letter: Queued, why: str) -> None:
        """The broker does not take it, and never will."""


class Connection:
    """Used by one thread.

    Args:
        address: of the broker.
        version: of MQTT.
        status_topic: where the broker says ``offline`` for us once we are gone.
        wake: an eventfd; ``turn`` returns when it is written to.
        answers: told what became of each message.
        terms: what is known of the broker before it says so.

    Attributes:
        unanswered: CONNECT got no answer.
        terms: what the broker takes.
    """

    def __init__(
        self,
        address: BrokerAddress,
        version: MQTTProtocolVersion,
        status_topic: str,
        *,
        wake: int,
        answers: Answers,
        terms: Terms,
    ) -> None:
        self._address = address
        self._version = version
        self._status_topic = status_topic
        self._wake = wake
        self._answers = answers
        self.terms = terms
        self._last: Queued | None = None
        self._last_sent = 0.0
        self._in_flight: dict[int, Queued] = {}
        self._made_properties: dict[int | None, Properties] = {}
        self._connack: Any = None
        self._disconnect_reason: Any = None
        self._silent = False  # nothing came any more: the network, not the broker
        self._client = self._make_client()
        self.unanswered = False

    @property
    def refused(self) -> bool:
        """Say whether the broker answered, and did not want us."""
        return self._connack is not None and bool(self._connack.is_failure)

    @property
    def unsupported(self) -> bool:
        """Say whether the broker does not speak this version."""
        return self._connack is not None and bool(self._connack.value == _UNSUPPORTED_VERSION)

    @property
    def taken_over(self) -> bool:
        """Say whether another client with our id ended it."""
        reason = self._disconnect_reason
        return reason is not None and bool(reason.value == _SESSION_TAKEN_OVER)

    @property
    def ended_because(self) -> str:
        """Return what the broker said when it ended the connection; empty if it said nothing."""
        reason = self._disconnect_reason
        return str(reason.getName()) if reason is not None and reason.is_failure else ""

    @property
    def suspects(self) -> tuple[Queued, ...]:
        """Return the messages that may have been what the broker ended the connection for."""
        if self._silent or time.monotonic() - self._last_sent > SUSPECT_SECONDS:
            return ()
        waiting = tuple(self._in_flight.values())
        if self._last is None or self._last in waiting:
            return waiting
        return (*waiting, self._last)

    @property
    def survived(self) -> Queued | None:
        """Return the last message if nobody answers such, and the connection outlived it."""
        last = self._last
        return last if last is not None and not last.qos and not self.is_trying else None

    @property
    def is_trying(self) -> bool:
        """Say whether it is too early to know if the last message is what ends connections.

        Nobody answers a message of QoS 0: the connection goes on, or does not.
        """
        return not self.idle or time.monotonic() - self._last_sent < TRIAL_SECONDS

    @property
    def idle(self) -> bool:
        """Say whether everything sent is acknowledged."""
        return not self._in_flight

    @property
    def full(self) -> bool:
        """Say whether as much is on its way as may be."""
        return len(self._in_flight) >= min(IN_FLIGHT_LIMIT, self.terms.in_flight)

    def open(self, closing: threading.Event, answer_seconds: float = CONNECT_SECONDS) -> None:
        """Connect, and wait for the broker's answer.

        Args:
            closing: gives up when set.
            answer_seconds: how long the answer may take.

        Raises:
            BrokerUnavailableError: no answer, or a refusal.
            OSError: no way there, or no trust in who answers.
            ValueError: paho refuses the address.
        """
        address = self._address
        self._client.connect(address.host, address.port, address.keepalive_seconds)
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)
        self._await_connack(closing, answer_seconds)

    def listen(self, commands: Commands) -> None:
        commands.listen(self._client)

    def publish(self, letter: Queued) -> None:
        """Send a message, unless the broker said that it does not take such.

        Raises:
            BrokerUnavailableError: the connection is gone.
        """
        properties = None
        if self._version == MQTTv5 and letter.topic != self._status_topic:
            properties = self._properties(letter)
        if self.terms.packet_bytes is not None:
            size = len(properties.pack()) if properties else 1  # type: ignore[no-untyped-call]
            refusal = self.terms.refusal(letter, size)
            if refusal:
                self._answers.refused(letter, refusal)
                return
        self._last, self._last_sent = letter, time.monotonic()
        info = self._client.publish(
            letter.topic,
            letter.payload,
            min(letter.qos, self.terms.qos),
            letter.retain and self.terms.retain,
            properties=properties,
        )
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BrokerUnavailableError(f"the connection was lost while sending ({info.rc.name})")
        if info.is_published():  # QoS 0, written at once: on_publish has run already
            self._answers.delivered(letter)
        else:
            self._in_flight[info.mid] = letter

    def turn(self, seconds: float) -> bool:
        """Serve the socket once, waiting up to ``seconds``; False when it is closed."""
        client = self._client
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

    def disconnect(self) -> None:
        """Tell the broker that we go, so that it does not say so for us."""
        self._client.disconnect()

    def abandon(self) -> None:
        """Close the socket without a DISCONNECT, unless one was sent: then it is closed already."""
        connection = self._client.socket()
        if connection is not None:
            connection.close()

    def _make_client(self) -> Client:
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
        qos, retain = min(1, self.terms.qos), self.terms.retain
        client.will_set(self._status_topic, OFFLINE, qos=qos, retain=retain)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    def _await_connack(self, closing: threading.Event, answer_seconds: float) -> None:
        self.unanswered = True
        deadline = time.monotonic() + answer_seconds
        while self._connack is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise BrokerUnavailableError("the broker does not answer CONNECT")
            if closing.is_set():
                raise BrokerUnavailableError("closing")
            if not self.turn(min(left, 0.5)) and self._connack is None:
                raise BrokerUnavailableError(self._silence())
        self.unanswered = False
        if self.refused:
            raise BrokerUnavailableError(f"refused by the broker: {self._connack.getName()}")

    def _silence(self) -> str:
        """Say why a broker may close without an answer."""
        if self._address.tls is None:
            return (
                "closed by the broker without an answer: does it want TLS (mqtt.tls = true), or "
                "another version (mqtt.protocol)?"
            )
        return (
            "closed by the broker without an answer: does it want a certificate of ours "
            "(mqtt.tls_certificate_file)?"
        )

    def _properties(self, letter: Queued) -> Properties:
        """Return what says of a message what it is and how long it counts; once each for JSON."""
        if letter.content_type != JSON:
            return _made(letter)
        if letter.expiry_seconds not in self._made_properties:
            self._made_properties[letter.expiry_seconds] = _made(letter)
        return self._made_properties[letter.expiry_seconds]

    def _on_connect(self, _c: Any, _u: Any, _f: Any, reason: Any, said: Any) -> None:
        self._connack = reason
        if reason.value == _RETAIN_NOT_SUPPORTED:
            self.terms = replace(self.terms, retain=False)
        elif reason.value == _QOS_NOT_SUPPORTED:
            self.terms = replace(self.terms, qos=0)
        elif said is not None:
            self.terms = Terms(
                packet_bytes=getattr(said, "MaximumPacketSize", None),
                in_flight=getattr(said, "ReceiveMaximum", 65_535),
                retain=bool(getattr(said, "RetainAvailable", 1)) and self.terms.retain,
                qos=min(getattr(said, "MaximumQoS", 2), self.terms.qos),
            )

    def _on_disconnect(self, _c: Any, _u: Any, flags: Any, reason: Any, _p: Any) -> None:
        if flags.is_disconnect_packet_from_server:  # else the reason is only paho's
            self._disconnect_reason = reason
        self._silent = reason.value == _KEEPALIVE_TIMEOUT

    def _on_publish(self, _c: Any, _u: Any, mid: int, reason: Any, _p: Any) -> None:
        letter = self._in_flight.pop(mid, None)
        if letter is None:
            return
        if reason.is_failure:
            self._answers.refused(letter, reason.getName())
        else:
            self._answers.delivered(letter)


def _made(letter: Queued) -> Properties:
    made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    made.ContentType = letter.content_type
    made.PayloadFormatIndicator = int(letter.content_type == JSON)
    if letter.expiry_seconds is not None:
        made.MessageExpiryInterval = letter.expiry_seconds
    if letter.user:
        made.UserProperty = list(letter.user)
    return made
