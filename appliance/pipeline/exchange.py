"""Where capture threads leave frames and workers fetch them: one slot a camera, no queue.

A live camera overwrites a frame nobody took; a file waits until its frame was taken. Workers
serve the cameras in turn. Cameras come and go while the others go on.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

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
        lanes: of the cameras that have a slot from the start.
    """

    def __init__(self, lanes: Iterable[LaneT] = ()) -> None:
        lock = threading.Lock()
        self._filled = threading.Condition(lock)  # workers wait for it
        self._emptied = threading.Condition(lock)  # cameras that can wait do
        self._slots: dict[LaneT, Pending[LaneT] | None] = {}  # who was served longest ago is first
        self._tickets: dict[LaneT, int] = {}
        self._closed = False
        for lane in lanes:
            self.add(lane)

    def add(self, lane: LaneT) -> None:
        """Give a camera a slot."""
        with self._filled:
            self._slots[lane] = None
            self._tickets[lane] = 0

    def remove(self, lane: LaneT) -> Pending[LaneT] | None:
        """Take a camera's slot away; return the frame nobody took. Its later frames are refused."""
        with self._filled:
            self._tickets.pop(lane, None)
            self._emptied.notify_all()
            return self._slots.pop(lane, None)

    def replace(self, pending: Pending[LaneT]) -> Pending[LaneT] | None:
        """Put a live frame; return what has to be dropped: the older frame, or it if refused."""
        with self._filled:
            if self._refuses(pending.lane):
                return pending
            old, self._slots[pending.lane] = self._slots[pending.lane], pending
            self._filled.notify()
            return old

    def offer(self, pending: Pending[LaneT], timeout: float) -> bool:
        """Put a frame into an empty slot, waiting up to ``timeout`` seconds for it to be so."""
        lane = pending.lane
        with self._emptied:
            free = self._emptied.wait_for(
                lambda: self._refuses(lane) or self._slots[lane] is None, timeout
            )
            if self._refuses(lane) or not free:
                return False
            self._slots[lane] = pending
            self._filled.notify()
            return True

    def take(self, timeout: float) -> Pending[LaneT] | None:
        """Return the next camera's frame with its ticket, or None after ``timeout`` seconds."""
        with self._filled:
            if not self._filled.wait_for(
                lambda: self._closed or any(self._slots.values()), timeout
            ):
                return None
            return self._take_in_turn()

    def close(self) -> list[Pending[LaneT]]:
        """Refuse everything from now on; return the frames nobody took."""
        with self._filled:
            self._closed = True
            left = [pending for pending in self._slots.values() if pending is not None]
            self._slots = dict.fromkeys(self._slots)
            self._filled.notify_all()
            self._emptied.notify_all()
            return left

    def _refuses(self, lane: LaneT) -> bool:
        return self._closed or lane not in self._slots

    def _take_in_turn(self) -> Pending[LaneT] | None:
        for lane, pending in self._slots.items():
            if pending is not None:
                del self._slots[lane]
                self._slots[lane] = None  # behind the others
                ticket = self._tickets[lane]
                self._tickets[lane] += 1
                self._emptied.notify_all()
                return Pending(lane, pending.frame, pending.number, pending.received_ns, ticket)
        return None
