"""Frames are conserved: captured = processed + dropped by reason + in flight, at any instant."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal, get_args

DropReason = Literal[
    "superseded",
    "corrupt",
    "not_inferred",
    "governed",
    "gated",
    "paused",
    "unusable",
    "detector_error",
    "shutdown",
]
DROP_REASONS: tuple[DropReason, ...] = get_args(DropReason)
"""superseded: a newer frame came first. corrupt: the source could not decode it. not_inferred: a
camera that detects by itself left it out. governed: the governor eased the work. gated: nothing
moved in it. paused: the owner asked that nobody looks. unusable: it could not be resized.
detector_error: inference failed. shutdown: we stopped before its turn."""


@dataclass(frozen=True, slots=True)
class Counts:
    """A consistent view of the ledger."""

    captured: int
    processed: int
    in_flight: int
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def conserved(self) -> bool:
        """Say whether the law holds."""
        return self.captured == self.processed + sum(self.dropped.values()) + self.in_flight


class FrameLedger:
    """Knows where every frame of one camera went. Thread-safe.

    Each frame in flight is held by its number, so a frame that is counted twice, or ends
    without having begun, raises instead of bending the books.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._captured = 0
        self._processed = 0
        self._dropped: dict[str, int] = dict.fromkeys(DROP_REASONS, 0)
        self._in_flight: set[int] = set()
        self._next = 0

    def capture(self) -> int:
        """Book a captured frame; return its number in the books."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._captured += 1
            self._in_flight.add(number)
            return number

    def process(self, number: int) -> None:
        """Book that the frame's result was handed to the sinks."""
        with self._lock:
            self._in_flight.remove(number)
            self._processed += 1

    def drop(self, number: int, reason: DropReason) -> None:
        """Book that the frame ended without a result."""
        with self._lock:
            self._in_flight.remove(number)
            self._dropped[reason] += 1

    def drop_all(self, reason: DropReason) -> None:
        """Book everything still in flight as dropped: the pipeline has stopped."""
        with self._lock:
            self._dropped[reason] += len(self._in_flight)
            self._in_flight.clear()

    def counts(self) -> Counts:
        """Return the books as they stand."""
        with self._lock:
            return Counts(
                self._captured, self._processed, len(self._in_flight), dict(self._dropped)
            )
