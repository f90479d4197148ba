"""Must-deliver messages that wait for the receiver: bounded, oldest dropped first and counted.

They are held in memory, in order, and that is what the receiver gets; the file beside it is a copy
for the next process. A disk that is full, damaged or gone costs the copy, never the message.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.sinks.outbox.outbox_file import OutboxFile
from appliance.sinks.outbox.salvage import Message

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)

MAX_BYTES = 1 << 20
"""All payloads together; with the message limit, what an unreachable receiver can cost."""
RETRY_SECONDS = 5.0
"""A disk that failed is left alone for so long."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message in the outbox."""

    number: int
    topic: str
    payload: bytes
    expiry_seconds: int | None
    fold: str = ""


class Outbox:
    """First in, first out; a message stays until ``remove``. Thread-safe; raises nothing.

    Args:
        path: of the copy on disk, or None for memory only.
        limit: messages kept.
        monotonic: seconds, for the time between two tries to write.

    Attributes:
        dropped: messages given up: over the limits, or unreadable on disk.
    """

    def __init__(
        self, path: Path | None, limit: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._lock = threading.Lock()
        self._limit = limit
        self._monotonic = monotonic
        self._next_try = 0.0
        self._last = 0
        self._bytes = 0
        self._waiting: OrderedDict[int, Waiting] = OrderedDict()  # its first is found at once
        self._folds: dict[str, int] = {}  # oldest first
        self._rows: dict[int, int] = {}
        self._unsaved: dict[int, None] = {}
        self.dropped = 0
        self._file = None if path is None else OutboxFile(path)
        with self._lock:
            self._catch_up()

    @property
    def problem(self) -> str:
        """Say why what waits would not survive this process; empty where all is well."""
        cause = self._file.problem if self._file is not None else ""
        return f"{cause}: messages wait in memory only" if cause else ""

    def add(self, topic: str, payload: bytes, expiry_seconds: int | None, fold: str = "") -> None:
        """Append a message, instead of the one with the same ``fold`` that waits.

        While the limits are exceeded one goes: the oldest that another could have replaced, or,
        where there is none, the oldest.
        """
        with self._lock:
            if fold in self._folds:
                self._forget(self._folds[fold])
            self._append(Message(topic, payload, expiry_seconds, fold), 0)
            self._catch_up()

    def after(self, number: int) -> Waiting | None:
        """Return the oldest message with a number above ``number``; asked for every frame."""
        with self._lock:
            return next((one for key, one in self._waiting.items() if key > number), None)

    def remove(self, number: int) -> None:
        """Forget a message: it was acknowledged (or is gone already)."""
        with self._lock:
            self._forget(number)

    def size(self) -> tuple[int, int]:
        """Return messages and bytes that wait."""
        with self._lock:
            return len(self._waiting), self._bytes

    def catch_up(self) -> None:
        """Try again to write what could not be written; cheap where nothing is behind."""
        if self._file is not None and self._file.problem:
            with self._lock:
                self._catch_up()

    def close(self) -> None:
        """Write what can be written, and close the file."""
        with self._lock:
            if self._file is None:
                return
            self._next_try = 0.0
            self._catch_up()
            if self._unsaved:
                log.error("outbox: %d messages could not be written", len(self._unsaved))
            self._file.close()
            self._file = None

    def _append(self, message: Message, row: int) -> None:
        self._last += 1
        self._waiting[self._last] = Waiting(
            self._last, message.topic, message.payload, message.expiry_seconds, message.fold
        )
        if message.fold:
            self._folds[message.fold] = self._last
        self._bytes += len(message.payload)
        if row:
            self._rows[self._last] = row
        else:
            self._unsaved[self._last] = None
        while len(self._waiting) > self._limit or (
            self._bytes > MAX_BYTES and len(self._waiting) > 1
        ):
            self._forget(next(iter(self._folds.values() or self._waiting)))
            self.dropped += 1

    def _forget(self, number: int) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is None:
            return
        if self._folds.get(waiting.fold) == number:
            del self._folds[waiting.fold]
        self._bytes -= len(waiting.payload)
        self._unsaved.pop(number, None)
        row = self._rows.pop(number, 0)
        if row and self._file is not None:
            self._file.remove(row)

    def _catch_up(self) -> None:
        """Bring the file up to what is in memory."""
        file, now = self._file, self._monotonic()
        if file is None or (file.problem and now < self._next_try):
            return
        self._next_try = now + RETRY_SECONDS
        for _ in range(2):  # twice: one that turns out damaged is replaced
            if not file.is_open:
                self._open(file)
            if not file.is_open:
                return
            for number in list(self._unsaved):
                one = self._waiting[number]
                row = file.save(Message(one.topic, one.payload, one.expiry_seconds, one.fold))
                if not row:
                    break
                self._rows[number] = row
                del self._unsaved[number]
            else:
                file.settle()
            if file.is_open:
                return

    def _open(self, file: OutboxFile) -> None:
        """Take what waits in the file; nothing that is in memory is in it."""
        self._rows.clear()
        self._unsaved = dict.fromkeys(self._waiting)
        for message, row in file.open():
            self._append(message, row)
        self.dropped += file.lost
        file.lost = 0
