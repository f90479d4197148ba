"""The unit as a device: heat, problems, software, pause, restart, alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from appliance.reports.messages import AlertKind

if TYPE_CHECKING:
    from appliance.config import Settings

Entities = dict[str, dict[str, Any]]
EXPIRES = 3
"""Intervals without a message after which a value counts as unknown."""
UPDATE_KEYS = ("installed_version", "latest_version", "title", "release_summary", "in_progress")
"""All that an update entity takes; others make Home Assistant refuse the whole message."""
_UPDATE_TEMPLATE = (
    "{{ {" + ", ".join(f"'{key}': value_json.{key}" for key in UPDATE_KEYS) + "} | tojson }}"
)
_ALERT_TEMPLATE = (
    "{{ {'event_type': value_json.kind, 'camera': value_json.camera, "
    "'reason': value_json.reason} | tojson }}"
)


def unit_entities(settings: Settings, base: str) -> Entities:
    """Return the entities of the unit itself.

    Args:
        settings: its configuration.
        base: what its topics begin with.
    """
    health = {
        "state_topic": f"{base}/health",
        "expire_after": round(settings.telemetry.interval_seconds * EXPIRES),
        "entity_category": "diagnostic",
    }
    entities: Entities = {
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
        "governor": {
            "platform": "sensor",
            "name": "Operating mode",
            "device_class": "enum",
            "options": ["full", "eased", "minimum", "paused"],
            "value_template": "{{ value_json.governor.mode if value_json.governor else none }}",
            "enabled_by_default": False,
            **health,
        },
        "alert": {
            "platform": "event",
            "name": "Alert",
            "event_types": list(get_args(AlertKind)),
            "state_topic": f"{base}/alerts",
            "value_template": _ALERT_TEMPLATE,
            "entity_category": "diagnostic",
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
    return entities | (_commands(base) if settings.mqtt.commands else {})


def _commands(base: str) -> Entities:
    return {
        "detection": {
            "platform": "switch",
            "name": "Detection",
            "state_topic": f"{base}/state",
            "value_template": "{{ 'OFF' if value_json.paused else 'ON' }}",
            "state_on": "ON",
            "state_off": "OFF",
            "command_topic": f"{base}/cmd/pause",
            "payload_on": '{"paused": false}',
            "payload_off": '{"paused": true}',
        },
        "restart": {
            "platform": "button",
            "name": "Restart",
            "device_class": "restart",
            "entity_category": "config",
            "command_topic": f"{base}/cmd/restart",
        },
    }
