"""Results of parallel workers, put back in the order in which their frames were taken."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Item = TypeVar("Item")


class Sequencer(Generic[Item]):
    """Calls ``deliver`` once for each result, in ticket order, one at a time. Thread-safe.

    Args:
        deliver: takes a result; called with the lock held, so that a slow filter holds the workers
            back instead of a heap of results: it may compute, and waits for nothing outside.
    """

    def __init__(self, deliver: Callable[[Item], None]) -> None:
        self._deliver = deliver
        self._lock = threading.Lock()
        self._waiting: dict[int, Item | None] = {}
        self._next = 0

    def submit(self, ticket: int, item: Item | None) -> None:
        """Hand in the result of ``ticket``; None says that there will be none."""
        with self._lock:
            self._waiting[ticket] = item
            while self._next in self._waiting:
                ready = self._waiting.pop(self._next)
                self._next += 1
                if ready is not None:
                    self._deliver(ready)

    def between(self, work: Callable[[], None], seconds: float = 0.0) -> None:
        """Do something while no result is delivered; not at all if one is for so long."""
        if self._lock.acquire(timeout=seconds):
            try:
                work()
            finally:
                self._lock.release()
