"""The one thing that comes in over MQTT: commands, handed on from the sink's thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import Client, MQTTMessage

log = logging.getLogger(__name__)

LONGEST = 1000
"""Bytes of a command; longer ones are nobody's command."""


class Commands:
    """Subscribes to ``{base}/cmd/{name}`` of each name.

    Args:
        base: ``{prefix}/{device}``.
        names: of the commands that there are.
        on_command: called with the command's name and payload; must not block.
    """

    def __init__(
        self, base: str, names: tuple[str, ...], on_command: Callable[[str, bytes], None]
    ) -> None:
        self._topics = [(f"{base}/cmd/{name}", 1) for name in names]
        self._on_command = on_command

    def listen(self, client: Client) -> None:
        """Subscribe on a new connection."""
        client.on_message = self._arrived
        client.subscribe(self._topics)

    def _arrived(self, _client: Any, _data: Any, message: MQTTMessage) -> None:
        name = message.topic.rpartition("/")[2]
        if message.retain:  # it would be obeyed again at every start
            log.warning("command %s: ignored, it is retained", name)
        elif len(message.payload) > LONGEST:
            log.warning("command %s: ignored, it has %d bytes", name, len(message.payload))
        else:
            self._on_command(name, bytes(message.payload))
