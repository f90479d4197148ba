"""The metrics as a file for node_exporter's textfile collector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct
from prometheus_client import generate_latest

from appliance.files import write_whole
from appliance.sinks.exposition.metrics import Metrics

if TYPE_CHECKING:
    from appliance.reports.outgoing import Outgoing
    from appliance.sinks import SinkRequest


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metrics as a file for node_exporter's textfile collector."""

    path: Annotated[str, Meta(description="The file, ending in .prom; empty for none.")] = ""


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


def create(request: SinkRequest) -> TextfileOutlet | None:
    """Return the outlet, where a file is wanted."""
    options: Options = request.options
    return TextfileOutlet(Path(options.path)) if options.path else None
