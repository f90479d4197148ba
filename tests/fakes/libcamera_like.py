"""A stand-in for libcamera's Python binding, with what it does that hurts.

Read in raspberrypi/libcamera, commit 26bfadc6 of 2026-04-29: src/py/libcamera/py_camera_manager.cpp
(one manager and one queue in a process; getReadyRequests empties it for every camera and returns
nothing where nothing was written) and py_main.cpp (errors are RuntimeError; cookie of a request).
Camera::stop completes what is queued as cancelled before it returns.
"""

from __future__ import annotations

import enum
import os
import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Status = enum.Enum("Status", ["Pending", "Complete", "Cancelled"])
Validity = enum.Enum("Validity", ["Valid", "Adjusted", "Invalid"])
Encoding = enum.Enum("Encoding", ["Null", "Rec601", "Rec709", "Rec2020"])
Range = enum.Enum("Range", ["Full", "Limited"])
BUFFERS = 4


@dataclass(frozen=True)
class ColorSpace:
    ycbcrEncoding: Encoding  # noqa: N815 - libcamera's name
    range: Range

    @staticmethod
    def Smpte170m() -> ColorSpace:  # noqa: N802 - libcamera's name
        return ColorSpace(Encoding.Rec601, Range.Limited)

    @staticmethod
    def Rec709() -> ColorSpace:  # noqa: N802 - libcamera's name
        return ColorSpace(Encoding.Rec709, Range.Limited)


class PixelFormat:
    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class ControlId:
    name: str


CONTROLS = {
    name: ControlId(name)
    for name in (
        "ExposureTime", "ExposureTimeMode", "AnalogueGain", "AnalogueGainMode", "AfMode",
        "LensPosition", "FrameDurationLimits",
    )
}  # fmt: skip


@dataclass
class Layout:
    """What a camera gives, whatever it was asked for; None means as asked."""

    pixel_format: str = "RGB888"
    size: tuple[int, int] = (64, 48)
    stride: int = 256
    colours: ColorSpace | None = None
    gap: int = 0
    """Bytes between the planes of NV12."""
    paint: Callable[[], bytes] | None = None


class Buffer:
    def __init__(self, layout: Layout) -> None:
        height, stride = layout.size[1], layout.stride
        content = layout.paint() if layout.paint else bytes(height * stride)
        fd = os.memfd_create("frame")
        os.write(fd, content)
        plane = types.SimpleNamespace(fd=fd, offset=0, length=height * stride)
        self.planes = [plane]
        if layout.pixel_format == "NV12":
            begins = height * stride + layout.gap
            length = height // 2 * stride
            self.planes += [
                types.SimpleNamespace(fd=fd, offset=begins, length=length),
                types.SimpleNamespace(fd=fd, offset=0, length=0),
            ]
        self.metadata = types.SimpleNamespace(timestamp=0)


class Request:
    def __init__(self, camera: Camera, cookie: int) -> None:
        self.camera, self.cookie = camera, cookie
        self.buffers: dict[str, Buffer] = {}
        self.status = Status.Pending

    def add_buffer(self, stream: str, buffer: Buffer) -> None:
        self.buffers[stream] = buffer

    def reuse(self) -> None:
        self.status = Status.Pending


class Camera:
    def __init__(self, manager: Manager, name: str, layout: Layout) -> None:
        self.manager, self.id, self.layout = manager, name, layout
        self.controls = dict.fromkeys(CONTROLS.values())
        self.queued: list[Request] = []
        self.buffers: list[Buffer] = []
        self.calls: list[str] = []
        self.started_with: dict[str, Any] = {}
        self.stamp_ns = 0
        self.streams = 1
        self.acquired = self.running = False

    def acquire(self) -> None:
        if self.acquired:
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        self.acquired = True
        self.calls.append("acquire")

    def generate_configuration(self, roles: list[str]) -> Any:
        assert roles == ["viewfinder"]
        if len(roles) > self.streams:
            return None
        self.config = types.SimpleNamespace(
            stream="stream", stride=0, pixel_format="", size=None, color_space=None
        )
        return types.SimpleNamespace(at=lambda _n: self.config, validate=self._validate)

    def _validate(self) -> Validity:
        layout = self.layout
        self.config.pixel_format = PixelFormat(layout.pixel_format)
        self.config.size = types.SimpleNamespace(width=layout.size[0], height=layout.size[1])
        self.config.stride = layout.stride
        if layout.colours is not None:
            self.config.color_space = layout.colours
        return Validity.Adjusted

    def configure(self, _configuration: Any) -> None:
        self.calls.append("configure")

    def create_request(self, cookie: int = 0) -> Request:
        return Request(self, cookie)

    def start(self, controls: dict[ControlId, Any] | None = None) -> None:
        self.started_with = {one.name: value for one, value in (controls or {}).items()}
        self.running = True
        self.calls.append("start")

    def queue_request(self, request: Request) -> None:
        if not self.running or request.camera is not self:
            raise RuntimeError("Failed to queue request: Permission denied")
        # Buffers of an older session are taken as well: the request keeps them alive.
        self.queued.append(request)

    def complete(self, status: Status = Status.Complete) -> None:
        request = self.queued.pop(0)
        request.status = status
        for buffer in request.buffers.values():
            buffer.metadata.timestamp = self.stamp_ns
        self.manager.push(request)

    def stop(self) -> None:
        self.calls.append("stop")
        while self.queued:
            self.complete(Status.Cancelled)
        self.running = False

    def release(self) -> None:
        self.calls.append("release")
        self.acquired = False
        self.free()

    def allocate(self) -> int:
        self.buffers = [Buffer(self.layout) for _ in range(BUFFERS)]
        return BUFFERS

    def free(self) -> None:
        for buffer in self.buffers:
            os.close(buffer.planes[0].fd)
        self.buffers = []


class Manager:
    """The process's one manager."""

    def __init__(self, *cameras: tuple[str, Layout]) -> None:
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.cameras = [Camera(self, name, layout) for name, layout in cameras]
        self.finished: list[Request] = []

    def push(self, request: Request) -> None:
        self.finished.append(request)
        os.eventfd_write(self.event_fd, 1)

    def get_ready_requests(self) -> list[Request]:
        try:
            os.eventfd_read(self.event_fd)
        except BlockingIOError:
            return []
        finished, self.finished = self.finished, []
        return finished

    def close(self) -> None:
        os.close(self.event_fd)
        for camera in self.cameras:
            camera.free()


@dataclass
class Module:
    """The module ``libcamera``."""

    manager: Manager
    StreamRole: Any = field(default_factory=lambda: types.SimpleNamespace(Viewfinder="viewfinder"))
    controls: Any = field(default_factory=lambda: types.SimpleNamespace(**CONTROLS))
    PixelFormat: Any = PixelFormat
    ColorSpace: Any = ColorSpace

    @property
    def CameraManager(self) -> Any:  # noqa: N802 - libcamera's name
        return types.SimpleNamespace(singleton=lambda: self.manager)

    @property
    def CameraConfiguration(self) -> Any:  # noqa: N802 - libcamera's name
        return types.SimpleNamespace(Status=Validity)

    @staticmethod
    def Size(width: int, height: int) -> Any:  # noqa: N802 - libcamera's name
        return types.SimpleNamespace(width=width, height=height)

    @staticmethod
    def FrameBufferAllocator(camera: Camera) -> Any:  # noqa: N802 - libcamera's name
        return types.SimpleNamespace(
            allocate=lambda _stream: camera.allocate(), buffers=lambda _stream: camera.buffers
        )
