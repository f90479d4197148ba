"""Must-deliver messages that wait for the broker: bounded, oldest dropped first and counted.

Kept in SQLite, which survives being killed at any point. In /run it costs the card nothing.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

from appliance.errors import UnavailableError

log = logging.getLogger(__name__)

MAX_BYTES = 1 << 20
"""All payloads together; with the message limit, what an unreachable broker can cost."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message in the outbox."""

    number: int
    topic: str
    payload: bytes
    expiry_seconds: int | None


class Outbox:
    """First in, first out; a message stays until ``remove``. Thread-safe.

    Args:
        path: the database, or None to keep it in memory. A damaged one is set aside.
        limit: messages kept.
    """

    def __init__(self, path: Path | None, limit: int) -> None:
        self._lock = threading.Lock()
        self._limit = limit
        self.dropped = 0
        self._database = _open(path)
        row = self._database.execute(
            "SELECT COUNT(*), COALESCE(SUM(LENGTH(payload)), 0) FROM waiting"
        ).fetchone()
        self._messages, self._bytes = int(row[0]), int(row[1])

    def add(self, topic: str, payload: bytes, expiry_seconds: int | None) -> None:
        """Append a message; drop the oldest while the limits are exceeded."""
        with self._lock:
            try:
                self._database.execute(
                    "INSERT INTO waiting (topic, payload, expiry) VALUES (?, ?, ?)",
                    (topic, payload, expiry_seconds),
                )
            except sqlite3.Error as error:  # a full disk, or closed while stopping
                if not self.dropped:
                    log.error("outbox: cannot be written: %s", error)  # noqa: TRY400
                self.dropped += 1
                return
            self._messages += 1
            self._bytes += len(payload)
            while self._messages > self._limit or (self._bytes > MAX_BYTES and self._messages > 1):
                self._drop_oldest()

    def after(self, number: int) -> Waiting | None:
        """Return the oldest message with a number above ``number``."""
        with self._lock:
            if not self._messages:
                return None  # the usual case, asked for every frame: no query for that
            row = self._database.execute(
                "SELECT number, topic, payload, expiry FROM waiting WHERE number > ? "
                "ORDER BY number LIMIT 1",
                (number,),
            ).fetchone()
        return Waiting(*row) if row else None

    def remove(self, number: int) -> None:
        """Forget a message: it was acknowledged (or is gone already)."""
        with self._lock:
            self._delete(number)

    def size(self) -> tuple[int, int]:
        """Return messages and bytes that wait."""
        with self._lock:
            return self._messages, self._bytes

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def _drop_oldest(self) -> None:
        row = self._database.execute("SELECT MIN(number) FROM waiting").fetchone()
        self._delete(row[0])
        self.dropped += 1

    def _delete(self, number: int) -> None:
        row = self._database.execute(
            "DELETE FROM waiting WHERE number = ? RETURNING LENGTH(payload)", (number,)
        ).fetchone()
        if row:
            self._messages -= 1
            self._bytes -= row[0]


def _open(path: Path | None) -> sqlite3.Connection:
    if path is None:
        return _prepare(":memory:")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _prepare(str(path))
    except sqlite3.OperationalError as error:
        raise UnavailableError(
            f"outbox {path}: {error}",
            hint='make its folder writable, or set mqtt.outbox = "memory"',
        ) from error
    except sqlite3.DatabaseError as error:
        aside = path.with_suffix(".damaged")
        log.warning("outbox %s: damaged (%s), set aside as %s", path, error, aside.name)
        path.replace(aside)
        for rest in path.parent.glob(f"{path.name}-*"):  # its write-ahead log belongs to it
            rest.unlink()
        return _prepare(str(path))


def _prepare(name: str) -> sqlite3.Connection:
    database = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(
            "CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY AUTOINCREMENT, "
            "topic TEXT NOT NULL, payload BLOB NOT NULL, expiry INTEGER)"
        )
        database.execute("SELECT SUM(LENGTH(payload)) FROM waiting").fetchone()
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
