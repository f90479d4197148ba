"""The same numbers as MQTT, for Prometheus: ``/metrics`` on the loopback, or a textfile.

Values that change are taken from the messages when they are scraped, so both always agree; what is
null there has no sample here. Durations are histograms, observed for each frame.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
    start_http_server,
)

from appliance.errors import UnavailableError
from appliance.files import write_whole
from appliance.messages import (
    AlertMessage,
    DetectionsMessage,
    HealthMessage,
    InfoMessage,
    MetricsMessage,
)
from appliance.sinks.families import Latest

if TYPE_CHECKING:
    from appliance.sinks import Outgoing

log = logging.getLogger(__name__)

STAGES = ("capture", "queue", "preprocess", "inference", "postprocess")
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
_MS = 1e-3


class PrometheusSink:
    """See the module's description.

    Args:
        address, port: where to listen; port 0 not at all.
        textfile: where to write the metrics with every health message; empty for nowhere.

    Raises:
        UnavailableError: the port is taken, or not permitted.
    """

    def __init__(self, address: str, port: int, textfile: str) -> None:
        self._textfile = textfile
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
        self._server = None
        if port:
            served = CollectorRegistry()  # node_exporter has a process of its own to tell of
            served.register(self.registry)
            ProcessCollector(registry=served)
            try:
                self._server, self._thread = start_http_server(port, address, served)
            except (OSError, OverflowError) as error:
                raise UnavailableError(
                    f"metrics on {address}:{port}: {error}",
                    hint="another program listens there; set prometheus.port, or 0 for none",
                ) from error

    def put(self, outgoing: Outgoing) -> None:
        """Take a message; cheap, for it is called between two frames."""
        message = outgoing.message
        if isinstance(message, DetectionsMessage):
            self._observe(message)
        elif isinstance(message, MetricsMessage):
            self._latest.metrics[message.camera] = message
        elif isinstance(message, HealthMessage):
            self._latest.health = message
            self._write()
        elif isinstance(message, InfoMessage):
            self._latest.info = message
            self._latest.forget_other_cameras()
        elif isinstance(message, AlertMessage):
            self._alerts.labels(message.kind).inc()

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None
        if self._textfile:
            Path(self._textfile).unlink(missing_ok=True)  # or old values would look like new ones

    def _observe(self, message: DetectionsMessage) -> None:
        camera, stages = message.camera, message.stages_ms
        for stage in STAGES:
            self._stages.labels(camera, stage).observe(getattr(stages, stage) * _MS)
        self._latency.labels(camera).observe(message.latency_ms * _MS)
        for one in message.detections:
            self._detections.labels(camera, one.label).inc()

    def _write(self) -> None:
        if not self._textfile:
            return
        try:
            write_whole(
                Path(self._textfile),
                generate_latest(self.registry),
                durable=False,
                make_folder=False,
            )
        except OSError as error:
            log.warning("metrics cannot be written to %s: %s", self._textfile, error)
