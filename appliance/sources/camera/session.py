"""One libcamera camera from acquiring it to giving it back: its buffers, requests and memory."""

from __future__ import annotations

import contextlib
import logging
import mmap
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.sources.camera import rows
from appliance.sources.camera.manager import join
from appliance.values import PixelFormat, Pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.clock import Clock

log = logging.getLogger(__name__)

FORMATS = {"RGB888": PixelFormat.BGR24, "BGR888": PixelFormat.RGB24, "NV12": PixelFormat.NV12}
"""libcamera names little-endian words: RGB888 lies in memory as B, G, R."""


class CameraSession:
    """Frames of it may be released in any thread, also after it.

    Args:
        library: the module ``libcamera``.
        manager: its camera manager.
        camera: of the manager; not acquired yet.

    Attributes:
        format, width, height: of its pictures, once started.
    """

    def __init__(self, library: Any, manager: Any, camera: Any) -> None:
        self.format = PixelFormat.BGR24
        self.width = self.height = 0
        self._library, self._camera = library, camera
        self._queue = join(manager)
        self._config: Any = None
        self._allocator: Any = None
        self._maps: dict[int, mmap.mmap] = {}
        self._lock = threading.Lock()
        self._acquired = self._running = False

    def acquire(self) -> None:
        """Take the camera from every other program."""
        self._camera.acquire()
        self._acquired = True

    def start(self, configuration: Any, config: Any, controls: dict[Any, Any]) -> None:
        """Configure and start the camera, with all its buffers queued.

        Args:
            configuration: validated.
            config: of the one stream.
            controls: values by libcamera's control, from the first frame on.
        """
        self._camera.configure(configuration)
        self._config = config
        self.format = FORMATS[str(config.pixel_format)]
        self.width, self.height = config.size.width, config.size.height
        self._allocator = self._library.FrameBufferAllocator(self._camera)
        self._allocator.allocate(config.stream)
        requests = []
        for buffer in self._allocator.buffers(config.stream):
            request = self._camera.create_request(self._queue.cookie)
            request.add_buffer(config.stream, buffer)
            self._map(buffer)
            requests.append(request)
        self._camera.start(controls)
        self._running = True
        for request in requests:
            self._camera.queue_request(request)

    def next(self, seconds: float, clock: Clock) -> Any:
        """Return the oldest finished request, or None if none comes in time."""
        return self._queue.next(seconds, clock)

    def picture(self, request: Any) -> tuple[tuple[Pixels, ...], int]:
        """Return the planes of a request, views of its buffer, and its stamp."""
        buffer = request.buffers[self._config.stream]
        read = self._two_planes if self.format is PixelFormat.NV12 else self._one_plane
        return read(buffer), buffer.metadata.timestamp

    def reuse(self, request: Any) -> None:
        """Queue a request again, unless this session is over: a later one has other buffers."""
        with self._lock:
            if self._running:
                # A camera that was pulled out says so here first; the next read tells of it.
                with contextlib.suppress(RuntimeError, OSError):
                    request.reuse()
                    self._camera.queue_request(request)

    def close(self) -> None:
        """Give everything back, whatever the camera complains of."""
        with self._lock:
            running, self._running = self._running, False
            if running:
                self._attempt(self._camera.stop)
        self._attempt(self._queue.close)  # after stop, which queues what it cancels
        acquired, self._acquired = self._acquired, False
        if acquired:
            self._attempt(self._camera.release)
        for mapped in self._maps.values():
            with contextlib.suppress(BufferError):  # a frame still on its way frees it later
                mapped.close()
        self._maps.clear()
        self._allocator = None

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the next steps matter more
            log.warning("camera %s: cannot be closed well: %r", self._camera.id, error)

    def _map(self, buffer: Any) -> None:
        """Map each file descriptor of a buffer once, as far as its planes reach."""
        ends: dict[int, int] = {}
        for plane in buffer.planes:
            ends[plane.fd] = max(ends.get(plane.fd, 0), plane.offset + plane.length)
        for fd, end in ends.items():
            if end:
                self._maps[fd] = mmap.mmap(fd, end, mmap.MAP_SHARED, mmap.PROT_READ)

    def _memory(self, plane: Any) -> Pixels:
        """Return what lies in a plane's file from where the plane begins."""
        return np.frombuffer(self._maps[plane.fd], np.uint8, offset=plane.offset)

    def _one_plane(self, buffer: Any) -> tuple[Pixels, ...]:
        picture = rows.interleaved(
            self._memory(buffer.planes[0]),
            width=self.width,
            height=self.height,
            stride=self._config.stride,
        )
        return (picture,)

    def _two_planes(self, buffer: Any) -> tuple[Pixels, ...]:
        """Return the planes of NV12, which may lie anywhere."""
        luma, chroma = (self._memory(plane) for plane in buffer.planes[:2])
        size = {"width": self.width, "height": self.height, "stride": self._config.stride}
        return rows.plane(luma, **size), rows.chroma_by_turns(chroma, **size)
