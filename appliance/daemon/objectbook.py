"""What cameras counted and whom they follow, kept on disk: the next start goes on from it.

It is an outlet like any other, with a thread of its own: what is written is what was published.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import msgspec

from appliance.daemon.kept import read_kept
from appliance.files import write_whole
from appliance.objects.tally import Tally
from appliance.reports.objects import EventMessage, ObjectsMessage, TotalsInfo
from appliance.values.happened import Totals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.reports.outgoing import Outgoing

log = logging.getLogger(__name__)

SYNC_SECONDS = 1.0
"""What is written is forced to the disk at most so often: a power cut costs no more."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What lies on disk.

    Attributes:
        totals: by camera.
        followed: the last message of each object that was there, by id.
    """

    totals: dict[str, TotalsInfo] = {}
    followed: dict[str, EventMessage] = {}


class ObjectBook:
    """Main thread, but for the outlet's methods.

    Args:
        path: of the file; None to keep nothing.
        monotonic: seconds, for the time between two writes that are forced to disk.

    Attributes:
        left: the objects that an earlier start followed when it died.
    """

    name = "objects"
    kinds: frozenset[str] | None = frozenset({"event", "objects"})

    def __init__(
        self, path: Path | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._monotonic = monotonic
        self._synced: float | None = None
        kept = read_kept(path, Kept, "counts of objects begin at 0")
        self.left: tuple[EventMessage, ...] = tuple(kept.followed.values())
        self._totals = dict(kept.totals)
        self._followed = dict(kept.followed)
        self._tallies = {
            camera: Tally(msgspec.convert(msgspec.to_builtins(one), Totals))
            for camera, one in kept.totals.items()
        }

    def tally(self, camera: str) -> Tally:
        """Return a camera's, the same for ever."""
        return self._tallies.setdefault(camera, Tally())

    def open(self) -> None:
        """There is nothing to open."""

    def handle(self, outgoing: Outgoing) -> None:
        """Keep what a message says.

        Raises:
            OSError: it cannot be written.
        """
        message = outgoing.message
        if isinstance(message, ObjectsMessage):
            if self._totals.get(message.camera) == message.totals:
                return
            self._totals[message.camera] = message.totals
        elif isinstance(message, EventMessage):
            if message.event == "end":
                self._followed.pop(message.id, None)
            else:
                self._followed[message.id] = message
            if message.event == "update":
                return  # it is written with what comes next
        self._write()

    def close(self) -> None:
        """There is nothing to close."""

    def _write(self) -> None:
        if self._path is None:
            return
        now = self._monotonic()
        is_due = self._synced is None or now - self._synced >= SYNC_SECONDS
        kept = Kept(totals=self._totals, followed=self._followed)
        write_whole(self._path, msgspec.json.encode(kept), 0o600, durable=is_due)
        if is_due:
            self._synced = now
