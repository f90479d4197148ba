"""The MQTT contract as an AsyncAPI 3.0 document, from the same structs that encode the messages."""

from __future__ import annotations

from typing import Any

from appliance import __version__
from appliance.daemon.commands import COMMANDS, command_schema
from appliance.reports.messages import json_schema
from appliance.reports.topics import TOPICS, Topic

_BASE = "{prefix}/{device}"
_PARAMETERS = {
    "prefix": {"description": "mqtt.prefix.", "default": "appliance"},
    "device": {"description": "Name of the unit, e.g. appliance-e416c778."},
    "camera": {"description": "Name of a camera."},
}


def asyncapi() -> dict[str, Any]:
    """Return the document; from the unit's side: it sends what others receive."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for topic in TOPICS:
        key = topic.name.replace("{camera}/", "camera_")
        channels[key] = _channel(f"{_BASE}/{topic.name}", key, _message(topic), topic.text)
        operations[f"send_{key}"] = _operation("send", key, topic)
    for name, kind in COMMANDS.items():
        asked = f"cmd_{name.replace('/', '_')}"
        answer = f"{asked}_result"
        message = {"contentType": "application/json", "payload": _payload(command_schema(name))}
        text = (kind.__doc__ or "").strip()
        channels[asked] = _channel(f"{_BASE}/cmd/{name}", asked, message, text)
        result = Topic(f"cmd/{name}/result", "What became of it.", "result")
        channels[answer] = _channel(f"{_BASE}/{result.name}", answer, _message(result), result.text)
        operations[f"receive_{asked}"] = {
            **_operation("receive", asked, Topic(f"cmd/{name}", text)),
            "reply": {"channel": {"$ref": f"#/channels/{answer}"}},
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "appliance",
            "version": __version__,
            "description": "Topics of a unit. Keys that you do not know are to be ignored.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
    }


def _channel(address: str, key: str, message: dict[str, Any], text: str) -> dict[str, Any]:
    return {
        "address": address,
        "description": text,
        "messages": {key: message},
        "parameters": {
            name: about for name, about in _PARAMETERS.items() if f"{{{name}}}" in address
        },
    }


def _message(topic: Topic) -> dict[str, Any]:
    if topic.content:
        return {"contentType": topic.content, "payload": {"type": "string", "format": "binary"}}
    if not topic.kind:
        return {
            "contentType": "text/plain",
            "payload": {"type": "string", "enum": ["online", "offline"]},
        }
    return {"contentType": "application/json", "payload": _payload(json_schema(topic.kind))}


def _payload(schema: dict[str, Any]) -> dict[str, Any]:
    """Name the dialect: AsyncAPI's own ends at draft 07."""
    return {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": schema}


def _operation(action: str, key: str, topic: Topic) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{key}"},
        "bindings": {"mqtt": {"qos": topic.qos, "retain": topic.retained}},
    }
