"""Reads the board's telemetry on a thread of its own.

A file that never answers must not hold the supervisor, which has the other threads to watch.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from appliance.pipeline.heartbeat import Heartbeat
from appliance.telemetry import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.clock import Clock

ANSWER_SECONDS = 1.0
"""How long the supervisor waits for a snapshot; it takes milliseconds."""
READ_SECONDS = 9.0
"""Longest that reading everything may take: firmware answers in a second even when it is busy."""
IDLE_SECONDS = 60.0
"""Between two signs while nobody asks: health is published at least once an hour."""


class Sampler:
    """Reads the board's telemetry on a thread of its own.

    Args:
        read: takes a snapshot; called on the sampler's thread only.
        clock: the appliance's clock.
    """

    may_hang = False

    def __init__(self, read: Callable[[], Snapshot], clock: Clock) -> None:
        self.heartbeat = Heartbeat("telemetry", clock)
        self._read = read
        self._changed = threading.Condition()
        self._asked, self._answered = 0, 0
        self._snapshot: Snapshot | None = None
        self._failure: BaseException | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def sample(self) -> Snapshot:
        """Return a fresh snapshot; an empty one where none comes in time: unknown, not zero.

        Raises:
            Exception: whatever ended the thread.
        """
        with self._changed:
            if self._asked == self._answered:
                self._asked += 1
                self._changed.notify_all()
                self._changed.wait_for(self._is_answered, ANSWER_SECONDS)
            if self._failure is not None:
                raise self._failure
            late = self._asked != self._answered or self._snapshot is None
            return Snapshot(collectors={}) if late or not self._snapshot else self._snapshot

    def close(self) -> None:
        """End the thread, unless it hangs: then it ends with the process."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(ANSWER_SECONDS)

    def _is_answered(self) -> bool:
        return self._asked == self._answered or self._failure is not None

    def _run(self) -> None:
        try:
            while self._next():
                self.heartbeat.wait("reading the board", READ_SECONDS)
                snapshot = self._read()
                with self._changed:
                    self._snapshot, self._answered = snapshot, self._asked
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised where the supervisor asks
            with self._changed:
                self._failure = error
                self._changed.notify_all()
        finally:
            self.heartbeat.ended = True

    def _next(self) -> bool:
        """Wait for a question; False when there will be none."""
        with self._changed:
            while self._asked == self._answered and not self._closing:
                self.heartbeat.wait("a question", IDLE_SECONDS)
                self._changed.wait(IDLE_SECONDS / 2)
            return not self._closing
