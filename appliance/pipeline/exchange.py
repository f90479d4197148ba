"""Where capture threads leave frames and workers fetch them: one slot a camera, no queue.

A live camera overwrites a frame nobody took; a file waits until its frame was taken. Workers
serve the cameras in turn.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from appliance.values import Frame

LaneT = TypeVar("LaneT")


@dataclass(frozen=True, slots=True)
class Pending(Generic[LaneT]):
    """A frame on its way to a worker.

    Attributes:
        lane: the camera's lane.
        frame: the frame.
        number: its number in the lane's ledger.
        received_ns: when it was complete in memory.
        ticket: its place in the order of results, given when a worker takes it.
    """

    lane: LaneT
    frame: Frame
    number: int
    received_ns: int
    ticket: int = -1


class Exchange(Generic[LaneT]):
    """The slots of all cameras. Thread-safe.

    Args:
        lanes: how many cameras there are; they are called by number.
    """

    def __init__(self, lanes: int) -> None:
        lock = threading.Lock()
        self._filled = threading.Condition(lock)  # workers wait for it
        self._emptied = threading.Condition(lock)  # cameras that can wait do
        self._slots: list[Pending[LaneT] | None] = [None] * lanes
        self._tickets = [0] * lanes
        self._turn = 0
        self._closed = False

    def replace(self, index: int, pending: Pending[LaneT]) -> Pending[LaneT] | None:
        """Put a live frame; return what has to be dropped: the older frame, or it when closed."""
        with self._filled:
            if self._closed:
                return pending
            old, self._slots[index] = self._slots[index], pending
            self._filled.notify()
            return old

    def offer(self, index: int, pending: Pending[LaneT], timeout: float) -> bool:
        """Put a frame into an empty slot, waiting up to ``timeout`` seconds for it to be so."""
        with self._emptied:
            free = self._emptied.wait_for(
                lambda: self._closed or self._slots[index] is None, timeout
            )
            if self._closed or not free:
                return False
            self._slots[index] = pending
            self._filled.notify()
            return True

    def take(self, timeout: float) -> Pending[LaneT] | None:
        """Return the next camera's frame with its ticket, or None after ``timeout`` seconds."""
        with self._filled:
            if not self._filled.wait_for(lambda: self._closed or any(self._slots), timeout):
                return None
            return self._take_in_turn()

    def close(self) -> list[Pending[LaneT]]:
        """Refuse everything from now on; return the frames nobody took."""
        with self._filled:
            self._closed = True
            left = [pending for pending in self._slots if pending is not None]
            self._slots = [None] * len(self._slots)
            self._filled.notify_all()
            self._emptied.notify_all()
            return left

    def _take_in_turn(self) -> Pending[LaneT] | None:
        count = len(self._slots)
        for step in range(count):
            index = (self._turn + step) % count
            pending = self._slots[index]
            if pending is not None:
                self._slots[index] = None
                self._turn = (index + 1) % count
                ticket = self._tickets[index]
                self._tickets[index] += 1
                self._emptied.notify_all()
                return Pending(
                    pending.lane, pending.frame, pending.number, pending.received_ns, ticket
                )
        return None
