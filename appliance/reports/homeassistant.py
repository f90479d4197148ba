"""What Home Assistant needs to find the unit by itself: one message, retained.

Keys and rules: the MQTT integration's device discovery (2024.11 and newer). Entities read the
topics that exist anyway; nothing is published for Home Assistant alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from appliance.config import Settings

_EXPIRES = 3
"""Intervals without a message after which a value counts as unknown."""
UPDATE_KEYS = ("installed_version", "latest_version", "title", "release_summary", "in_progress")
"""All that an update entity takes; others make Home Assistant refuse the whole message."""
_UPDATE_TEMPLATE = (
    "{{ {" + ", ".join(f"'{key}': value_json.{key}" for key in UPDATE_KEYS) + "} | tojson }}"
)


def discovery(settings: Settings, device: str, *, board: str, software: str) -> dict[str, Any]:
    """Return the discovery payload of a unit.

    Args:
        settings: its configuration.
        device: its name.
        board: model of the board.
        software: version.
    """
    base = f"{settings.mqtt.prefix}/{device}"
    health = {
        "state_topic": f"{base}/health",
        "expire_after": round(settings.telemetry.interval_seconds * _EXPIRES),
        "entity_category": "diagnostic",
    }
    entities: dict[str, dict[str, Any]] = {
        "temperature": {
            "platform": "sensor",
            "name": "Processor temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "state_class": "measurement",
            "suggested_display_precision": 1,
            "value_template": "{{ value_json.temperature_celsius }}",
            **health,
        },
        "throttled": {
            "platform": "binary_sensor",
            "name": "Throttled",
            "device_class": "problem",
            "value_template": "{{ {true: 'ON', false: 'OFF'}.get(value_json.throttled, 'None') }}",
            **health,
        },
        "problem": {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "value_template": "{{ 'ON' if value_json.state == 'degraded' else 'OFF' }}",
            "json_attributes_topic": f"{base}/health",
            "json_attributes_template": "{{ {'reasons': value_json.reasons} | tojson }}",
            **health,
        },
        "update": {
            "platform": "update",
            "name": "Software",
            "device_class": "firmware",
            "entity_category": "config",
            "state_topic": f"{base}/update",
            "value_template": _UPDATE_TEMPLATE,
            **(
                {"command_topic": f"{base}/cmd/update", "payload_install": "install"}
                if settings.update.origin
                else {}
            ),
        },
    }
    for camera in settings.camera:
        for key, name, field in (
            ("fps", "end-to-end rate", "end_to_end_fps"),
            ("inference_fps", "inference-only rate", "inference_only_fps"),
        ):
            entities[f"{camera.name}_{key}"] = {
                "platform": "sensor",
                "name": f"{camera.name} {name}",
                "device_class": "frequency",
                "unit_of_measurement": "Hz",
                "state_class": "measurement",
                "suggested_display_precision": 1,
                "state_topic": f"{base}/{camera.name}/metrics",
                "expire_after": round(settings.metrics.window_seconds * _EXPIRES),
                "value_template": f"{{{{ value_json.{field} }}}}",
            }
    for key, entity in entities.items():
        entity["unique_id"] = f"{device}_{key}"
    return {
        "device": {
            "identifiers": [device],
            "name": device,
            "model": board,
            "sw_version": software,
        },
        "origin": {"name": "appliance", "sw_version": software},
        "availability": [{"topic": f"{base}/status"}],
        "qos": 1,
        "components": entities,
    }
