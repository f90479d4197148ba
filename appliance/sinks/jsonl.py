"""Detections as JSON lines, to a file or standard output, written by a thread of its own.

A reader that stops (a pipe nobody empties, a terminal that was paused) or a disk that is full holds
this thread only. What does not fit into the queue meanwhile is dropped, counted and told.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING

from appliance.clock import SystemClock
from appliance.errors import UnavailableError
from appliance.heartbeat import Heartbeat

if TYPE_CHECKING:
    from appliance.clock import Clock
    from appliance.sinks import Outgoing, SinkProblem

log = logging.getLogger(__name__)

LINES = 1024
"""That may wait to be written; older ones are dropped."""
WRITE_SECONDS = 3.0
"""A write that takes longer is told."""
RETRY_SECONDS = 2.0
"""Between two attempts on a disk that is full."""
CLOSE_SECONDS = 0.8
_STANDARD_OUTPUT = 1


class JsonlSink:
    """Appends one line a detections message.

    Args:
        path: a file, or ``-`` for standard output.
        clock: of the heartbeat.

    Raises:
        UnavailableError: the file cannot be opened.
    """

    may_hang = True  # whoever does not read now would not read from a new process either

    def __init__(self, path: str, clock: Clock | None = None) -> None:
        self._path = path
        try:
            # A descriptor of our own, unbuffered: one that a stopped reader blocks must not be
            # what the interpreter flushes at its end.
            self._file = (
                os.dup(_STANDARD_OUTPUT)
                if path == "-"
                else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            )
        except OSError as error:
            raise UnavailableError(f"jsonl {path}: {error.strerror}") from error
        self.heartbeat = Heartbeat(f"jsonl {path}", clock or SystemClock())
        self.dropped = 0
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._closing = False
        self._fault = ""
        self._dropped_before = 0
        self._thread = threading.Thread(target=self._run, name="jsonl", daemon=True)
        self._thread.start()

    def put(self, outgoing: Outgoing) -> None:
        """Take a detections message; never waits for the file."""
        if outgoing.kind != "detections":
            return
        with self._changed:
            if self._closing:
                return
            self._lines.append(outgoing.payload + b"\n")
            if len(self._lines) > LINES:
                self._lines.popleft()
                self.dropped += 1
            self._changed.notify()

    def problems(self) -> tuple[SinkProblem, ...]:
        """Return why lines are missing: since when this was asked last, or still."""
        with self._changed:
            lost, self._dropped_before = self.dropped > self._dropped_before, self.dropped
        if not (self._fault or lost):
            return ()
        why = self._fault or "its reader is too slow"
        return (("sink", self._path, f"jsonl {self._path}: {why} ({self.dropped} lines dropped)"),)

    def close(self) -> None:
        """Write what waits, unless that takes too long; safe to call twice."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            while (line := self._next()) is not None:
                self._write(line)
        finally:
            self.heartbeat.ended = True
            os.close(self._file)

    def _next(self) -> bytes | None:
        with self._changed:
            while not self._lines and not self._closing:
                self.heartbeat.wait("a line", 2 * WRITE_SECONDS)
                self._changed.wait(WRITE_SECONDS)
            return self._lines.popleft() if self._lines else None

    def _write(self, line: bytes) -> None:
        """Write a line, however often it takes; a line is never given up half written."""
        while line:
            self.heartbeat.wait("a write", WRITE_SECONDS)
            try:
                line = line[os.write(self._file, line) :]
                self._fault = ""
            except OSError as error:
                if not self._fault:
                    log.warning("jsonl %s: %s; trying again", self._path, error)
                self._fault = error.strerror or str(error)
                if self._pause():
                    return

    def _pause(self) -> bool:
        """Wait before the next attempt; say whether the sink is being closed."""
        self.heartbeat.wait("its next attempt", 2 * RETRY_SECONDS)
        with self._changed:
            return self._closing or self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)
