"""``/metrics`` for Prometheus: on the loopback, or beyond it by TLS and a token."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct
from prometheus_client import CollectorRegistry, ProcessCollector

from appliance.config.loopback import is_loopback
from appliance.errors import UnavailableError
from appliance.sinks.exposition.metrics import Metrics
from appliance.sinks.exposition.server import MetricsServer

if TYPE_CHECKING:
    from appliance.reports.outgoing import Outgoing
    from appliance.sinks import SinkRequest


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Metrics for Prometheus; the same numbers as over MQTT."""

    port: Annotated[
        Annotated[int, Meta(ge=0, le=65535)],
        Meta(description="Where /metrics is served; 0 for nowhere."),
    ] = 9750
    address: Annotated[
        str,
        Meta(
            description="Address to listen on; beyond the loopback only with certificate and token."
        ),
    ] = "127.0.0.1"
    tls_certificate_file: Annotated[
        str, Meta(description="Certificate (PEM); with it and its key HTTPS is served.")
    ] = ""
    tls_key_file: Annotated[str, Meta(description="Key of the certificate (PEM).")] = ""
    token_file: Annotated[
        str,
        Meta(
            description="File (mode 0600) with the token that Prometheus has to send "
            "(authorization: credentials_file); empty for none."
        ),
    ] = ""
    insecure: Annotated[
        bool,
        Meta(
            description="Serve beyond the loopback without certificate or token, to whoever "
            "reaches the address."
        ),
    ] = False

    def __post_init__(self) -> None:
        """Check what the options say together.

        Raises:
            ValueError: half a key pair, or open to the network.
        """
        if bool(self.tls_certificate_file) != bool(self.tls_key_file):
            raise ValueError("tls_certificate_file and tls_key_file belong together")
        secured = self.tls_certificate_file and self.token_file
        if self.port and not (secured or self.insecure or is_loopback(self.address)):
            raise ValueError(
                f"address {self.address!r} is reached by others: expected with it "
                "tls_certificate_file, tls_key_file and token_file, or insecure = true"
            )


class PrometheusOutlet:
    """Serves ``/metrics``; what was counted outlives a port that comes and goes.

    Args:
        options: say where and to whom.
    """

    name = "prometheus"
    kinds: frozenset[str] | None = None

    def __init__(self, options: Options) -> None:
        self._options = options
        self._metrics = Metrics()
        self._served = CollectorRegistry()  # node_exporter has a process of its own to tell of
        self._served.register(self._metrics.registry)
        ProcessCollector(registry=self._served)
        self._server: MetricsServer | None = None

    def open(self) -> None:
        """Listen.

        Raises:
            UnavailableError: certificate, key or token cannot be used; the port is taken, or not
                permitted.
        """
        options = self._options
        tls, token = self._context(), self._token()
        try:
            self._server = MetricsServer(
                options.address, options.port, self._served, tls=tls, token=token
            )
        except (OSError, OverflowError) as error:
            raise UnavailableError(
                f"metrics on {options.address}:{options.port}: {error}",
                hint="another program listens there; set sinks.prometheus.port, or 0 for none",
            ) from error

    def handle(self, outgoing: Outgoing) -> None:
        """Count a message."""
        self._metrics.feed(outgoing.message)

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            server, self._server = self._server, None
            server.close()

    def _context(self) -> ssl.SSLContext | None:
        certificate, key = self._options.tls_certificate_file, self._options.tls_key_file
        if not certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            raise UnavailableError(
                f"metrics: {certificate} with {key}: {error}",
                hint="sinks.prometheus.tls_certificate_file and tls_key_file: PEM files that "
                "belong together",
            ) from error
        return context

    def _token(self) -> str:
        path = self._options.token_file
        if not path:
            return ""
        try:
            if Path(path).stat().st_mode & stat.S_IROTH:
                raise UnavailableError(
                    f"metrics: token_file {path}: is readable by everybody",
                    hint=f"chmod 0600 {path}",
                )
            token = Path(path).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UnavailableError(f"metrics: token_file {path}: {error}") from error
        if not token:
            raise UnavailableError(f"metrics: token_file {path}: is empty")
        return token


def create(request: SinkRequest) -> PrometheusOutlet | None:
    """Return the outlet, where a port is wanted."""
    options: Options = request.options
    return PrometheusOutlet(options) if options.port else None
