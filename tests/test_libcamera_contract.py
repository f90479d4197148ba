"""The libcamera source against a fake that follows its Python binding. Contract only."""

from __future__ import annotations

import os
import sys
import types
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from appliance.clock import ManualClock
from appliance.errors import FrameError, SourceLostError, SourceUnavailableError
from appliance.values import ClockOrigin, PixelFormat
from tests.helpers import source

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH, HEIGHT, STRIDE = 64, 48, 256
CLOCK = ManualClock(start_ns=10**12)


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


class Buffer:
    def __init__(self) -> None:
        fd = os.memfd_create("frame")
        rows = np.zeros((HEIGHT, STRIDE), np.uint8)
        rows[:, : WIDTH * 3] = 77
        os.write(fd, rows.tobytes())
        self.planes = [types.SimpleNamespace(fd=fd, offset=0, length=HEIGHT * STRIDE)]
        self.metadata = types.SimpleNamespace(timestamp=10**12 - 5_000_000)


class Request:
    def __init__(self) -> None:
        self.buffers: dict[str, Buffer] = {}
        self.status = Named("Status.Complete")
        self.reused = 0

    def add_buffer(self, stream: str, buffer: Buffer) -> None:
        self.buffers[stream] = buffer

    def reuse(self) -> None:
        self.reused += 1


class Camera:
    id = "/base/soc/i2c0mux/imx219@10"

    def __init__(self, manager: Manager) -> None:
        self.manager = manager
        self.queued: list[Request] = []
        self.calls: list[str] = []
        self.config = types.SimpleNamespace(
            stream="stream", stride=STRIDE, pixel_format="", size=None
        )

    def acquire(self) -> None:
        self.calls.append("acquire")

    def generate_configuration(self, roles: list[str]) -> Any:
        assert roles == ["viewfinder"]
        return types.SimpleNamespace(at=lambda _n: self.config, validate=lambda: None)

    def configure(self, _configuration: Any) -> None:
        self.calls.append("configure")

    def create_request(self) -> Request:
        return Request()

    def start(self) -> None:
        self.calls.append("start")

    def queue_request(self, request: Request) -> None:
        self.queued.append(request)

    def stop(self) -> None:
        self.calls.append("stop")

    def release(self) -> None:
        self.calls.append("release")


class Manager:
    def __init__(self) -> None:
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.cameras = [Camera(self)]
        self.buffers: list[Buffer] = []

    def complete(self, status: str = "Status.Complete") -> None:
        self.cameras[0].queued[0].status = Named(status)
        os.eventfd_write(self.event_fd, 1)

    def get_ready_requests(self) -> list[Request]:
        os.eventfd_read(self.event_fd)
        return [self.cameras[0].queued.pop(0)]


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    one = Manager()
    module: Any = types.ModuleType("libcamera")
    module.CameraManager = types.SimpleNamespace(singleton=lambda: one)
    module.StreamRole = types.SimpleNamespace(Viewfinder="viewfinder")
    module.Size = lambda width, height: types.SimpleNamespace(width=width, height=height)
    module.PixelFormat = Named
    one.buffers = buffers = [Buffer(), Buffer()]
    module.FrameBufferAllocator = lambda _camera: types.SimpleNamespace(
        allocate=lambda _stream: len(buffers), buffers=lambda _stream: buffers
    )
    monkeypatch.setitem(sys.modules, "libcamera", module)
    yield one
    os.close(one.event_fd)
    for buffer in buffers:
        os.close(buffer.planes[0].fd)


def test_frames_are_read_without_padding_and_buffers_go_back(manager: Manager) -> None:
    one = source("libcamera", CLOCK, width=WIDTH, height=HEIGHT)
    one.open()
    camera = manager.cameras[0]
    assert len(camera.queued) == 2
    manager.complete()
    frame = one.read()
    assert frame is not None
    assert (frame.format, frame.width, frame.height) == (PixelFormat.BGR24, WIDTH, HEIGHT)
    assert (frame.pixels == 77).all()
    assert (frame.origin, frame.captured_ns) == (ClockOrigin.SENSOR, 10**12 - 5_000_000)
    assert len(camera.queued) == 1
    frame.release()
    assert len(camera.queued) == 2
    one.close()  # while the frame's pixels are still held
    frame.release()
    assert len(camera.queued) == 2
    assert camera.calls == ["acquire", "configure", "start", "stop", "release"]


def test_a_cancelled_request_costs_one_frame(manager: Manager) -> None:
    one = source("libcamera:0", CLOCK, width=WIDTH, height=HEIGHT)
    one.open()
    manager.complete("Status.Cancelled")
    with pytest.raises(FrameError, match="Cancelled"):
        one.read()
    assert len(manager.cameras[0].queued) == 2
    one.close()


def test_silence_is_a_loss_and_an_unknown_camera_lists_the_known(manager: Manager) -> None:
    one = source(
        "libcamera", CLOCK, width=WIDTH, height=HEIGHT, options={"frame_timeout_seconds": 0.05}
    )
    one.open()
    with pytest.raises(SourceLostError, match="stopped delivering"):
        one.read()
    one.close()
    with pytest.raises(SourceUnavailableError, match="imx219"):
        source("libcamera:7").open()


@pytest.mark.parametrize("apart", [False, True])
def test_a_camera_that_offers_only_nv12(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, *, apart: bool
) -> None:
    """As libcamera's virtual camera does; its planes follow each other, or lie apart."""
    camera = manager.cameras[0]
    height, stride = 8, 24
    camera.config.stride = stride
    configuration = types.SimpleNamespace(at=lambda _n: camera.config, validate=only_nv12(camera))
    monkeypatch.setattr(camera, "generate_configuration", lambda _roles: configuration)
    for buffer in manager.buffers:
        gap = 64 if apart else 0
        content = np.full(height * stride + gap + height // 2 * stride, 40, np.uint8)
        content[height * stride + gap :] = 120
        fd = buffer.planes[0].fd
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, content.tobytes())
        buffer.planes = [
            types.SimpleNamespace(fd=fd, offset=0, length=height * stride),
            types.SimpleNamespace(fd=fd, offset=height * stride + gap, length=height // 2 * stride),
            types.SimpleNamespace(fd=fd, offset=0, length=0),
        ]
    one = source("libcamera", ManualClock(start_ns=10**12), width=16, height=height)
    one.open()
    manager.complete()
    frame = one.read()
    assert frame is not None
    assert frame.format is PixelFormat.NV12
    assert frame.pixels.shape == (height * 3 // 2, 16)
    assert (frame.pixels[:height] == 40).all()
    assert (frame.pixels[height:] == 120).all()
    frame.release()
    one.close()


def only_nv12(camera: Camera) -> Any:
    def validate() -> None:
        camera.config.pixel_format = "NV12"

    return validate
