"""Does a message get through? Connects as the unit would, subscribes, publishes, waits for it.

With a client id of its own, so that a unit that runs keeps its session.
"""

from __future__ import annotations

import secrets
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from appliance.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.enums import MQTTProtocolVersion

    from appliance.sinks.mqtt.connection import BrokerAddress

SECONDS = 5.0
_UNSUPPORTED_VERSION = 0x84
_NOT_ACCEPTED = 1
"""What CONNACK says to a version that it does not speak, in MQTT 5 and in 3.1.1."""


@dataclass(slots=True)
class _Answers:
    """What the broker said so far; reason codes, None while there is none."""

    connected: Any = None
    subscribed: Any = None
    published: Any = None
    arrived: bool = False


def probe(address: BrokerAddress, topic: str, seconds: float = SECONDS) -> str:
    """Return which version of MQTT a message got through with.

    Args:
        address: of the broker.
        topic: to publish to.
        seconds: each step may take.

    Raises:
        BrokerUnavailableError: it does not; the message names the step and the broker's word.
    """
    versions = {"5": (MQTTv5,), "3.1.1": (MQTTv311,)}.get(address.protocol, (MQTTv5, MQTTv311))
    for version in versions:
        if _try(address, version, topic, seconds, is_last=version == versions[-1]):
            return "5" if version == MQTTv5 else "3.1.1"
    raise BrokerUnavailableError(f"broker {_where(address)}: does not answer")


def _try(
    address: BrokerAddress,
    version: MQTTProtocolVersion,
    topic: str,
    seconds: float,
    *,
    is_last: bool,
) -> bool:
    """Return whether it got through; False where another version should be tried."""
    answers, where = _Answers(), _where(address)
    client = _client(address, version, answers)
    try:
        client.connect(address.host, address.port, address.keepalive_seconds)
        heard = _turn(client, lambda: answers.connected is not None, seconds)
        if not is_last and (not heard or _speaks_another(answers.connected)):
            return False
        if not heard:
            raise BrokerUnavailableError(
                f"broker {where}: closes without an answer",
                hint="does it want TLS (mqtt.tls), a certificate of ours, or another version?",
            )
        if answers.connected.is_failure:
            raise BrokerUnavailableError(f"broker {where}: refuses: {answers.connected.getName()}")
        token = secrets.token_hex(8).encode()
        client.on_message = lambda _c, _d, message: _arrived(answers, message, token)
        client.subscribe(topic, qos=1)
        _turn(client, lambda: answers.subscribed is not None, seconds)
        client.publish(topic, token, qos=1)
        got = _turn(client, lambda: answers.published is not None, seconds)
        if got and answers.published.is_failure:
            why = answers.published.getName()
            raise BrokerUnavailableError(f"broker {where}: {topic} is refused: {why}")
        if not got or not _turn(client, lambda: answers.arrived, seconds):
            raise BrokerUnavailableError(
                f"broker {where}: a message to {topic} does not come back",
                hint="may the account write there, and read (the broker's ACL)?",
            )
        client.disconnect()
    except ssl.SSLCertVerificationError as error:
        raise BrokerUnavailableError(
            f"broker {where}: its certificate is not trusted: {error.verify_message}",
            hint="mqtt.tls_ca_file names the authority that signed it; mqtt.host must be in it",
        ) from error
    except (OSError, ValueError) as error:
        raise BrokerUnavailableError(
            f"broker {where}: {error}", hint="is it running, and are mqtt.host, port and tls right?"
        ) from error
    return True


def _client(address: BrokerAddress, version: MQTTProtocolVersion, answers: _Answers) -> Client:
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"{address.client_id}-check",
        protocol=version,
        reconnect_on_failure=False,
    )
    client.connect_timeout = SECONDS
    if address.username:
        client.username_pw_set(address.username, address.password or None)
    if address.tls is not None:
        client.tls_set_context(address.tls)

    def connected(_c: Any, _d: Any, _f: Any, reason: Any, _p: Any) -> None:
        answers.connected = reason

    def subscribed(_c: Any, _d: Any, _m: int, reasons: Any, _p: Any) -> None:
        answers.subscribed = reasons[0] if reasons else None

    def published(_c: Any, _d: Any, _m: int, reason: Any, _p: Any) -> None:
        answers.published = reason

    client.on_connect, client.on_subscribe, client.on_publish = connected, subscribed, published
    return client


def _arrived(answers: _Answers, message: Any, token: bytes) -> None:
    answers.arrived = answers.arrived or message.payload == token


def _turn(client: Client, is_done: Callable[[], bool], seconds: float) -> bool:
    """Serve the connection until something is so, or the time or the connection is over."""
    deadline = time.monotonic() + seconds
    while not is_done():
        left = deadline - time.monotonic()
        if left <= 0 or client.socket() is None:
            return is_done()
        client.loop(min(left, 0.2))
    return True


def _speaks_another(reason: Any) -> bool:
    return bool(reason.value in {_UNSUPPORTED_VERSION, _NOT_ACCEPTED})


def _where(address: BrokerAddress) -> str:
    return f"{address.host}:{address.port}"
