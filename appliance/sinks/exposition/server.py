"""Serves metrics over HTTP or HTTPS, each request on a thread of its own.

The handshake of TLS is done on that thread, with a deadline: a client that connects and says
nothing holds nobody else.
"""

from __future__ import annotations

import hmac
import socket
import threading
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from prometheus_client import CollectorRegistry

SILENT_SECONDS = 10.0
"""After so long without a word from it a client is left."""
AT_ONCE = 8
"""Clients that are served at the same time; more are turned away."""


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Serves until it is closed.

    Args:
        address, port: where to listen.
        registry: what to serve.
        tls: with it the server speaks HTTPS only.
        token: without it in the header ``Authorization: Bearer`` nobody is served; empty for all.

    Raises:
        OSError, OverflowError: the port is taken, not permitted or no port.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self,
        address: str,
        port: int,
        registry: CollectorRegistry,
        *,
        tls: ssl.SSLContext | None = None,
        token: str = "",
    ) -> None:
        self._tls = tls
        self._free = threading.BoundedSemaphore(AT_ONCE)
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, _, _, _, place = found[0]  # IPv4 or IPv6, as the address is
        super().__init__(place, _Quiet)  # type: ignore[arg-type]
        self.set_app(guarded(make_wsgi_app(registry), token))
        self._thread = threading.Thread(target=self.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def server_bind(self) -> None:
        """Bind without asking the name server who we are, as ``http.server`` does."""
        super(WSGIServer, self).server_bind()
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one client; whatever it does costs nobody else."""
        connection: socket.socket = request
        try:
            connection.settimeout(SILENT_SECONDS)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self.finish_request(connection, client_address)
        except OSError:  # of TLS, too: a client that went, or spoke something else
            return
        finally:
            self.shutdown_request(connection)
            self._free.release()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Every scrape would be a line of the log."""


def guarded(app: Callable[..., Any], token: str) -> Callable[..., Any]:
    """Return the application, for those who know the token."""
    expected = f"Bearer {token}".encode()

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        given = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace")
        if token and not hmac.compare_digest(given, expected):
            headers = [("WWW-Authenticate", "Bearer"), ("Content-Type", "text/plain")]
            start("401 Unauthorized", headers)
            return [b"the token is missing or wrong\n"]
        answered: Iterable[bytes] = app(environ, start)
        return answered

    return answer
