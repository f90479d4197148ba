"""Opens a database of the outbox and reads it to the end, however damaged it is."""

from __future__ import annotations

import secrets
import sqlite3
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_LOCKED_SECONDS = 0.2
_TRANSIENT = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""What says nothing of the file itself: it is left as it is, and tried again."""
FAILURES = (sqlite3.Error, TypeError, ValueError, OverflowError)
_MOST_PROBES = 10_000
_COLUMNS = 7
_NEWEST_FORMAT = b"\x02"
_AROUND = 250
"""How far from the rows that can be read others may be."""
_SCHEMA = (
    "CREATE TABLE waiting (number INTEGER PRIMARY KEY, topic TEXT NOT NULL, "
    "payload BLOB NOT NULL, expiry INTEGER, fold TEXT NOT NULL, checksum INTEGER NOT NULL)"
)
_SELECT = "SELECT rowid, * FROM waiting"  # a damaged schema may have lost the names


@dataclass(frozen=True, slots=True)
class Message:
    """What is kept of a message; ``fold`` as in ``Outgoing``."""

    topic: str
    payload: bytes
    expiry_seconds: int | None
    fold: str = ""

    def checksum(self, row: int) -> int:
        """Return what a damaged row does not have."""
        head = f"{row} {self.expiry_seconds} {len(self.topic)} {self.topic} {self.fold}"
        return zlib.crc32(self.payload, zlib.crc32(head.encode()))


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database holds.

    Attributes:
        identity: told apart by it from those before and after it.
        rows: messages by row.
        lost: how many could not be read; at least one where that cannot be told.
        sound: nothing is wrong with the file.
    """

    identity: int
    rows: dict[int, Message]
    lost: int
    sound: bool


def is_damage(error: Exception) -> bool:
    """Say whether the file is at fault, and not the disk around it."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code & 0xFF not in _TRANSIENT


def examine(path: Path) -> tuple[sqlite3.Connection, Contents]:
    """Open a database, made if it is missing, and read all of it.

    Raises:
        sqlite3.Error: the disk does not let us; it says nothing of the file.
    """
    database = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=_LOCKED_SECONDS
    )
    try:
        return database, _contents(database, path)
    except FAILURES as error:
        if is_damage(error):
            return database, Contents(0, {}, 1, sound=False)
        database.close()
        raise


def _contents(database: sqlite3.Connection, path: Path) -> Contents:
    # Alone with the file, it needs no shared index, which a full disk has no room for.
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.text_factory = bytes  # what is no UTF-8 must not end the reading
    intact = _is_intact(database, path)
    identity = int(database.execute("PRAGMA user_version").fetchone()[0])
    if intact and not identity:
        identity = secrets.randbelow((1 << 31) - 1) + 1
        database.execute(f"PRAGMA user_version = {identity}")
    rows, lost = _all(database) if intact else _salvage(database)
    return Contents(identity, rows, lost, sound=not lost)


def _is_intact(database: sqlite3.Connection, path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(20)[18:19] > _NEWEST_FORMAT:
            return False  # SQLite would read it and refuse to write, as if the disk did
    try:
        schema = database.execute("SELECT sql FROM sqlite_master").fetchall()
        if not schema:
            database.execute(_SCHEMA)
        elif schema != [(_SCHEMA.encode(),)]:
            return False
        return database.execute("PRAGMA quick_check(1)").fetchall() == [(b"ok",)]
    except FAILURES as error:
        if is_damage(error):
            return False
        raise


def _all(database: sqlite3.Connection) -> tuple[dict[int, Message], int]:
    """Return the messages of a sound table, and how many rows are not what was written."""
    rows = database.execute(_SELECT).fetchall()
    good = {one[0]: message for one in rows if (message := _message(one[0], one))}
    return good, len(rows) - len(good)


def _salvage(database: sqlite3.Connection) -> tuple[dict[int, Message], int]:
    """Return the messages of a damaged table, and how many are lost.

    Up to the first page that cannot be read, down to the last such page, and what may lie between
    and around it row by row.
    """
    seen = _scan(database, "ASC") | _scan(database, "DESC")
    good = {row: message for row, one in seen.items() if (message := _message(row, one))}
    first, last = min(good, default=1), max(good, default=1)
    inside = around = 0
    for row in range(max(1, first - _AROUND), min(last + _AROUND, first + _MOST_PROBES)):
        if row in good:
            continue
        try:
            one = database.execute(f"{_SELECT} WHERE rowid = ?", (row,)).fetchone()
        except FAILURES as error:
            if not is_damage(error):
                raise
            if first < row < last:
                inside += 1
            else:
                around = 1  # how many there were is not known
        else:
            message = _message(row, one) if one else None
            if message is not None:
                good[row] = message
            inside += one is not None and message is None
    return good, inside + around or 1


def _scan(database: sqlite3.Connection, order: str) -> dict[int, Any]:
    """Return rows from one end to the first that cannot be read."""
    found: dict[int, Any] = {}
    last: int | None = None
    try:
        for one in database.execute(f"{_SELECT} ORDER BY rowid {order}"):
            row = one[0]
            if last is not None and (row <= last if order == "ASC" else row >= last):
                break  # the tree runs in a circle
            found[row] = one
            last = row
    except FAILURES as error:
        if not is_damage(error):
            raise
    return found


def _message(row: int, values: tuple[Any, ...]) -> Message | None:
    """Return the message of a row; None if it is not what was written."""
    if len(values) != _COLUMNS:
        return None
    _, _, topic, payload, expiry, fold, checksum = values
    if not all(isinstance(one, bytes) for one in (topic, payload, fold)):
        return None
    if expiry is not None and not isinstance(expiry, int):
        return None
    try:
        message = Message(topic.decode(), payload, expiry, fold.decode())
    except UnicodeDecodeError:
        return None
    return message if message.checksum(row) == checksum else None
