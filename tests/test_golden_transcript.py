"""Sixty synthetic frames give exactly this transcript at an independent subscriber.

The unit is wired by the product itself, its MQTT sink included; see ``tests/scripted.py``.
Regenerate after a wanted change: APPLIANCE_UPDATE_GOLDEN=1 pytest tests/test_golden_transcript.py
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema

from appliance.clock import ManualClock
from appliance.daemon.sinks import make_sinks
from appliance.reports.messages import MESSAGES, json_schema
from tests.helpers import Subscriber, wait_for
from tests.scripted import settings, stage_of, surroundings

if TYPE_CHECKING:
    from appliance.cli.demo_broker import DemoBroker
    from tests.scripted import Stage

_ID = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b")
GOLDEN = Path(__file__).parent / "golden" / "transcript.jsonl"


def transcript(broker: DemoBroker) -> list[str]:
    subscriber = Subscriber(broker.port)
    clock = ManualClock()
    there, clock_name = surroundings(clock)
    wanted = settings(clock_name, port=broker.port)
    sinks = make_sinks(wanted, there)
    assert sinks.mqtt is not None
    mqtt = sinks.mqtt
    wait_for(lambda: mqtt.connected)
    scene = stage_of(wanted, there, clock, sinks)
    scene.publish_info()
    wait_for(lambda: subscriber.of("info") and subscriber.of("unit-1/config"))
    for number in range(60):
        scene.step()
        wait_for(functools.partial(_written, scene, subscriber, number + 1))
    scene.publish_metrics()
    wait_for(lambda: subscriber.of("front/metrics"))
    handled = len(subscriber.messages)  # what health tells of the sink
    wait_for(lambda: mqtt.tally().handled == handled)
    scene.publish_health()
    wait_for(lambda: subscriber.of("health") and subscriber.of("update"))
    sinks.close()
    wait_for(lambda: subscriber.of("status")[-1] == "offline")
    subscriber.close()
    boot_id = scene.reporter.boot_id
    lines = []
    ids: dict[str, str] = {}
    for message in subscriber.messages:
        payload = message.payload.decode().replace(boot_id, "boot00000000")
        for found in _ID.findall(payload):
            ids.setdefault(found, f"object {len(ids)}")
            payload = payload.replace(found, ids[found])
        content: Any = json.loads(payload) if payload[0] == "{" else payload
        if "python" in content:
            assert content["python"] == platform.python_version()
            content["python"] = "of this machine"
        lines.append(
            json.dumps([message.topic, message.qos, message.retain, content], sort_keys=True)
        )
    return _in_one_order(lines)


def _in_one_order(lines: list[str]) -> list[str]:
    """Have a state before the event that came with it: which is sent first is a matter of luck."""
    for at, (one, other) in enumerate(itertools.pairwise(lines)):
        if "/front/events" in one.split(",")[0] and "/front/objects" in other.split(",")[0]:
            lines[at : at + 2] = [other, one]
    return lines


def _written(scene: Stage, subscriber: Subscriber, count: int) -> bool:
    """Say whether the frame is there and booked as written: the clock stands still until then."""
    arrived = len(subscriber.of("front/detections")) == count
    return arrived and scene.lane.statistics._published == count


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
        if topic.endswith("/status") or topic.startswith("homeassistant/"):
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
            assert set(content["stages_ms"]) == {
                "capture", "queue", "preprocess", "inference", "postprocess", "publish"
            }  # fmt: skip
    assert all(found == list(range(len(found))) for found in seqs.values())
    assert {"info", "health", "update", "metrics", "detections"} <= {
        topic.rpartition("/")[2] for topic in seqs
    }
