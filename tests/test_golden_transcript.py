"""Sixty synthetic frames give exactly this transcript at an independent subscriber.

Regenerate after a wanted change: APPLIANCE_UPDATE_GOLDEN=1 pytest tests/test_golden_transcript.py
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema

from appliance.messages import MESSAGES, json_schema
from appliance.sinks.connection import BrokerAddress
from appliance.sinks.mqtt import MqttSink
from appliance.sinks.outbox import Outbox
from tests.helpers import Subscriber, wait_for
from tests.scripted import stage

if TYPE_CHECKING:
    from appliance.demo_broker import DemoBroker

GOLDEN = Path(__file__).parent / "golden" / "transcript.jsonl"


def transcript(broker: DemoBroker) -> list[str]:
    subscriber = Subscriber(broker.port, "appliance/unit-1/#")
    sink = MqttSink(
        BrokerAddress("127.0.0.1", broker.port, "unit-1"), "appliance/unit-1", Outbox(None, 10)
    )
    sink.start()
    wait_for(lambda: sink.connected)
    scene = stage(sink)
    scene.publish_info()
    for number in range(60):
        scene.step()
        wait_for(functools.partial(_has, subscriber, number + 1))
    scene.publish_metrics()
    scene.publish_health()
    wait_for(lambda: subscriber.of("health") and subscriber.of("front/metrics"))
    sink.close()
    wait_for(lambda: subscriber.of("status")[-1] == "offline")
    subscriber.close()
    lines = []
    for message in subscriber.messages:
        payload = message.payload.decode()
        content = json.loads(payload) if payload[0] == "{" else payload
        lines.append(
            json.dumps([message.topic, message.qos, message.retain, content], sort_keys=True)
        )
    return lines


def _has(subscriber: Subscriber, count: int) -> bool:
    return len(subscriber.of("front/detections")) == count


def test_the_transcript_is_exactly_the_golden_one(broker: DemoBroker) -> None:
    lines = transcript(broker)
    if os.environ.get("APPLIANCE_UPDATE_GOLDEN"):
        GOLDEN.write_text("\n".join(lines) + "\n")
    assert lines == GOLDEN.read_text().splitlines()


def test_the_golden_transcript_fits_the_schemas_and_keeps_the_promises() -> None:
    kinds = {f"appliance.{kind}/1": json_schema(kind) for kind in MESSAGES}
    seqs: dict[str, list[int]] = {}
    for line in GOLDEN.read_text().splitlines():
        topic, _qos, _retain, content = json.loads(line)
        if topic.endswith("/status"):
            continue
        jsonschema.validate(content, kinds[content["schema"]])
        seqs.setdefault(topic, []).append(content["seq"])
        if topic.endswith("/detections"):
            stages_ns = [round(value * 1e6) for value in content["stages_ms"].values()]
            assert sum(stages_ns) == round(content["latency_ms"] * 1e6)
        if topic.endswith("/metrics"):
            frames = content["frames"]
            assert frames["captured"] == (
                frames["processed"] + sum(frames["dropped"].values()) + frames["in_flight"]
            )
            assert content["window"]["frames"] == 60
    assert all(found == list(range(len(found))) for found in seqs.values())
