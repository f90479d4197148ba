"""The devices that Home Assistant is told of: the unit, and each camera below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.reports.homeassistant.camera import camera_entities, title
from appliance.reports.homeassistant.unit import unit_entities

if TYPE_CHECKING:
    from appliance.board.identity import Board
    from appliance.config import Settings
    from appliance.reports.homeassistant.unit import Entities


@dataclass(frozen=True, slots=True)
class Discovery:
    """One device.

    Attributes:
        topic: where it is told, from the root.
        payload: what is told.
    """

    topic: str
    payload: dict[str, Any]

    @property
    def platforms(self) -> dict[str, str]:
        """Return the platform of each entity, by key."""
        return {key: one["platform"] for key, one in self.payload["components"].items()}

    def without(self, gone: dict[str, str]) -> Discovery:
        """Return what has Home Assistant remove some entities: platforms by key."""
        components = {key: {"platform": platform} for key, platform in gone.items()}
        both = {**self.payload["components"], **components}
        return Discovery(self.topic, {**self.payload, "components": both})


def discoveries(
    settings: Settings,
    device: str,
    *,
    board: Board,
    software: str,
    labels: tuple[str, ...],
) -> tuple[Discovery, ...]:
    """Return the devices of a unit; the unit first, for the cameras refer to it.

    Args:
        settings: its configuration.
        device: its name.
        board: what it runs on.
        software: version.
        labels: names that the model has.
    """
    base = f"{settings.mqtt.prefix}/{device}"
    prefix = settings.homeassistant.prefix
    about: dict[str, Any] = {
        "identifiers": [device],
        "name": device,
        "model": board.model,
        "sw_version": software,
    }
    said = {
        "manufacturer": board.manufacturer,
        "serial_number": board.serial,
        "configuration_url": settings.homeassistant.configuration_url,
    }
    about |= {key: value for key, value in said.items() if value}

    def made(topic: str, of: dict[str, Any], entities: Entities, owner: str) -> Discovery:
        components = {
            key: {**entity, "unique_id": f"{owner}_{key}"} for key, entity in entities.items()
        }
        payload = {
            "device": of,
            "origin": {"name": "appliance", "sw_version": software},
            "availability": [{"topic": f"{base}/status"}],
            "qos": 1,
            "components": components,
        }
        return Discovery(f"{prefix}/device/{topic}/config", payload)

    unit = made(device, about, unit_entities(settings, base), device)
    cameras = []
    for camera in settings.camera:
        owner = f"{device}_{camera.name}"
        of = {
            "identifiers": [owner],
            "name": f"{device} {title(camera.name)}",
            "model": "Camera",
            "sw_version": software,
            "via_device": device,
        }
        cameras.append(made(owner, of, camera_entities(settings, camera, base, labels), owner))
    return (unit, *cameras)
