"""The same numbers as MQTT, for Prometheus: ``/metrics`` on the loopback, or a textfile.

Values that change are taken from the messages when they are scraped, so both always agree; what is
null there has no sample here. Durations are histograms, observed for each frame.
"""

from __future__ import annotations

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
from appliance.reports.messages import (
    AlertMessage,
    DetectionsMessage,
    HealthMessage,
    InfoMessage,
    MetricsMessage,
)
from appliance.sinks.prometheus.families import Latest

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

    from appliance.reports.messages import Message
    from appliance.reports.outgoing import Outgoing

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
        """Take a message."""
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


class PrometheusOutlet:
    """Serves ``/metrics``; what was counted outlives a port that comes and goes.

    Args:
        address, port: where to listen.
    """

    name = "prometheus"
    kinds: frozenset[str] | None = None

    def __init__(self, address: str, port: int) -> None:
        self._address = address
        self._port = port
        self._metrics = Metrics()
        self._served = CollectorRegistry()  # node_exporter has a process of its own to tell of
        self._served.register(self._metrics.registry)
        ProcessCollector(registry=self._served)
        self._server: tuple[WSGIServer, Thread] | None = None

    def open(self) -> None:
        """Listen.

        Raises:
            UnavailableError: the port is taken, or not permitted.
        """
        try:
            self._server = start_http_server(self._port, self._address, self._served)
        except (OSError, OverflowError) as error:
            raise UnavailableError(
                f"metrics on {self._address}:{self._port}: {error}",
                hint="another program listens there; set prometheus.port, or 0 for none",
            ) from error

    def handle(self, outgoing: Outgoing) -> None:
        """Count a message."""
        self._metrics.feed(outgoing.message)

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            (server, thread), self._server = self._server, None
            server.shutdown()
            server.server_close()
            thread.join()


class TextfileOutlet:
    """Writes the metrics to a file with every health message.

    It counts for itself, so a disk that hangs holds neither ``/metrics`` nor what is counted there.

    Args:
        path: of the file; it is gone when the unit ends, or old values would look like new ones.
    """

    name = "textfile"
    kinds: frozenset[str] | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._metrics = Metrics()

    def open(self) -> None:
        """There is nothing to open: the file is made anew each time."""

    def handle(self, outgoing: Outgoing) -> None:
        """Count a message, and write all with one of health.

        Raises:
            OSError: it cannot be written.
        """
        self._metrics.feed(outgoing.message)
        if outgoing.kind == "health":
            write_whole(
                self._path,
                generate_latest(self._metrics.registry),
                durable=False,
                make_folder=False,
            )

    def close(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
