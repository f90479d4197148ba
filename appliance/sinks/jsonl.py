"""Detections as JSON lines, to a file or standard output."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from appliance.errors import UnavailableError

if TYPE_CHECKING:
    from appliance.sinks import Outgoing

log = logging.getLogger(__name__)


class JsonlSink:
    """Appends one line a detections message; stops, and says so once, when writing fails.

    Args:
        path: a file, or ``-`` for standard output.

    Raises:
        UnavailableError: the file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._owned = path != "-"
        try:
            self._file: BinaryIO | None = (
                Path(path).open("ab") if self._owned else sys.stdout.buffer  # noqa: SIM115
            )
        except OSError as error:
            raise UnavailableError(f"jsonl {path}: {error.strerror}") from error

    def put(self, outgoing: Outgoing) -> None:
        """Write a detections message."""
        if outgoing.kind != "detections":
            return
        with self._lock:
            if self._file is None:
                return
            try:
                self._file.write(outgoing.payload + b"\n")
                self._file.flush()
            except OSError as error:
                log.error("jsonl %s: writing failed, stopped: %s", self._path, error)  # noqa: TRY400
                self._file = None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None and self._owned:
                self._file.close()
            self._file = None
