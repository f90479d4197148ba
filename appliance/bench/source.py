"""Frames held in memory, so that decoding or rendering is not what is measured."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from appliance.clock import NS_PER_SECOND
from appliance.errors import FrameError, MediaError
from appliance.values import ClockOrigin

if TYPE_CHECKING:
    from appliance.clock import Clock
    from appliance.sources import Source
    from appliance.values import Frame

POOL = 32
"""Distinct frames kept: more than a CPU cache holds, little enough for a small board."""
_MOST_FAILURES = 1000


class PreloadedSource:
    """Delivers frames of a ring over and over, as a camera or as a file would.

    Args:
        pool: the ring; several cameras may share it.
        frames: how many to deliver.
        rate: frames a second of a live camera, or None for back-pressure.
        clock: stamps the frames.
    """

    def __init__(self, pool: list[Frame], frames: int, rate: float | None, clock: Clock) -> None:
        self.live = rate is not None
        self._pool = pool
        self._frames = frames
        self._period_ns = NS_PER_SECOND / rate if rate else 0.0
        self._clock = clock
        self._never = threading.Event()
        self._start_ns = 0
        self._seq = 0

    def open(self) -> None:
        """Start the clock."""
        self._start_ns = self._clock.monotonic_ns()

    def read(self) -> Frame | None:
        """Return the next frame, stamped now, or when it was due."""
        if self._seq >= self._frames:
            return None
        captured_ns = self._clock.monotonic_ns()
        if self.live:  # stamped when it was due: a capture thread that comes late is latency too
            due_ns = self._start_ns + round(self._seq * self._period_ns)
            self._clock.wait(self._never, (due_ns - captured_ns) / NS_PER_SECOND)
            captured_ns = due_ns
        frame = self._pool[self._seq % len(self._pool)]
        seq, self._seq = self._seq, self._seq + 1
        return replace(frame, seq=seq, captured_ns=captured_ns, origin=ClockOrigin.READ)

    def close(self) -> None:
        """Nothing is held open."""


def preload(inner: Source, count: int = POOL) -> list[Frame]:
    """Return copies of the first frames of ``inner``, which is opened and closed.

    Raises:
        MediaError: its frames cannot be used.
    """
    frames: list[Frame] = []
    failures = 0
    inner.open()
    try:
        while len(frames) < count:
            try:
                frame = inner.read()
            except FrameError as error:
                failures += 1
                if failures >= _MOST_FAILURES:
                    raise MediaError(f"no frames to keep: {error}") from error
                continue
            if frame is None:
                break
            kept = tuple(plane.copy() for plane in frame.planes)
            frames.append(replace(frame, planes=kept, release=lambda: None))
            frame.release()
    finally:
        inner.close()
    return frames


class LimitedSource:
    """Ends ``inner`` after ``frames`` frames.

    Args:
        inner: any source.
        frames: how many to let through.
    """

    def __init__(self, inner: Source, frames: int) -> None:
        self.live = inner.live
        self._inner = inner
        self._left = frames

    def open(self) -> None:
        self._inner.open()

    def read(self) -> Frame | None:
        """Return the inner source's next frame, or None when enough came."""
        if self._left <= 0:
            return None
        self._left -= 1
        return self._inner.read()

    def close(self) -> None:
        self._inner.close()
