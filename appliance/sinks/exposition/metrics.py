"""The same numbers as MQTT, for Prometheus.

Values that change are taken from the messages when they are scraped, so both always agree; what is
null there has no sample here. Durations are histograms, observed for each frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram

from appliance.reports.messages import (
    AlertMessage,
    DetectionsMessage,
    HealthMessage,
    InfoMessage,
    MetricsMessage,
)
from appliance.sinks.exposition.families import Latest

if TYPE_CHECKING:
    from appliance.reports.messages import Message

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
            "Objects detected, by label.",
            ("camera", "label"),
            registry=self.registry,
        )
        self._alerts = Counter(
            "appliance_alerts", "Alerts published.", ("kind",), registry=self.registry
        )

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
        elif isinstance(message, AlertMessage):
            self._alerts.labels(message.kind).inc()

    def _observe(self, message: DetectionsMessage) -> None:
        camera, stages = message.camera, message.stages_ms
        for stage in STAGES:
            self._stages.labels(camera, stage).observe(getattr(stages, stage) * _MS)
        self._latency.labels(camera).observe(message.latency_ms * _MS)
        for one in message.detections:
            self._detections.labels(camera, one.label).inc()
