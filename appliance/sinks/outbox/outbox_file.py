"""The outbox's copy on disk: SQLite, which survives being killed at any point.

Whatever the disk does is told in ``problem`` and tried again, or the damaged file is set aside with
what it holds that can still be read taken along. Nothing is raised.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from appliance.errors import UnavailableError
from appliance.files import claim_folder
from appliance.sinks.outbox.delivered import Delivered, Entry
from appliance.sinks.outbox.salvage import FAILURES, Message, examine, is_damage

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


class OutboxFile:
    """Used under the outbox's lock.

    Args:
        path: of the database; its folder must be ours alone.

    Attributes:
        problem: why it cannot be written now; empty where it can.
        lost: messages that could not be read since somebody asked last.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._delivered: Delivered | None = None
        self._identity = 0
        self._rows: OrderedDict[int, None] = OrderedDict()  # its first is found at once
        self._gone: dict[int, None] = {}
        self._out_of_order: set[int] = set()
        self._next_row = 1
        self._unusable = False
        self.problem = ""
        self.lost = 0

    @property
    def is_open(self) -> bool:
        """Say whether there is a database to write to."""
        return self._database is not None

    def open(self) -> list[tuple[Message, int]]:
        """Return what waits, with the row it is in: 0 for what has to be saved again."""
        saved: list[tuple[Message, int]] = []
        try:
            claim_folder(self._path.parent)
            saved = self._open()
        except UnavailableError as error:
            self._failed(error.message)
        except OSError as error:
            self._failed(error.strerror or str(error))
        except FAILURES as error:
            self._failed(str(error))
        return saved

    def save(self, message: Message) -> int:
        """Write a message; return its row, 0 if that failed."""
        row = self._next_row
        values = (
            row,
            message.topic,
            message.payload,
            message.expiry_seconds,
            message.fold,
            message.checksum(row),
        )
        if not self._ask("INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?, ?, ?)", values):
            return 0
        self._next_row += 1
        self._rows[row] = None
        return row

    def remove(self, row: int) -> None:
        """Delete a row, or record in room that is there already that it is not to be sent."""
        self._rows.pop(row, None)
        if self._ask("DELETE FROM waiting WHERE number = ?", (row,)):
            return
        if self._database is None and not self._unusable:
            return  # set aside this moment, and the row with it
        self._gone[row] = None
        if self._delivered is not None:
            first = next(iter(self._rows), self._next_row)
            self._out_of_order = {one for one in (*self._out_of_order, row) if one >= first}
            try:
                self._delivered.write(self._identity, first, self._out_of_order)
            except OSError as error:
                self._failed(error.strerror or str(error))

    def settle(self) -> None:
        """Delete what could not be deleted; where that works, all is well again."""
        for row in list(self._gone):
            if not self._ask("DELETE FROM waiting WHERE number = ?", (row,)):
                return
            del self._gone[row]
        probe = f"PRAGMA user_version = {self._identity}"  # as it is: only to write something
        if self.problem and self._reserve() and self._ask(probe):
            log.warning("outbox %s: can be written again", self._path)
            self.problem = ""

    def close(self) -> None:
        self._close_database()
        if self._delivered is not None:
            self._delivered.close()
            self._delivered = None

    def _close_database(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            try:
                database.close()
            except FAILURES as error:
                self._failed(str(error))

    def _ask(self, statement: str, values: tuple[Any, ...] = ()) -> bool:
        """Run a statement; the one place where what the disk does to us is caught."""
        if self._database is None:
            return False
        try:
            self._database.execute(statement, values)
        except FAILURES as error:
            self._failed(str(error))
            if isinstance(error, sqlite3.Error) and is_damage(error):
                self._set_aside()
            return False
        return True

    def _failed(self, why: str) -> None:
        if not self.problem:
            log.error("outbox %s: %s", self._path, why)
        self.problem = why

    def _open(self) -> list[tuple[Message, int]]:
        if self._unusable:
            return []
        self._reserve()
        beside = self._path.parent.glob(f"{self._path.name}-*")  # its write-ahead log
        if any(one.is_symlink() for one in (self._path, *beside)):
            self._set_aside()
        database, contents = examine(self._path)
        salvaged: list[tuple[Message, int]] = []
        if not contents.sound:
            database.close()
            delivered = self._entry(contents.identity)
            waiting = {row: one for row, one in contents.rows.items() if row not in delivered}
            salvaged = [(one, 0) for _, one in sorted(waiting.items())]
            self.lost += contents.lost
            if not self._set_aside():
                return salvaged
            try:
                database, contents = examine(self._path)
            except FAILURES as error:
                self._failed(str(error))
                return salvaged
        self._database, self._identity = database, contents.identity
        delivered = self._entry(contents.identity)
        self._next_row = max([delivered.last, *contents.rows]) + 1
        self._gone = {row: None for row in contents.rows if row in delivered}
        self._out_of_order = set(delivered.rows)
        self._rows = OrderedDict.fromkeys(sorted(contents.rows.keys() - self._gone.keys()))
        return salvaged + [(contents.rows[row], row) for row in self._rows]

    def _reserve(self) -> bool:
        """Have the room in which ``remove`` records what cannot be deleted."""
        if self._delivered is None:
            try:
                self._delivered = Delivered(self._path.with_suffix(".delivered"))
            except OSError as error:
                self._failed(error.strerror or str(error))
        return self._delivered is not None

    def _entry(self, identity: int) -> Entry:
        return self._delivered.read(identity) if self._delivered is not None else Entry()

    def _set_aside(self) -> bool:
        """Put the file where it does no harm; another one is made when it is opened again."""
        self._close_database()
        self._rows.clear()
        self._gone.clear()
        self._out_of_order.clear()
        self._next_row = 1
        aside = self._path.with_suffix(".damaged")
        log.error("outbox %s: damaged, set aside as %s", self._path, aside.name)
        try:
            with contextlib.suppress(FileNotFoundError):
                self._path.replace(aside)
            for rest in self._path.parent.glob(f"{self._path.name}-*"):  # its log belongs to it
                rest.unlink()
        except OSError as error:
            self._unusable = True
            self._failed(f"damaged, and cannot be set aside: {error.strerror}")
        return not self._unusable
