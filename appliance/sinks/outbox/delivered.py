"""Which rows of the outbox's database are not to be sent again, though they are still in it.

A full disk deletes nothing from a database: that takes room for a journal first. This file has its
room from the day it was made, and is only ever written in place.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SLOT_BYTES = 2048
_MASK_BYTES = 1024
_HEAD = struct.Struct("<iQQ")
"""Identity of the database, number of the entry, first row that may still wait."""
_CHECK = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Entry:
    """What was delivered: all rows before ``first``, and these."""

    first: int = 1
    rows: frozenset[int] = frozenset()

    def __contains__(self, row: int) -> bool:
        return row < self.first or row in self.rows

    @property
    def last(self) -> int:
        """Return the highest row that it tells of."""
        return max(self.rows, default=self.first - 1)


class Delivered:
    """Two entries take turns: one is whole whenever power goes.

    Args:
        path: of the file; a link there is removed.

    Raises:
        OSError: there is no room for it, or it may not be written.
    """

    def __init__(self, path: Path) -> None:
        if path.is_symlink():
            path.unlink()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            missing = 2 * _SLOT_BYTES - os.fstat(self._file).st_size
            if missing > 0:  # zeros, not a hole: they take the room that will be needed
                os.pwrite(self._file, bytes(2 * _SLOT_BYTES), 0)
                os.fsync(self._file)
        except OSError:
            os.close(self._file)
            raise
        self._number = 0

    def read(self, identity: int) -> Entry:
        """Return what was delivered of this database."""
        newest, newest_number = Entry(), 0
        for slot in range(2):
            data = os.pread(self._file, _SLOT_BYTES, slot * _SLOT_BYTES)
            body, check = data[: _HEAD.size + _MASK_BYTES], data[_HEAD.size + _MASK_BYTES :]
            if len(data) < _SLOT_BYTES or check[: _CHECK.size] != _CHECK.pack(zlib.crc32(body)):
                continue
            owner, number, first = _HEAD.unpack_from(body)
            self._number = max(self._number, number)
            if owner == identity and number > newest_number:
                newest_number = number
                newest = Entry(first, frozenset(_rows(first, body[_HEAD.size :])))
        return newest

    def write(self, identity: int, first: int, rows: Iterable[int]) -> None:
        """Record what was delivered: all before ``first``, and these.

        Raises:
            OSError: it cannot be written.
        """
        mask = bytearray(_MASK_BYTES)
        for row in rows:
            place, bit = divmod(row - first, 8)
            if 0 <= place < _MASK_BYTES:
                mask[place] |= 1 << bit
        self._number += 1
        body = _HEAD.pack(identity, self._number, first) + mask
        entry = body + _CHECK.pack(zlib.crc32(body))
        os.pwrite(self._file, entry, self._number % 2 * _SLOT_BYTES)
        os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


def _rows(first: int, mask: bytes) -> list[int]:
    return [
        first + 8 * place + bit
        for place, byte in enumerate(mask)
        if byte
        for bit in range(8)
        if byte >> bit & 1
    ]
