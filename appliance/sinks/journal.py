"""Alerts in the systemd journal, each kind under a MESSAGE_ID of its own that never changes.

``journalctl MESSAGE_ID=...`` finds them. The journal's native protocol is a datagram of
``FIELD=value`` lines to /run/systemd/journal/socket (systemd.io, Native Journal Protocol).
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from appliance.reports.messages import AlertMessage

if TYPE_CHECKING:
    from appliance.reports.outgoing import Outgoing
    from appliance.sinks import SinkRequest

JOURNAL = Path("/run/systemd/journal/socket")

MESSAGE_IDS = {
    "camera_lost": "f3c0a1f8d0a64c0c9a6d5b7d2f1e4a01",
    "camera_back": "f3c0a1f8d0a64c0c9a6d5b7d2f1e4a02",
    "failover": "f3c0a1f8d0a64c0c9a6d5b7d2f1e4a03",
    "failback": "f3c0a1f8d0a64c0c9a6d5b7d2f1e4a04",
    "throttling_began": "f3c0a1f8d0a64c0c9a6d5b7d2f1e4a05",
    "throttling_ended": "f3c0a1f8d0a64c0c9a6d5b7d2f1e4a06",
    "governor": "f3c0a1f8d0a64c0c9a6d5b7d2f1e4a07",
    "problem_began": "f3c0a1f8d0a64c0c9a6d5b7d2f1e4a08",
    "problem_ended": "f3c0a1f8d0a64c0c9a6d5b7d2f1e4a09",
}
_WARNING, _INFO = 4, 6
_GOOD_NEWS = frozenset({"camera_back", "failback", "throttling_ended", "governor", "problem_ended"})


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Alerts in the systemd journal, each kind under a MESSAGE_ID of its own."""

    enabled: Annotated[
        bool, Meta(description="Write them, where the unit is started by systemd.")
    ] = True


class JournalOutlet:
    """Writes alerts; a journal that is away is none of the unit's business.

    Args:
        path: of the journal's socket.
    """

    name = "journal"
    kinds: frozenset[str] | None = frozenset({"alert"})

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Make a socket."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's

    def handle(self, outgoing: Outgoing) -> None:
        """Write an alert; leave everything else."""
        message = outgoing.message
        if not isinstance(message, AlertMessage) or self._socket is None:
            return
        fields = {
            "MESSAGE": f"{message.kind}: {message.reason}".replace("\n", " "),
            "MESSAGE_ID": MESSAGE_IDS[message.kind],
            "PRIORITY": str(_INFO if message.kind in _GOOD_NEWS else _WARNING),
            "SYSLOG_IDENTIFIER": "appliance",
            "APPLIANCE_DEVICE": message.device,
            "APPLIANCE_CAMERA": message.camera,
            "APPLIANCE_CAUSE": message.cause,
        }
        text = "".join(f"{name}={value}\n" for name, value in fields.items() if value)
        try:
            self._socket.sendto(text.encode(), self._path)
        except OSError:
            return  # no journal here, or it is full

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def create(request: SinkRequest) -> JournalOutlet | None:
    """Return the outlet, where the service manager connected us to the journal."""
    options: Options = request.options
    is_ours = JOURNAL.exists() and bool(request.variables.get("JOURNAL_STREAM"))
    return JournalOutlet(JOURNAL) if options.enabled and is_ours else None
