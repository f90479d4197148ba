"""libcamera's camera manager: one in a process, with one queue of finished requests.

Whoever reads the queue gets the requests of every camera in the process. So cameras of the plain
binding share a ``Dispatcher``, which knows by a request's cookie whose it is; picamera2 has a
reader of its own, and the two cannot be used side by side (``QueueReaders``).
"""

from __future__ import annotations

import itertools
import os
import selectors
import threading
from collections import deque
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from appliance.clock import NS_PER_SECOND
from appliance.errors import SourceUnavailableError

if TYPE_CHECKING:
    from appliance.clock import Clock


class QueueReaders:
    """Which kind of source reads the process's queue now; a source that is forgotten counts not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kinds: WeakKeyDictionary[object, str] = WeakKeyDictionary()

    def enter(self, source: object, kind: str) -> None:
        """Note that ``source`` is about to use the queue.

        Raises:
            SourceUnavailableError: a source of the other kind does.
        """
        with self._lock:
            others = sorted(set(self._kinds.values()) - {kind})
            if others:
                raise SourceUnavailableError(
                    f"camera {kind}: another camera of this unit is read through {others[0]}, "
                    "and libcamera has one queue for both",
                    hint="use one of picamera2 and libcamera for all cameras",
                )
            self._kinds[source] = kind

    def leave(self, source: object) -> None:
        """Note that ``source`` uses the queue no more; safe to call twice."""
        with self._lock:
            self._kinds.pop(source, None)


class Session:
    """One camera from start to stop; its cookie marks its requests and is never used again.

    Args:
        dispatcher: reads the queue.
        cookie: to make requests with.
    """

    def __init__(self, dispatcher: Dispatcher, cookie: int) -> None:
        self.cookie = cookie
        self._dispatcher = dispatcher
        self._finished: deque[Any] = deque()
        self._woken = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def next(self, seconds: float, clock: Clock) -> Any:
        """Return the oldest finished request, or None if none comes in time."""
        deadline_ns = clock.monotonic_ns() + round(seconds * NS_PER_SECOND)
        with selectors.DefaultSelector() as selector:
            selector.register(self._dispatcher.event_fd, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                if self._finished:
                    return self._finished.popleft()
                left = (deadline_ns - clock.monotonic_ns()) / NS_PER_SECOND
                if left <= 0 or not selector.select(left):
                    return None
                self._forget_the_wake()
                self._dispatcher.sort()

    def take(self, request: Any) -> None:
        """Keep a finished request and wake the camera's thread: another one read the queue."""
        self._finished.append(request)
        os.eventfd_write(self._woken, 1)

    def close(self) -> None:
        """Empty the queue and take no more of it; to be called when the camera has stopped."""
        if self._dispatcher.forget(self):
            self._finished.clear()
            os.close(self._woken)
        self._dispatcher.sort()

    def _forget_the_wake(self) -> None:
        try:
            os.eventfd_read(self._woken)
        except BlockingIOError:
            return  # the queue woke us


class Dispatcher:
    """Hands finished requests to the session that they belong to.

    There is no thread for it: each camera's own thread waits for the queue, and the one that
    wakes first hands out what there is.

    Args:
        manager: libcamera's camera manager.
    """

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._lock = threading.Lock()
        self._sessions: dict[int, Session] = {}

    @property
    def event_fd(self) -> int:
        """Return what becomes readable when a request has finished."""
        fd: int = self._manager.event_fd
        return fd

    def join(self) -> Session:
        session = Session(self, next(_COOKIES))
        with self._lock:
            self._sessions[session.cookie] = session
        return session

    def forget(self, session: Session) -> bool:
        """Hand nothing more to a session; say whether it was known."""
        with self._lock:
            return self._sessions.pop(session.cookie, None) is not None

    def sort(self) -> None:
        """Hand out what has finished; requests of sessions that are over are dropped."""
        with self._lock:
            for request in self._manager.get_ready_requests():
                session = self._sessions.get(request.cookie)
                if session is not None:
                    session.take(request)


_COOKIES = itertools.count(1)
_DISPATCHERS: WeakValueDictionary[int, Dispatcher] = WeakValueDictionary()
_JOINING = threading.Lock()

QUEUE_READERS = QueueReaders()
"""The process's own, as the queue is."""


def join(manager: Any) -> Session:
    """Return a new session with the one dispatcher of ``manager``.

    A dispatcher lives as long as one of its sessions, and keeps its manager: no other object can
    have the manager's id meanwhile.
    """
    with _JOINING:
        dispatcher = _DISPATCHERS.get(id(manager))
        if dispatcher is None:
            dispatcher = _DISPATCHERS[id(manager)] = Dispatcher(manager)
        return dispatcher.join()
