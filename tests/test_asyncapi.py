"""The AsyncAPI document says of every topic what really comes on it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema

from appliance.cli.asyncapi import asyncapi
from appliance.daemon.commands import COMMANDS
from tests.test_golden_transcript import GOLDEN

DOCUMENT = asyncapi()


def channel_of(topic: str) -> dict[str, Any]:
    found = [
        one
        for one in DOCUMENT["channels"].values()
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(one["address"])), topic)
    ]
    assert len(found) == 1, topic
    channel: dict[str, Any] = found[0]
    return channel


def test_every_message_of_the_golden_transcript_is_as_the_document_says() -> None:
    seen = set()
    for line in GOLDEN.read_text().splitlines():
        topic, qos, _retained, content = json.loads(line)
        if topic.startswith("homeassistant/"):
            continue
        channel = channel_of(topic)
        seen.add(channel["address"])
        (message,) = channel["messages"].values()
        payload = message["payload"]
        jsonschema.validate(content, payload.get("schema", payload))
        (name,) = [key for key, one in DOCUMENT["channels"].items() if one is channel]
        assert DOCUMENT["operations"][f"send_{name}"]["bindings"]["mqtt"]["qos"] == qos
    assert len(seen) >= 7


def test_every_reference_leads_somewhere_and_every_command_has_its_answer() -> None:
    text = json.dumps({"operations": DOCUMENT["operations"]})
    for reference in re.findall(r'"#/channels/(\w+)"', text):
        assert reference in DOCUMENT["channels"]
    for name in COMMANDS:
        key = f"cmd_{name.replace('/', '_')}"
        one = DOCUMENT["operations"][f"receive_{key}"]
        assert one["action"] == "receive"
        assert one["reply"]["channel"]["$ref"] == f"#/channels/{key}_result"
    for channel in DOCUMENT["channels"].values():
        named = set(re.findall(r"\{(\w+)\}", channel["address"]))
        assert named == channel["parameters"].keys()


def test_the_documents_name_the_same_topics() -> None:
    text = (Path(__file__).parent.parent / "docs/mqtt.md").read_text()
    for channel in DOCUMENT["channels"].values():
        name = channel["address"].removeprefix("{prefix}/{device}/")
        assert name.startswith("cmd/") or f"| `{name}` |" in text
