"""Metric families made from the latest messages when Prometheus asks for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from prometheus_client.registry import Collector

from appliance.sinks.exposition.family import counter, gauge
from appliance.sinks.exposition.objects import of_objects
from appliance.telemetry import Cause, gauges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from appliance.reports.messages import HealthMessage, InfoMessage, MetricsMessage, SinkInfo
    from appliance.reports.objects import ObjectsMessage

MODES = ("full", "eased", "minimum", "paused")
STATES = ("starting", "ok", "degraded", "paused")
_MS = 1e-3


@dataclass(slots=True, eq=False)
class Latest(Collector):
    """The newest message of each kind. Written by the pipeline, read by the server's threads."""

    metrics: dict[str, MetricsMessage] = field(default_factory=dict)
    health: HealthMessage | None = None
    info: InfoMessage | None = None
    objects: dict[str, ObjectsMessage] = field(default_factory=dict)

    def forget_other_cameras(self) -> None:
        """Drop cameras that are not configured any more."""
        names = {one.name for one in self.info.cameras} if self.info else set()
        self.metrics = {name: one for name, one in self.metrics.items() if name in names}
        self.objects = {name: one for name, one in self.objects.items() if name in names}

    def collect(self) -> Iterator[Metric]:
        """Yield everything there is a value for."""
        if self.info is not None:
            yield from _of_info(self.info)
        yield from _of_cameras(dict(self.metrics))
        yield from of_objects(dict(self.objects))
        if self.health is not None:
            yield from _of_health(self.health)
            yield from _of_throttling(self.health)
            for one in gauges(self.health.readings):
                yield gauge(one.name, one.text, one.values, one.labels)


def _of_info(info: InfoMessage) -> Iterator[Metric]:
    yield gauge(
        "build_info",
        "Software and board.",
        {(info.software, info.python, info.board): 1.0},
        ("version", "python", "board"),
    )
    yield gauge(
        "accelerator_info",
        "What runs now.",
        {(info.accelerator, info.model.id, info.model.sha256): 1.0},
        ("accelerator", "model", "model_sha256"),
    )


def _of_cameras(cameras: dict[str, MetricsMessage]) -> Iterator[Metric]:
    rates = {
        "camera_fps": ("Frames a second that the camera delivers.", "camera_fps"),
        "end_to_end_fps": ("Results a second, every stage included.", "end_to_end_fps"),
        "inference_only_fps": ("What the detectors alone would sustain.", "inference_only_fps"),
        "gated_fps": ("Frames a second left out because nothing moved.", "gated_fps"),
        "efficiency_ratio": ("End to end over the slower of camera and detector.", "efficiency"),
    }
    for name, (text, attribute) in rates.items():
        values = {(camera,): getattr(one, attribute) for camera, one in cameras.items()}
        yield gauge(name, text, values, ("camera",))
    counts = {
        "frames_captured": ("Frames captured.", "captured"),
        "frames_processed": ("Frames with a result.", "processed"),
    }
    for name, (text, attribute) in counts.items():
        totals = {(camera,): getattr(one.frames, attribute) for camera, one in cameras.items()}
        yield counter(name, text, totals, ("camera",))
    dropped = {
        (camera, reason): count
        for camera, one in cameras.items()
        for reason, count in one.frames.dropped.items()
    }
    yield counter("frames_dropped", "Frames without a result.", dropped, ("camera", "reason"))
    waiting = {(camera,): one.frames.in_flight for camera, one in cameras.items()}
    yield gauge("frames_in_flight", "Frames on their way.", waiting, ("camera",))


def _of_health(health: HealthMessage) -> Iterator[Metric]:
    yield gauge(
        "health_state",
        "1 for the state the unit is in.",
        {(state,): float(state == health.state) for state in STATES},
        ("state",),
    )
    collectors = health.collectors.items()
    yield gauge(
        "collector_success",
        "Whether a collector could read all it should.",
        {(name,): float(one.success) for name, one in collectors},
        ("collector",),
    )
    yield gauge(
        "collector_duration_seconds",
        "Time a collector took.",
        {(name,): one.duration_ms * _MS for name, one in collectors},
        ("collector",),
    )
    if health.outbox is not None:
        box = health.outbox
        yield gauge("outbox_messages", "Messages that wait for the broker.", {(): box.messages})
        yield gauge("outbox_bytes", "Bytes that wait for the broker.", {(): box.bytes})
        yield counter("outbox_dropped", "Messages given up.", {(): box.dropped})
    yield from _of_sinks(health.sinks)
    if health.governor is not None:
        one = health.governor
        modes = {(mode,): float(mode == one.mode) for mode in MODES}
        yield gauge("governor_mode", "1 for the governor's mode.", modes, ("mode",))
        yield gauge(
            "governor_target_fps", "What it allows; none for no limit.", {(): one.target_fps}
        )
        yield gauge("governor_min_fps", "The floor it holds.", {(): one.min_fps})


def _of_sinks(sinks: dict[str, SinkInfo]) -> Iterator[Metric]:
    handled = {(name,): one.handled for name, one in sinks.items()}
    yield counter("sink_messages", "Messages that a sink took.", handled, ("sink",))
    waiting = {(name,): one.waiting for name, one in sinks.items()}
    yield gauge("sink_waiting", "Messages that wait for a sink.", waiting, ("sink",))
    lost = {(name, "dropped"): one.dropped for name, one in sinks.items()}
    lost |= {(name, "failed"): one.failed for name, one in sinks.items()}
    yield counter("sink_lost", "Messages that a sink lost.", lost, ("sink", "reason"))


def _of_throttling(health: HealthMessage) -> Iterator[Metric]:
    if health.throttling is None:
        return
    known = health.throttled is not None or health.throttling.active
    active = {(c,): float(c in health.throttling.active) for c in get_args(Cause)} if known else {}
    yield gauge("throttle_active", "Whether a cause slows the unit now.", active, ("cause",))
    # Counters begin at 0, or an increase from nothing would not count as one.
    told = health.throttling
    seconds = {(c,): told.seconds_total.get(c, 0.0) for c in get_args(Cause)}
    yield counter("throttle_seconds", "Seconds slowed, by cause.", seconds, ("cause",))
    episodes = {(c,): told.episodes_total.get(c, 0) for c in get_args(Cause)}
    yield counter("throttle_episodes", "Times slowed, by cause.", episodes, ("cause",))
