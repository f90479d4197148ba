"""A camera as a device: who is there, how many, what crossed, how fast, on and off."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from appliance.config.scene import labels_of
from appliance.reports.homeassistant.unit import EXPIRES

if TYPE_CHECKING:
    from appliance.config import CameraSettings, Settings
    from appliance.reports.homeassistant.unit import Entities

USUAL = ("person", "car", "dog", "cat", "bicycle", "motorcycle", "bus", "truck", "bird")
"""What is offered where the owner does not say what is looked for; the first is switched on."""
_EVENT_TEMPLATE = (
    "{% if value_json.event in ('new', 'end') %}"
    "{{ {'event_type': value_json.event, 'label': value_json.label, 'zones': value_json.zones, "
    "'object': value_json.id, 'score': value_json.best.score, "
    "'duration_seconds': value_json.duration_seconds} | tojson }}"
    "{% endif %}"
)
_WATCHED = "{{ 'online' if value_json.watched else 'offline' }}"


def labels_told(camera: CameraSettings, settings: Settings, known: tuple[str, ...]) -> list[str]:
    """Return the labels that have entities at a camera.

    Args:
        camera: its settings.
        settings: of the unit.
        known: names that the model has.
    """
    return list(labels_of(camera, settings.model)) or [label for label in USUAL if label in known]


def camera_entities(
    settings: Settings, camera: CameraSettings, base: str, known: tuple[str, ...]
) -> Entities:
    """Return the entities of a camera.

    Args:
        settings: of the unit.
        camera: its settings.
        base: what the unit's topics begin with.
        known: names that the model has.
    """
    topic = f"{base}/{camera.name}"
    entities = _rates(settings, topic)
    if settings.mqtt.commands:
        entities |= _commands(camera.name, base)
    if camera.pictures.enabled:
        entities |= _pictures(camera.name, base, commands=settings.mqtt.commands)
    if not camera.objects.enabled:
        return entities
    labels = labels_told(camera, settings, known)
    is_chosen = bool(labels_of(camera, settings.model))
    watched = {
        "availability": [
            {"topic": f"{base}/status"},
            {"topic": f"{topic}/objects", "value_template": _WATCHED},
        ],
        "availability_mode": "all",
        "state_topic": f"{topic}/objects",
    }
    for label in labels:
        is_on = is_chosen or label == USUAL[0]
        entities |= _place(label, "", "value_json.everywhere", watched, enabled=is_on)
        for zone in camera.zone:
            if not zone.labels or label in zone.labels:
                path = _in("value_json.zones", zone.name)
                entities |= _place(label, zone.name, path, watched, enabled=is_on)
        for line in camera.line:
            if not line.labels or label in line.labels:
                entities |= _line(label, line.name, topic, enabled=is_on)
    entities["object"] = {
        "platform": "event",
        "name": "Object",
        "device_class": "motion",
        "event_types": ["new", "end"],
        "state_topic": f"{topic}/events",
        "value_template": _EVENT_TEMPLATE,
    }
    entities["last_seen"] = {
        "platform": "sensor",
        "name": "Last object",
        "device_class": "timestamp",
        "state_topic": f"{topic}/events",
        "value_template": "{{ value_json.last_seen_at }}",
    }
    return entities


def _place(label: str, zone: str, path: str, watched: dict[str, Any], *, enabled: bool) -> Entities:
    word, where = json.dumps(label), f"{title(zone)} " if zone else ""
    key = f"{slug(zone)}_{slug(label)}" if zone else slug(label)
    name = f"{where}{label}" if zone else title(label)
    occupied, counts = _in(path, "occupied"), _in(path, "counts")
    return {
        f"{key}_occupancy": {
            "platform": "binary_sensor",
            "name": name,
            "device_class": "occupancy",
            "value_template": f"{{% set found = {occupied} %}}"
            "{{ 'None' if found is none else 'ON' if found.get(" + word + ") else 'OFF' }}",
            "enabled_by_default": enabled,
            **watched,
        },
        f"{key}_count": {
            "platform": "sensor",
            "name": f"{name} count",
            "state_class": "measurement",
            "value_template": f"{{% set found = {counts} %}}"
            "{{ none if found is none else found.get(" + word + ", 0) }}",
            "enabled_by_default": enabled,
            **watched,
        },
    }


def _line(label: str, line: str, topic: str, *, enabled: bool) -> Entities:
    path = _in("value_json.totals.lines", line)
    return {
        f"{slug(line)}_{way}_{slug(label)}": {
            "platform": "sensor",
            "name": f"{title(line)} {label} {way}",
            "state_class": "total_increasing",
            "state_topic": f"{topic}/objects",
            "value_template": f"{{% set found = {_in(path, way)} %}}"
            "{{ none if found is none else found.get(" + json.dumps(label) + ", 0) }}",
            "enabled_by_default": enabled,
        }
        for way in ("in", "out")
    }


def _rates(settings: Settings, topic: str) -> Entities:
    metrics = {
        "state_topic": f"{topic}/metrics",
        "expire_after": round(settings.metrics.window_seconds * EXPIRES),
        "entity_category": "diagnostic",
    }
    entities: Entities = {
        "connected": {
            "platform": "binary_sensor",
            "name": "Camera",
            "device_class": "connectivity",
            "value_template": "{{ 'ON' if value_json.window.frames else 'OFF' }}",
            **metrics,
        }
    }
    for key, name, field, enabled in (
        ("fps", "End-to-end rate", "end_to_end_fps", True),
        ("inference_fps", "Inference-only rate", "inference_only_fps", False),
    ):
        entities[key] = {
            "platform": "sensor",
            "name": name,
            "device_class": "frequency",
            "unit_of_measurement": "Hz",
            "state_class": "measurement",
            "suggested_display_precision": 1,
            "value_template": f"{{{{ value_json.{field} }}}}",
            "enabled_by_default": enabled,
            **metrics,
        }
    return entities


def _commands(camera: str, base: str) -> Entities:
    path = _in("value_json.cameras", camera)

    def payload(**fields: Any) -> str:
        return json.dumps({"camera": camera, **fields})

    return {
        "enabled": {
            "platform": "switch",
            "name": "Camera",
            "entity_category": "config",
            "state_topic": f"{base}/state",
            "value_template": f"{{{{ 'ON' if {_in(path, 'enabled')} else 'OFF' }}}}",
            "state_on": "ON",
            "state_off": "OFF",
            "command_topic": f"{base}/cmd/camera",
            "payload_on": payload(enabled=True),
            "payload_off": payload(enabled=False),
        },
        "threshold": {
            "platform": "number",
            "name": "Score threshold",
            "entity_category": "config",
            "state_topic": f"{base}/state",
            "value_template": f"{{{{ {_in(path, 'threshold')} }}}}",
            "command_topic": f"{base}/cmd/threshold",
            "command_template": f'{{"camera": {json.dumps(camera)}, "threshold": {{{{ value }}}}}}',
            "min": 0,
            "max": 1,
            "step": 0.01,
            "mode": "slider",
        },
    }


def _pictures(camera: str, base: str, *, commands: bool) -> Entities:
    """Return the last picture of an object, and what takes one."""
    image = {
        "platform": "image",
        "name": "Last object picture",
        "content_type": "image/jpeg",
        "image_topic": f"{base}/{camera}/image",
    }
    button = {
        "platform": "button",
        "name": "Snapshot",
        "command_topic": f"{base}/cmd/snapshot",
        "payload_press": json.dumps({"camera": camera}),
    }
    return {"image": image, "snapshot": button} if commands else {"image": image}


def _in(path: str, key: str) -> str:
    """Return a template for what lies under a key, none where it is not there (any more)."""
    return f"({path} or {{}}).get({json.dumps(key)})"


def slug(text: str) -> str:
    """Return a text as part of an entity's id."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def title(text: str) -> str:
    """Return a label or a name as the beginning of an entity's name."""
    words = text.replace("-", " ")
    return words[:1].upper() + words[1:]
