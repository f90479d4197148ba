"""Owns the threads: starts them, notices when one dies, ends them within a bound.

Cameras and workers come and go one by one, at a reload, while the others go on.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.errors import StalledError
from appliance.pipeline.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.pipeline.heartbeat import Heartbeat
    from appliance.pipeline.lane import Lane
    from appliance.pipeline.worker import Worker

log = logging.getLogger(__name__)

JOIN_SECONDS = 0.8
"""How long stopping waits for the threads; SIGTERM promises 2 s in all."""
PATIENT_SECONDS = 12.0
"""The same at a reload: the next source may need the device that the last one still reads."""
_LOOK_SECONDS = 0.005
"""Between two looks for a frame that a worker still holds."""


@dataclass(frozen=True, slots=True)
class _Running:
    thread: threading.Thread
    stop: threading.Event


class Pipeline:
    """All cameras and workers. Main thread only, but for what the parts do among themselves.

    Args:
        lanes: one for each camera.
        workers: the detectors' threads.
        on_change: called from any thread when something ended, so that the supervisor looks.

    Attributes:
        lanes, workers: those that there are now.
        exchange: the slots between them.
    """

    def __init__(
        self,
        lanes: tuple[Lane, ...] = (),
        workers: tuple[Worker, ...] = (),
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.lanes: tuple[Lane, ...] = ()
        self.workers: tuple[Worker, ...] = ()
        self.exchange: Exchange[Lane] = Exchange()
        self._on_change = on_change
        self._running: dict[Lane | Worker, _Running] = {}
        self._failure: BaseException | None = None
        self.use(lanes, workers)

    @property
    def heartbeats(self) -> tuple[Heartbeat, ...]:
        """Return the signs of life of all threads."""
        return tuple(part.heartbeat for part in self._running)

    def use(self, lanes: tuple[Lane, ...], workers: tuple[Worker, ...]) -> None:
        """Have these cameras and workers: those it has go on, the others wait for ``start``.

        Whoever is not among them any more must have been retired before.
        """
        for lane in lanes:
            if lane not in self._running:
                self.exchange.add(lane)
        parts: tuple[Lane | Worker, ...] = (*workers, *lanes)
        for part in parts:
            if part not in self._running:
                self._running[part] = self._make(part.heartbeat.name, part.run)
        self.lanes, self.workers = lanes, workers

    def start(self) -> None:
        """Start the threads that do not run yet."""
        for running in self._running.values():
            if running.thread.ident is None:
                running.thread.start()

    def finished(self) -> bool:
        """Say whether all sources ended and every frame was accounted for."""
        return all(
            lane.ended.is_set() and lane.ledger.counts().in_flight == 0 for lane in self.lanes
        )

    def check(self) -> None:
        """Raise what ended a thread, if one ended unasked."""
        if self._failure is not None:
            raise self._failure

    def retire(self, parts: Iterable[Lane | Worker]) -> None:
        """End some cameras and workers while the others go on, and book what they had as dropped.

        Returns when their threads ended and no worker holds a frame of theirs any more.

        Raises:
            StalledError: a thread hangs and only the process's end can end it.
        """
        going = [part for part in parts if part in self._running]
        lanes = [lane for lane in self.lanes if lane in going]
        for part in going:
            self._running[part].stop.set()
        for lane in lanes:
            pending = self.exchange.remove(lane)
            if pending is not None:
                lane.discard(pending, "shutdown")
        deadline = time.monotonic() + PATIENT_SECONDS
        hung = self._join(going, deadline)
        for lane in lanes:
            while lane.ledger.counts().in_flight and time.monotonic() < deadline:
                threading.Event().wait(_LOOK_SECONDS)
            if lane.ledger.counts().in_flight:
                hung.add(f"a worker with a frame of {lane.name}")
            lane.ledger.drop_all("shutdown")
        self.lanes = tuple(lane for lane in self.lanes if lane not in going)
        self.workers = tuple(worker for worker in self.workers if worker not in going)
        for part in going:
            del self._running[part]
        if hung:
            raise StalledError(f"{', '.join(sorted(hung))}: hangs and cannot be ended")

    def stop(self) -> None:
        """End all threads and book what was left as dropped.

        A thread that is in a declared wait (a slow camera, a connection) is left to end with the
        process.

        Raises:
            StalledError: a thread hangs and only the process's end can end it.
        """
        for running in self._running.values():
            running.stop.set()
        for pending in self.exchange.close():
            pending.lane.discard(pending, "shutdown")
        alive = self._join(self._running, time.monotonic() + JOIN_SECONDS)
        waiting = {part.heartbeat.name for part in self._running if part.heartbeat.waiting_for}
        for lane in self.lanes:
            lane.ledger.drop_all("shutdown")
        if alive - waiting:
            raise StalledError(f"{', '.join(sorted(alive - waiting))}: hangs and cannot be ended")

    def _join(self, parts: Iterable[Lane | Worker], deadline: float) -> set[str]:
        """Wait for threads; return the names of those that are still alive."""
        alive = set()
        for part in parts:
            thread = self._running[part].thread
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
                if thread.is_alive():
                    alive.add(thread.name)
        return alive

    def _make(self, name: str, run: Callable[[Exchange[Lane], threading.Event], None]) -> _Running:
        stop = threading.Event()

        def guarded() -> None:
            try:
                run(self.exchange, stop)
            except BaseException as error:  # noqa: BLE001 - whatever ends a thread ends us
                if stop.is_set():
                    log.warning("%s: while it ended: %s", name, error)
                elif self._failure is None:
                    self._failure = error
            finally:
                self._on_change()

        return _Running(threading.Thread(target=guarded, name=name, daemon=True), stop)
