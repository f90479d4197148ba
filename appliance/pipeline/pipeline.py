"""Owns the threads: starts them, notices when one dies, ends them within a bound."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from appliance.errors import StalledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.pipeline.exchange import Exchange
    from appliance.pipeline.lane import Lane
    from appliance.pipeline.worker import Worker

log = logging.getLogger(__name__)

JOIN_SECONDS = 0.8
"""How long stopping waits for the threads; SIGTERM promises 2 s in all."""
PATIENT_SECONDS = 12.0
"""The same before a reload: the next source may need the device that the last one still reads."""


class Pipeline:
    """All cameras and workers.

    Args:
        lanes: one for each camera.
        workers: the detectors' threads.
        exchange: the slots between them.
        on_change: called from any thread when something ended, so that the supervisor looks.
    """

    def __init__(
        self,
        lanes: tuple[Lane, ...],
        workers: tuple[Worker, ...],
        exchange: Exchange[Lane],
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.lanes = lanes
        self.workers = workers
        parts: tuple[Lane | Worker, ...] = (*workers, *lanes)
        self._parts = parts
        self.heartbeats = tuple(part.heartbeat for part in parts)
        self._exchange = exchange
        self._on_change = on_change
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._threads = [self._thread(part.heartbeat.name, part.run) for part in parts]

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def finished(self) -> bool:
        """Say whether all sources ended and every frame was accounted for."""
        return all(
            lane.ended.is_set() and lane.ledger.counts().in_flight == 0 for lane in self.lanes
        )

    def check(self) -> None:
        """Raise what ended a thread, if one ended unasked."""
        if self._failure is not None:
            raise self._failure

    def stop(self, *, patient: bool = False) -> None:
        """End all threads and book what was left as dropped.

        A thread that is in a declared wait (a slow camera, a connection) is left to end with the
        process.

        Args:
            patient: wait longer for such threads, because this process goes on.

        Raises:
            StalledError: a thread hangs and only the process's end can end it.
        """
        self._stop.set()
        for pending in self._exchange.close():
            pending.lane.discard(pending, "shutdown")
        deadline = time.monotonic() + (PATIENT_SECONDS if patient else JOIN_SECONDS)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        alive = {thread.name for thread in self._threads if thread.is_alive()}
        waiting = {part.heartbeat.name for part in self._parts if part.heartbeat.waiting_for}
        hung = alive if patient else alive - waiting
        for lane in self.lanes:
            lane.ledger.drop_all("shutdown")
        if hung:
            raise StalledError(f"{', '.join(sorted(hung))}: hangs and cannot be ended")

    def _thread(
        self, name: str, run: Callable[[Exchange[Lane], threading.Event], None]
    ) -> threading.Thread:
        def guarded() -> None:
            try:
                run(self._exchange, self._stop)
            except BaseException as error:  # noqa: BLE001 - whatever ends a thread ends us
                if self._failure is None:
                    self._failure = error
            finally:
                self._on_change()

        return threading.Thread(target=guarded, name=name, daemon=True)
