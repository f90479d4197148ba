"""Cameras through libcamera's own Python binding, for systems without picamera2.

One viewfinder stream in a format whose rows we can read; buffers are mapped once and re-queued
when the pipeline releases the frame. Needs the system's ``python3-libcamera``.

Follows libcamera's Python examples (0.4); contract-tested with a fake, not run on hardware in
this repository's tests.
"""

from __future__ import annotations

import contextlib
import mmap
import selectors
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from appliance.errors import FrameError, SourceLostError, SourceUnavailableError
from appliance.sources.stamps import StampVerifier
from appliance.values import ClockOrigin, Frame, PixelFormat, Pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.sources import SourceRequest

_FORMATS = {"RGB888": PixelFormat.BGR24, "BGR888": PixelFormat.RGB24, "NV12": PixelFormat.NV12}
"""libcamera names little-endian words: RGB888 lies in memory as B, G, R."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a libcamera camera."""

    frame_timeout_seconds: Annotated[
        float, msgspec.Meta(gt=0, le=10, description="No frame for this long means lost.")
    ] = 2.0


class LibcameraSource:
    """See the module's description."""

    live = True

    def __init__(self, request: SourceRequest) -> None:
        self._request = request
        self._options: Options = request.options
        self._clock = request.clock
        self._stamps = StampVerifier(request.clock, ClockOrigin.SENSOR)
        self._library: Any = None
        self._manager: Any = None
        self._camera: Any = None
        self._config: Any = None
        self._allocator: Any = None
        self._maps: dict[int, mmap.mmap] = {}
        self._ready: list[Any] = []
        self._seq = 0

    def open(self) -> None:
        """Acquire, configure and start the camera.

        Raises:
            SourceUnavailableError: no binding, no such camera, or it refuses to start.
        """
        try:
            self._library = import_module("libcamera")
        except (ImportError, OSError) as error:
            raise SourceUnavailableError(
                f"camera libcamera: the binding is not usable: {error}",
                hint="apt install python3-libcamera, in an environment with system packages",
            ) from error
        self._manager = self._library.CameraManager.singleton()
        camera = self._find(self._manager.cameras)
        try:
            camera.acquire()
            self._camera = camera
            self._start(camera)
        except (RuntimeError, OSError) as error:
            self.close()
            raise SourceUnavailableError(
                f"camera {camera.id}: cannot be started: {error}", hint="another program uses it?"
            ) from error

    def read(self) -> Frame | None:
        """Return the oldest completed frame, waiting for one up to the time-out."""
        if self._camera is None:
            raise SourceLostError("camera libcamera: is closed")
        read_ns = self._clock.monotonic_ns()
        if not self._ready:
            self._wait()
        request = self._ready.pop(0)
        seq, self._seq = self._seq, self._seq + 1
        if str(request.status).rpartition(".")[2] != "Complete":
            self._requeue(request)()
            raise FrameError(f"frame {seq} of libcamera: {request.status}")
        buffer = request.buffers[self._config.stream]
        captured_ns, origin = self._stamps.stamp(buffer.metadata.timestamp, read_ns)
        width, height = self._config.size.width, self._config.size.height
        return Frame(
            pixels=self._pixels(buffer),
            format=_FORMATS[str(self._config.pixel_format)],
            width=width,
            height=height,
            captured_ns=captured_ns,
            seq=seq,
            origin=origin,
            release=self._requeue(request),
        )

    def close(self) -> None:
        """Stop and release the camera and its buffers."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.stop()
            camera.release()
        for mapped in self._maps.values():
            with contextlib.suppress(BufferError):  # a frame still on its way frees it later
                mapped.close()
        self._maps.clear()
        self._ready.clear()
        self._allocator = None

    def _find(self, cameras: list[Any]) -> Any:
        target = self._request.target or "0"
        if target.isdigit() and int(target) < len(cameras):
            return cameras[int(target)]
        named = [camera for camera in cameras if camera.id == target]
        if named:
            return named[0]
        found = ", ".join(camera.id for camera in cameras) or "none"
        raise SourceUnavailableError(
            f"camera libcamera:{target}: is not there; found: {found}",
            hint="check the cable; `cam --list` lists cameras",
        )

    def _start(self, camera: Any) -> None:
        library, settings = self._library, self._request.camera
        configuration = camera.generate_configuration([library.StreamRole.Viewfinder])
        config = configuration.at(0)
        config.size = library.Size(settings.width, settings.height)
        config.pixel_format = library.PixelFormat("RGB888")
        configuration.validate()
        if str(config.pixel_format) not in _FORMATS:
            raise RuntimeError(f"offers only {config.pixel_format}")
        camera.configure(configuration)
        self._config = config
        self._allocator = library.FrameBufferAllocator(camera)
        self._allocator.allocate(config.stream)
        requests = []
        for buffer in self._allocator.buffers(config.stream):
            request = camera.create_request()
            request.add_buffer(config.stream, buffer)
            self._map(buffer)
            requests.append(request)
        camera.start()
        for request in requests:
            camera.queue_request(request)

    def _wait(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._manager.event_fd, selectors.EVENT_READ)
            if not selector.select(self._options.frame_timeout_seconds):
                raise SourceLostError("camera libcamera: stopped delivering")
        self._ready = list(self._manager.get_ready_requests())
        if not self._ready:
            raise FrameError("camera libcamera: woke without a frame")

    def _map(self, buffer: Any) -> None:
        """Map each file descriptor of a buffer once, as far as its planes reach."""
        ends: dict[int, int] = {}
        for plane in buffer.planes:
            ends[plane.fd] = max(ends.get(plane.fd, 0), plane.offset + plane.length)
        for fd, end in ends.items():
            if end:
                self._maps[fd] = mmap.mmap(fd, end, mmap.MAP_SHARED, mmap.PROT_READ)

    def _pixels(self, buffer: Any) -> Pixels:
        if str(self._config.pixel_format) == "NV12":
            return self._planar_pixels(buffer)
        plane = buffer.planes[0]
        height, stride = self._config.size.height, self._config.stride
        content = np.frombuffer(self._maps[plane.fd], np.uint8, height * stride, plane.offset)
        rows = content.reshape(height, stride)[:, : self._config.size.width * 3]
        return np.lib.stride_tricks.as_strided(
            rows, (height, self._config.size.width, 3), (stride, 3, 1), writeable=False
        )

    def _planar_pixels(self, buffer: Any) -> Pixels:
        """Return NV12 as (height * 3 / 2, width): a view where its planes follow each other."""
        luma, chroma = buffer.planes[0], buffer.planes[1]
        width, height, stride = (
            self._config.size.width,
            self._config.size.height,
            self._config.stride,
        )
        follows = chroma.fd == luma.fd and chroma.offset == luma.offset + height * stride
        rows = height * 3 // 2 if follows else height
        whole = np.frombuffer(self._maps[luma.fd], np.uint8, rows * stride, luma.offset)
        picture = whole.reshape(rows, stride)[:, :width]
        if follows:
            return picture
        half = height // 2
        colour = np.frombuffer(self._maps[chroma.fd], np.uint8, half * stride, chroma.offset)
        return np.vstack([picture, colour.reshape(half, stride)[:, :width]])

    def _requeue(self, request: Any) -> Callable[[], None]:
        def release() -> None:
            if self._camera is not None:
                request.reuse()
                self._camera.queue_request(request)

        return release


def create(request: SourceRequest) -> LibcameraSource:
    """Return a libcamera camera."""
    return LibcameraSource(request)
