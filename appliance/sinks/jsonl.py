"""Detections as JSON lines, to a file that is turned over at a size, a pipe, or standard output."""

from __future__ import annotations

import os
import stat
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

if TYPE_CHECKING:
    from appliance.reports.outgoing import Outgoing
    from appliance.sinks import SinkRequest

_STANDARD_OUTPUT = 1


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Detections as JSON lines, beside MQTT."""

    path: Annotated[
        str, Meta(description="File to append to, - for standard output, empty for none.")
    ] = ""
    max_bytes: Annotated[
        Annotated[int, Meta(ge=0)],
        Meta(
            description="A file that would grow beyond is renamed (.1, the one before .2, and so "
            "on) and another one begun; 0: never."
        ),
    ] = 64 << 20
    keep: Annotated[
        Annotated[int, Meta(ge=1, le=1000)],
        Meta(description="How many renamed files stay; the oldest is removed."),
    ] = 3


class JsonlOutlet:
    """Appends one line a detections message; never half a line to a file.

    Args:
        path: a file, or ``-`` for standard output.
        max_bytes: a file that would grow beyond becomes ``path.1``; 0 for never.
        keep: how many such files; the oldest is removed.
    """

    name = "jsonl"
    kinds: frozenset[str] | None = frozenset({"detections"})

    def __init__(self, path: str, max_bytes: int = 0, keep: int = 1) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._file = -1
        self._size = 0
        self._is_regular = False

    def open(self) -> None:
        """Open the file, made if it is missing.

        Raises:
            OSError: it cannot be.
        """
        # A descriptor of our own, unbuffered: one that a stopped reader blocks must not be what the
        # interpreter flushes at its end.
        self._file = (
            os.dup(_STANDARD_OUTPUT)
            if self._path == "-"
            else os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        )
        found = os.fstat(self._file)
        self._is_regular = self._path != "-" and stat.S_ISREG(found.st_mode)
        self._size = found.st_size

    def handle(self, outgoing: Outgoing) -> None:
        """Write a line.

        Raises:
            OSError: the disk is full, the reader is gone.
        """
        line = outgoing.payload + b"\n"
        too_long = self._size + len(line) > self._max_bytes > 0
        if too_long and self._size and self._is_regular:
            self._turn_over()
        self._write(line)
        self._size += len(line)

    def close(self) -> None:
        if self._file >= 0:
            descriptor, self._file = self._file, -1
            os.close(descriptor)

    def _turn_over(self) -> None:
        """Begin a new file; the old ones are numbered, the newest is 1."""
        path = Path(self._path).resolve()  # a link stays one
        numbered = [path.with_name(f"{path.name}.{number}") for number in range(1, self._keep + 1)]
        for newer, older in reversed(list(pairwise((path, *numbered)))):
            if newer.exists():
                newer.replace(older)
        self.close()
        self.open()

    def _write(self, line: bytes) -> None:
        left = line
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            if self._is_regular and left is not line:
                os.ftruncate(self._file, self._size)  # the line comes again, whole
            raise


def create(request: SinkRequest) -> JsonlOutlet | None:
    """Return the outlet, where a file is wanted."""
    options: Options = request.options
    if not options.path:
        return None
    return JsonlOutlet(options.path, options.max_bytes, options.keep)
