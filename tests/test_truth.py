"""What the product claims of itself, checked from outside: FPS, frames, latency."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import pytest

from appliance.config import CameraSettings, Settings
from appliance.config.settings import MetricsSettings, ModelSettings, MqttSettings
from appliance.daemon.lifecycle import Daemon
from appliance.daemon.requests import Requests
from appliance.daemon.systemd import ServiceManager
from appliance.sources.pictures import timecode
from tests.helpers import Subscriber, environment, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.cli.demo_broker import DemoBroker
    from appliance.values import Observation
    from tests.samples import Video

FPS = 20.0
FRAMES = 80
ROUNDING_NS = 20_000
"""Messages carry microseconds; some are summed."""


class Witness:
    """Sees each frame just before the product calls it done, with a clock of its own."""

    wants_picture = True

    def __init__(self) -> None:
        self.rows: list[tuple[int, timecode.Timecode | None, Observation]] = []

    def apply(self, observation: Observation) -> Observation:
        assert observation.picture is not None
        now_ns = time.monotonic_ns()
        self.rows.append((now_ns, timecode.read(observation.picture), observation))
        return observation


def run(tmp_path: Path, broker: DemoBroker, camera: CameraSettings, **options: Any) -> list[Any]:
    settings = Settings(
        sinks={"prometheus": {"port": 0}},  # others run beside it
        device="unit-1",
        mqtt=MqttSettings(host="127.0.0.1", port=broker.port, outbox="memory"),
        metrics=MetricsSettings(window_seconds=1.0),
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


def arrivals_ns(subscriber: Subscriber, kind: str) -> list[int]:
    """When each message of a kind came, by the subscriber's clock."""
    return [
        round(moment * 1e9)
        for message, moment in zip(subscriber.messages, subscriber.arrived, strict=True)
        if message.topic.endswith(kind)
    ]


def check_latencies(witness: Witness, detections: list[Any], subscriber: Subscriber) -> None:
    """What is called done was seen before, and had not come to the subscriber yet.

    That holds however fast or busy the machine is; on an idle one it leaves a millisecond or two.
    """
    arrived = arrivals_ns(subscriber, "/detections")
    for (seen_ns, _, observation), message, arrived_ns in zip(
        witness.rows, detections, arrived, strict=True
    ):
        assert message["frame"]["seq"] == observation.frame_seq
        done_ns = observation.times.captured_ns + round(message["latency_ms"] * 1e6)
        assert seen_ns - ROUNDING_NS <= done_ns <= arrived_ns + ROUNDING_NS


def check_windows(witness: Witness, metrics: list[Any], subscriber: Subscriber) -> None:
    """A window ends after its last frame was seen and before its message came.

    So the lengths that the product claims lie between two that the test measured; the rates
    are their frames by these lengths (``check_books``). No load can break that.
    """
    seen = [seen_ns for seen_ns, _, _ in witness.rows]
    arrived = arrivals_ns(subscriber, "front/metrics")
    claimed = sum(one["window"]["seconds"] for one in metrics) * 1e9
    assert claimed + ROUNDING_NS >= seen[-1] - seen[0]
    full = [n for n, one in enumerate(metrics) if one["window"]["frames"]]
    for first, last in itertools.combinations(full, 2):
        claimed = sum(one["window"]["seconds"] for one in metrics[first + 1 : last + 1]) * 1e9
        begin, end = (seen[metrics[n]["window"]["last_seq"]] for n in (first, last))
        assert end - arrived[first] - ROUNDING_NS <= claimed <= arrived[last] - begin + ROUNDING_NS


def test_synthetic_claims_hold_from_outside(tmp_path: Path, broker: DemoBroker) -> None:
    witness = Witness()
    camera = CameraSettings(name="front", source="synthetic", width=640, height=480, fps=FPS)
    detections, metrics, subscriber = run(
        tmp_path, broker, camera, extra_filters=lambda _: (witness,), max_frames=FRAMES
    )
    check_books(detections, metrics)
    check_latencies(witness, detections, subscriber)
    check_windows(witness, metrics, subscriber)
    for _, code, observation in witness.rows:
        assert code is not None
        assert code.seq == observation.frame_seq
        assert code.captured_us == observation.times.captured_ns // 1000  # when the light fell


def test_video_claims_hold_from_outside(tmp_path: Path, broker: DemoBroker, video: Video) -> None:
    witness = Witness()
    camera = CameraSettings(name="front", source=f"video:{video.path}")
    detections, metrics, subscriber = run(
        tmp_path, broker, camera, extra_filters=lambda _: (witness,)
    )
    check_books(detections, metrics)
    check_latencies(witness, detections, subscriber)
    check_windows(witness, metrics, subscriber)
    assert len(detections) == video.frames  # back-pressure: not one frame is lost
    assert metrics[-1]["camera_fps"] is None
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
    camera = CameraSettings(
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
    camera = CameraSettings(
        name="front", source="synthetic", options={"frames": 20, "rate": "file"}
    )
    settings = Settings(
        sinks={"prometheus": {"port": 0}},  # others run beside it
        device="unit-1",
        model=ModelSettings(score_threshold=0.3, labels=("cat",)),
        mqtt=MqttSettings(host="127.0.0.1", port=broker.port, outbox="memory"),
        camera=(camera,),
    )
    subscriber = Subscriber(broker.port)
    Daemon(lambda: settings, environment(tmp_path), Requests(), ServiceManager({})).run()
    wait_for(lambda: subscriber.of("status")[-1:] == ["offline"])
    labels = {d["label"] for m in subscriber.of("front/detections") for d in m["detections"]}
    subscriber.close()
    assert labels == {"cat"}
