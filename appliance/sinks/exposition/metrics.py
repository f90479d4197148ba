"""The same numbers as MQTT, for Prometheus.

Values that change are taken from the messages when they are scraped, so both always agree; what is
null there has no sample here. Durations are histograms, observed for each frame.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram

from appliance.reports.messages import (
    AlertKind,
    AlertMessage,
    DetectionsMessage,
    HealthMessage,
    InfoMessage,
    MetricsMessage,
)
from appliance.reports.objects import ObjectsMessage
from appliance.sinks.exposition.families import Latest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.reports.common import Message

STAGES = ("capture", "queue", "preprocess", "inference", "postprocess")
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
_MS = 1e-3


class Metrics:
    """What Prometheus is told, in one registry; fed with messages by one thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._latest = Latest()
        self.registry.register(self._latest)
        self._stages = Histogram(
            "appliance_stage_duration_seconds",
            "Time of a stage of a frame.",
            ("camera", "stage"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._latency = Histogram(
            "appliance_latency_seconds",
            "Capture to hand-off to the sinks.",
            ("camera",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._detections = Counter(
            "appliance_detections",
            "Detections published, by label.",
            ("camera", "label"),
            registry=self.registry,
        )
        self._alerts = Counter(
            "appliance_alerts", "Alerts published.", ("kind",), registry=self.registry
        )
        for kind in get_args(AlertKind):  # born at 1, the first would be no increase
            self._alerts.labels(kind)
        self._cameras: dict[str, set[str]] = {}

    def feed(self, message: Message | None) -> None:
        if isinstance(message, DetectionsMessage):
            self._observe(message)
        elif isinstance(message, MetricsMessage):
            self._latest.metrics[message.camera] = message
        elif isinstance(message, HealthMessage):
            self._latest.health = message
        elif isinstance(message, InfoMessage):
            self._latest.info = message
            self._latest.forget_other_cameras()
            self._forget_other_cameras({one.name for one in message.cameras})
        elif isinstance(message, ObjectsMessage):
            self._latest.objects[message.camera] = message
            self._begin(message.camera, message.totals.objects)
        elif isinstance(message, AlertMessage):
            self._alerts.labels(message.kind).inc()

    def _begin(self, camera: str, labels: Iterable[str]) -> None:
        """Have a 0 for labels that were not detected yet."""
        known = self._cameras.setdefault(camera, set())
        for label in labels:
            if label not in known:
                known.add(label)
                self._detections.labels(camera, label)

    def _forget_other_cameras(self, names: set[str]) -> None:
        for camera in self._cameras.keys() - names:
            for label in self._cameras.pop(camera):
                self._detections.remove(camera, label)
            with contextlib.suppress(KeyError):
                self._latency.remove(camera)
            for stage in STAGES:
                with contextlib.suppress(KeyError):
                    self._stages.remove(camera, stage)

    def _observe(self, message: DetectionsMessage) -> None:
        camera, stages = message.camera, message.stages_ms
        for stage in STAGES:
            self._stages.labels(camera, stage).observe(getattr(stages, stage) * _MS)
        self._latency.labels(camera).observe(message.latency_ms * _MS)
        self._begin(camera, {one.label for one in message.detections})
        for one in message.detections:
            self._detections.labels(camera, one.label).inc()
