"""What comes in over MQTT: commands, Home Assistant's birth, a twin; on the sink's thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import Client, MQTTMessage

log = logging.getLogger(__name__)

LONGEST = 20_000
"""Bytes of a command that are taken; more are nobody's command."""


class Commands:
    """Subscribes to ``{base}/cmd/{name}`` of each name.

    Args:
        base: ``{prefix}/{device}``.
        names: of the commands that there are.
        on_command: called with the command's name and payload; must not block.
        birth_topic: where Home Assistant says ``online``; empty where nobody asks.
        on_birth: called when it does.

    Attributes:
        on_info: called with what somebody, perhaps we, published as this unit's info, and whether
            the broker had kept it.
    """

    def __init__(
        self,
        base: str,
        names: tuple[str, ...],
        on_command: Callable[[str, bytes], None],
        *,
        birth_topic: str = "",
        on_birth: Callable[[], None] = lambda: None,
    ) -> None:
        self._birth_topic = birth_topic
        self._root = f"{base}/cmd/"
        self._info_topic = f"{base}/info"
        self._topics = [(f"{base}/cmd/{name}", 1) for name in names]
        self._topics.append((self._info_topic, 0))
        if birth_topic:
            self._topics.append((birth_topic, 1))
        self._on_command = on_command
        self.on_birth = on_birth
        self.on_info: Callable[[bytes, bool], None] = lambda _payload, _kept: None

    def listen(self, client: Client) -> None:
        """Subscribe on a new connection."""
        client.on_message = self._arrived
        client.subscribe(self._topics)

    def _arrived(self, _client: Any, _data: Any, message: MQTTMessage) -> None:
        if message.topic == self._birth_topic:
            if message.payload == b"online" and not message.retain:
                self.on_birth()
            return
        if message.topic == self._info_topic:
            self.on_info(bytes(message.payload), bool(message.retain))
            return
        name = message.topic.removeprefix(self._root)
        if message.retain:  # it would be obeyed again at every start
            log.warning("command %s: ignored, it is retained", name)
        else:
            self._on_command(name, bytes(message.payload[: LONGEST + 1]))
