"""Home Assistant itself; started by ``client.py`` with the Python of ``.homeassistant``.

The usual start falls into recovery mode where the web pages' package is missing. So this sets up
the few parts that MQTT needs by hand, in the order of ``homeassistant/bootstrap.py``. It takes one
request a line on stdin and gives one answer a line on stdout; it ends when stdin ends, so that no
test leaves one behind.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeassistant import (  # type: ignore[import-not-found]
    bootstrap,
    config_entries,
    core,
    core_config,
    loader,
)
from homeassistant.components import mqtt  # type: ignore[import-not-found]
from homeassistant.helpers import (  # type: ignore[import-not-found]
    device_registry,
    entity_registry,
)
from homeassistant.helpers.json import json_dumps  # type: ignore[import-not-found]
from homeassistant.runner import HassEventLoopPolicy  # type: ignore[import-not-found]
from homeassistant.setup import async_setup_component  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ENTRY = "01APPLIANCETESTS0000000000"
CONNECT_SECONDS = 30.0
LINE_LIMIT = 1 << 22
STATUS = "homeassistant/status"

ENTITY_FIELDS = (
    "entity_id", "unique_id", "platform", "device_id", "disabled_by", "hidden_by", "name",
    "original_name", "has_entity_name", "entity_category", "device_class",
    "original_device_class", "original_icon", "unit_of_measurement", "translation_key",
    "capabilities", "supported_features", "config_entry_id",
)  # fmt: skip
DEVICE_FIELDS = (
    "id", "identifiers", "connections", "name", "manufacturer", "model", "model_id",
    "serial_number", "sw_version", "hw_version", "configuration_url", "suggested_area",
    "via_device_id", "config_entries",
)  # fmt: skip

# The first: of platforms that are loaded at the same time, as they are at the first discovery of a
# device, all but one are said not to be awaited. The second: a library for quick JPEG is missing.
OWN_AFFAIRS = ("homeassistant.helpers.frame", "homeassistant.components.camera.img_util")

# A day instead of half a minute: ``enable`` reloads at once, a second time would disturb the test.
config_entries.RELOAD_AFTER_UPDATE_DELAY = 86_400


class Collected(logging.Handler):
    """Keeps what Home Assistant complains about.

    Not only its MQTT integration does: a template that fails, or a unit that does not fit its
    device class, is reported by other parts.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name not in OWN_AFFAIRS:
            self.lines.append(f"{record.name}: {self.format(record)}")


def write_config(folder: Path, port: int, prefix: str) -> None:
    """Write what the dialogue "add integration: MQTT" would have left behind."""
    born = "2026-01-01T00:00:00+00:00"
    status = {"topic": STATUS, "qos": 0, "retain": False}
    entry: dict[str, Any] = {
        "entry_id": ENTRY, "domain": "mqtt", "title": "tests", "unique_id": None,
        "version": 1, "minor_version": 2, "source": "user", "disabled_by": None,
        "created_at": born, "modified_at": born, "discovery_keys": {}, "subentries": [],
        "pref_disable_new_entities": False, "pref_disable_polling": False,
        "data": {"broker": "127.0.0.1", "port": port, "protocol": "5"},
        "options": {
            "discovery": True, "discovery_prefix": prefix,
            "birth_message": status | {"payload": "online"},
            "will_message": status | {"payload": "offline"},
        },
    }  # fmt: skip
    stored = {
        "version": 1,
        "minor_version": 5,
        "key": "core.config_entries",
        "data": {"entries": [entry]},
    }
    (folder / ".storage").mkdir(parents=True, exist_ok=True)
    (folder / ".storage" / "core.config_entries").write_text(json.dumps(stored))
    (folder / "configuration.yaml").touch()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def boot(folder: Path, http_port: int) -> Any:
    """Return a running core; its MQTT integration has begun to connect."""
    hass = core.HomeAssistant(str(folder))
    hass.config.skip_pip = True
    loader.async_setup(hass)
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    await core_config.async_process_ha_core_config(hass, {})
    settings = {"http": {"server_host": ["127.0.0.1"], "server_port": http_port}}
    for domain in ("homeassistant", "persistent_notification", "http", "mqtt"):
        if not await async_setup_component(hass, domain, settings):
            raise RuntimeError(f"Home Assistant cannot set up {domain}")
    await hass.async_start()
    return hass


