"""What the product claims of itself, checked from outside: FPS, frames, latency."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from appliance.config import Camera, Settings
from appliance.config.settings import Metrics, Model, Mqtt
from appliance.daemon import Daemon
from appliance.service import ServiceManager
from appliance.sources import timecode
from appliance.supervisor import Requests
from tests.helpers import Subscriber, environment, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.demo_broker import DemoBroker
    from appliance.values import Observation
    from tests.samples import Video

FPS = 20.0


class TimecodeReader:
    """Reads, from the picture as the model saw it, when the light fell; keeps both claims."""

    wants_picture = True

    def __init__(self) -> None:
        self.rows: list[tuple[timecode.Timecode | None, int, Observation]] = []

    def apply(self, observation: Observation) -> Observation:
        assert observation.picture is not None
        now_us = time.monotonic_ns() // 1000
        self.rows.append((timecode.read(observation.picture), now_us, observation))
        return observation


def run(tmp_path: Path, broker: DemoBroker, camera: Camera, **options: Any) -> list[Any]:
    settings = Settings(
        device="unit-1",
        mqtt=Mqtt(host="127.0.0.1", port=broker.port, outbox="memory"),
        metrics=Metrics(window_seconds=2.0),
        camera=(camera,),
    )
    subscriber = Subscriber(broker.port)
    Daemon(lambda: settings, environment(tmp_path), Requests(), ServiceManager({}), **options).run()
    wait_for(lambda: subscriber.of("status")[-1:] == ["offline"])
    subscriber.close()
    return [subscriber.of("front/detections"), subscriber.of("front/metrics"), subscriber]


def check_books(detections: list[Any], metrics: list[Any]) -> None:
    assert [one["seq"] for one in detections] == list(range(len(detections)))
    frame_seqs = [one["frame"]["seq"] for one in detections]
    assert frame_seqs == sorted(set(frame_seqs))
    last = metrics[-1]["frames"]
    assert last["in_flight"] == 0
    assert last["captured"] == last["processed"] + sum(last["dropped"].values())
    assert last["processed"] == len(detections)
    assert sum(one["window"]["frames"] for one in metrics) == len(detections)
    for window in metrics:
        if window["window"]["frames"]:
            first, end = window["window"]["first_seq"], window["window"]["last_seq"]
            assert end - first + 1 == window["window"]["frames"]
            claimed = window["end_to_end_fps"] * window["window"]["seconds"]
            assert claimed == pytest.approx(window["window"]["frames"], rel=1e-3)


def claimed_and_counted_fps(metrics: list[Any], subscriber: Subscriber) -> tuple[float, float]:
    """The product's FPS over its full windows, and the subscriber's over the same messages.

    The subscriber uses its own clock and the sequence numbers that the windows name.
    """
    full = [one for one in metrics if one["window"]["seconds"] > 1.5 and one["window"]["frames"]]
    seconds = sum(one["window"]["seconds"] for one in full[1:])
    claimed = sum(one["window"]["frames"] for one in full[1:]) / seconds
    arrived = {
        json.loads(message.payload)["seq"]: moment
        for message, moment in zip(subscriber.messages, subscriber.arrived, strict=True)
        if message.topic.endswith("/detections")
    }
    first, last = full[0]["window"]["last_seq"], full[-1]["window"]["last_seq"]
    return claimed, (last - first) / (arrived[last] - arrived[first])


def test_synthetic_claims_hold_from_outside(tmp_path: Path, broker: DemoBroker) -> None:
    reader = TimecodeReader()
    camera = Camera(name="front", source="synthetic", width=640, height=480, fps=FPS)
    detections, metrics, subscriber = run(
        tmp_path, broker, camera, filters=(reader,), max_frames=200
    )
    check_books(detections, metrics)
    claimed, counted = claimed_and_counted_fps(metrics, subscriber)
    assert claimed == pytest.approx(counted, rel=0.01)
    allowed_us = max(1e6 / FPS, 2000)
    for code, now_us, observation in reader.rows:
        assert code is not None
        assert code.seq == observation.frame_seq
        message = next(m for m in detections if m["frame"]["seq"] == code.seq)
        claimed_us = message["latency_ms"] * 1000
        assert abs((now_us - code.captured_us) - claimed_us) < allowed_us
    offsets = sorted(
        abs((now_us - code.captured_us) - observation.times.latency_ns / 1000)
        for code, now_us, observation in reader.rows
        if code is not None
    )
    assert offsets[len(offsets) // 2] < 2000  # the median agrees within 2 ms, not only one frame


def test_video_claims_hold_from_outside(tmp_path: Path, broker: DemoBroker, video: Video) -> None:
    camera = Camera(name="front", source=f"video:{video.path}")
    detections, metrics, subscriber = run(tmp_path, broker, camera)
    check_books(detections, metrics)
    assert len(detections) == video.frames  # back-pressure: not one frame is lost
    assert metrics[-1]["camera_fps"] is None
    claimed, counted = claimed_and_counted_fps(metrics, subscriber)
    assert claimed == pytest.approx(counted, rel=0.01)
    people = [m for m in detections if any(d["label"] == "person" for d in m["detections"])]
    assert len(people) >= video.frames_with_people


def test_a_camera_that_misbehaves_costs_only_what_it_must(
    tmp_path: Path, broker: DemoBroker
) -> None:
    script = [
        {"at_frame": 10, "kind": "corrupt", "frames": 3},
        {"at_frame": 20, "kind": "vanish"},
        {"at_frame": 30, "kind": "resize", "frames": 5},
        {"at_frame": 40, "kind": "duplicate", "frames": 2},
    ]
    camera = Camera(
        name="front",
        source="synthetic",
        width=320,
        height=240,
        fps=25,
        options={"script": script, "frames": 60},
    )
    detections, metrics, subscriber = run(tmp_path, broker, camera)
    check_books(detections, metrics)
    assert metrics[-1]["frames"]["dropped"]["corrupt"] == 3
    assert [alert["kind"] for alert in subscriber.of("alerts")] == ["camera_lost", "camera_back"]
    assert subscriber.of("alerts")[1]["duration_seconds"] > 0
    assert {(m["frame"]["width"], m["frame"]["height"]) for m in detections} == {
        (320, 240),
        (160, 120),
    }


def test_wanted_labels_only(tmp_path: Path, broker: DemoBroker) -> None:
    camera = Camera(name="front", source="synthetic", options={"frames": 20, "rate": "file"})
    settings = Settings(
        device="unit-1",
        model=Model(score_threshold=0.3, labels=("cat",)),
        mqtt=Mqtt(host="127.0.0.1", port=broker.port, outbox="memory"),
        camera=(camera,),
    )
    subscriber = Subscriber(broker.port)
    Daemon(lambda: settings, environment(tmp_path), Requests(), ServiceManager({})).run()
    wait_for(lambda: subscriber.of("status")[-1:] == ["offline"])
    labels = {d["label"] for m in subscriber.of("front/detections") for d in m["detections"]}
    subscriber.close()
    assert labels == {"cat"}
