"""Somebody on the network with an account of the board's broker."""

from __future__ import annotations

import ssl
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion


class Owner:
    """Somebody on the network with an account of the broker.

    Args:
        port: where the broker is reached.
        user: account.
        password: its password.
        ca: certificate that must have signed the broker's (PEM).
    """

    def __init__(self, port: int, user: str, password: str, ca: str) -> None:
        self.messages: dict[str, list[str]] = {}
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.username_pw_set(user, password)
        context = ssl.create_default_context(cadata=ca)
        context.check_hostname = False  # reached through a forwarded port of the loopback
        self._client.tls_set_context(context)
        self._client.on_message = self._keep
        self._client.on_connect = lambda client, *_: client.subscribe("appliance/#")
        self._client.reconnect_delay_set(1, 5)
        # A board that is starting takes the connection and answers nothing.
        self._client.connect_async("127.0.0.1", port, keepalive=20)
        self._client.loop_start()

    def _keep(self, _client: Any, _data: Any, message: MQTTMessage) -> None:
        self.messages.setdefault(message.topic, []).append(message.payload.decode())

    def last(self, ending: str) -> str:
        """Return the newest message of a topic; empty where there was none."""
        for topic, texts in self.messages.items():
            if topic.endswith(ending):
                return texts[-1]
        return ""

    def say(self, topic: str) -> None:
        """Publish a word."""
        self._client.publish(topic, "now", qos=1).wait_for_publish(30)

    def close(self) -> None:
        """Go."""
        self._client.loop_stop()