async def subscribed(hass: Any) -> None:
    """Wait until the broker has acknowledged all that the integration subscribes to."""
    connected = asyncio.Event()
    forget = mqtt.async_subscribe_connection_status(
        hass, lambda state: connected.set() if state else connected.clear()
    )
    try:
        if not mqtt.is_connected(hass):
            async with asyncio.timeout(CONNECT_SECONDS):
                await connected.wait()
    finally:
        forget()
    # Half a second after the last wish to subscribe it would happen by itself, without a notice.
    await hass.data[mqtt.DATA_MQTT].client._subscribe_debouncer.async_execute()


class Answers:
    """What is asked from outside, each answer in Home Assistant's own words."""

    def __init__(self, hass: Any, collected: Collected) -> None:
        self._hass = hass
        self._collected = collected
        self._known: dict[str, Callable[..., Awaitable[Any]]] = {
            "states": self._states,
            "entities": self._entities,
            "devices": self._devices,
            "enable": self._enable,
            "call": self._call,
            "warnings": self._warnings,
        }

    async def to(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer; whatever goes wrong is one too, as the core runs on."""
        number, what = request.pop("id"), request.pop("do")
        try:
            return {"id": number, "result": await self._known[what](**request)}
        except Exception as error:  # noqa: BLE001 - the test hears of it
            return {"id": number, "error": f"{type(error).__name__}: {error}"}

    async def _states(self) -> dict[str, Any]:
        return {state.entity_id: state.as_dict() for state in self._hass.states.async_all()}

    async def _entities(self) -> list[dict[str, Any]]:
        entries = entity_registry.async_get(self._hass).entities.values()
        return [{field: getattr(one, field) for field in ENTITY_FIELDS} for one in entries]

    async def _devices(self) -> list[dict[str, Any]]:
        entries = device_registry.async_get(self._hass).devices.values()
        return [{field: getattr(one, field) for field in DEVICE_FIELDS} for one in entries]

    async def _enable(self, entity_id: str) -> None:
        entity_registry.async_get(self._hass).async_update_entity(entity_id, disabled_by=None)
        await self._hass.config_entries.async_reload(ENTRY)
        await subscribed(self._hass)

    async def _call(self, domain: str, service: str, data: dict[str, Any]) -> None:
        await self._hass.services.async_call(domain, service, data, blocking=True)

    async def _warnings(self) -> list[str]:
        return self._collected.lines


async def serve(hass: Any, collected: Collected, answer_to: int) -> None:
    """Answer until asked to stop, or until nobody is there any more."""
    requests = asyncio.StreamReader(limit=LINE_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    answers = Answers(hass, collected)
    while line := await requests.readline():
        request = json.loads(line)
        if request["do"] == "stop":
            await hass.async_stop()
            say({"id": request["id"], "result": None}, answer_to)
            return
        say(await answers.to(request), answer_to)
    await hass.async_stop()


def say(answer: dict[str, Any], answer_to: int) -> None:
    line = json_dumps(answer).encode() + b"\n"
    while line:
        line = line[os.write(answer_to, line) :]


async def run(folder: Path, collected: Collected, answer_to: int) -> None:
    http_port = free_port()
    hass = await boot(folder, http_port)
    await subscribed(hass)
    say({"ready": True, "http_port": http_port}, answer_to)
    await serve(hass, collected, answer_to)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--broker-port", type=int, required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--discovery-prefix", default="homeassistant")
    wanted = parser.parse_args()
    # Whatever prints must not disturb the answers.
    answer_to = os.dup(1)
    os.dup2(2, 1)
    collected = Collected()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("homeassistant").addHandler(collected)
    logging.getLogger("homeassistant.components.mqtt").setLevel(logging.INFO)
    write_config(wanted.config, wanted.broker_port, wanted.discovery_prefix)
    policy = HassEventLoopPolicy(debug=False)
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=policy.new_event_loop) as runner,
    ):
        runner.run(run(wanted.config, collected, answer_to))


if __name__ == "__main__":
    main()
