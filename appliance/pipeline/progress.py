"""What a camera's threads leave behind of their work, for whoever asks whether results are coming.

Written by the capture thread and by the workers, read by the supervisor, without a lock: each
value is written whole.
"""

from __future__ import annotations

import zlib
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from appliance.clock import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.values import Frame

REMEMBERED = 16
"""Results whose distance says what is usual here."""
_LOOK_NS = NS_PER_SECOND // 4
_ROWS = 90
"""Of a picture, evenly spaced: the noise of a sensor changes every one of them, each frame."""


class Progress:
    """When the camera was opened and when it got results."""

    def __init__(self) -> None:
        self._results: list[int] = [0] * REMEMBERED
        self._count = 0
        self._owed_ns = 0
        self.opened_ns: int | None = None
        self.result_ns: int | None = None

    def opened(self, now_ns: int) -> None:
        """Note that frames may come from now on; what was usual before counts no more."""
        self._count = 0
        self._owed_ns = 0
        self.result_ns = None
        self.opened_ns = now_ns

    def closed(self) -> None:
        """Note that no frames can come."""
        self.opened_ns = None

    def admitted(self, now_ns: int) -> None:
        """Note that a frame was let through to the workers: a result is owed."""
        self._owed_ns = now_ns

    def result(self, now_ns: int) -> None:
        """Note a result that was handed on."""
        self._results[self._count % REMEMBERED] = now_ns
        self._count += 1
        self.result_ns = now_ns

    def still(self, now_ns: int) -> None:
        """Note that the motion gate saw nothing new: as good as a result, unless one is owed."""
        if self._owed_ns <= (self.result_ns or 0):
            self.result(now_ns)

    @property
    def interval_seconds(self) -> float | None:
        """Return the usual time between two results; None before there were two."""
        known = sorted(self._results[: min(self._count, REMEMBERED)])
        if len(known) < 2:
            return None
        gaps = [later - earlier for earlier, later in pairwise(known)]
        return median(gaps) / NS_PER_SECOND


class StillPicture:
    """For how long a camera's picture has been the same, to the bit. Used by its capture thread.

    Args:
        limit_seconds: the same for so long is a frozen camera; 0 never is. Asked each time: what
            an encoder repeats is known only once some of it has come.
    """

    def __init__(self, limit_seconds: Callable[[], float]) -> None:
        self._limit_seconds = limit_seconds
        self._looked_ns = 0
        self._print: tuple[int, ...] | None = None
        self._since_ns = 0
        self.frozen = False

    @property
    def limit_seconds(self) -> float:
        """Return after how long the same picture is a fault; 0 never."""
        return self._limit_seconds()

    def look(self, frame: Frame, now_ns: int) -> bool:
        """Take a frame; return True if it shows that the picture is frozen, or no longer is.

        Only four frames a second are compared.
        """
        if frame.seen is not None or now_ns - self._looked_ns < _LOOK_NS:
            return False
        limit_ns = self.limit_seconds * NS_PER_SECOND
        if not limit_ns:
            return False
        # The picture that is the same now was so before it was looked at first.
        before_ns = max(self._looked_ns, now_ns - 2 * _LOOK_NS)
        self._looked_ns = now_ns
        now = _fingerprint(frame)
        if now != self._print:
            self._print, self._since_ns = now, now_ns if self._print is None else before_ns
        was, self.frozen = self.frozen, now_ns - self._since_ns >= limit_ns
        return was != self.frozen

    def forget(self) -> None:
        """Begin anew: the camera was opened again."""
        self._print = None
        self.frozen = False


def _fingerprint(frame: Frame) -> tuple[int, ...]:
    step = max(1, len(frame.planes[0]) // _ROWS)
    found = 0
    for plane in frame.planes:
        found = zlib.crc32(np.ascontiguousarray(plane[::step]).data, found)
    return found, *frame.decoded_size, len(frame.planes)
