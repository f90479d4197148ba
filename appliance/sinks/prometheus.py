"""``/metrics`` for Prometheus, on the loopback unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from appliance.errors import UnavailableError
from appliance.sinks.exposition.metrics import Metrics

if TYPE_CHECKING:
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

    from appliance.reports.outgoing import Outgoing
    from appliance.sinks import SinkRequest


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Metrics for Prometheus; the same numbers as over MQTT."""

    port: Annotated[
        Annotated[int, Meta(ge=0, le=65535)],
        Meta(description="Where /metrics is served; 0 for nowhere."),
    ] = 9750
    address: Annotated[
        str, Meta(description="Address to listen on; the loopback unless told otherwise.")
    ] = "127.0.0.1"


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
                hint="another program listens there; set sinks.prometheus.port, or 0 for none",
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


def create(request: SinkRequest) -> PrometheusOutlet | None:
    """Return the outlet, where a port is wanted."""
    options: Options = request.options
    return PrometheusOutlet(options.address, options.port) if options.port else None
