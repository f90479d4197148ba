"""Camera drivers against fakes that follow their documented APIs. Contract only: no hardware."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from appliance.clock import ManualClock
from appliance.errors import FrameError, SourceLostError, SourceUnavailableError
from appliance.values import ClockOrigin, PixelFormat
from tests.helpers import source

if TYPE_CHECKING:
    from pathlib import Path


class FakeRequest:
    def __init__(self, camera: FakePicamera2, size: tuple[int, int], stamp: int) -> None:
        self.camera, self.size, self.stamp, self.released = camera, size, stamp, 0

    def get_metadata(self) -> dict[str, int]:
        return {"SensorTimestamp": self.stamp}

    def make_array(self, stream: str) -> Any:
        width, height = self.camera.configuration[stream]["size"]
        if stream == "lores" or self.camera.instead == "NV12":
            return np.zeros((height * 3 // 2, width + 64 - width % 64), np.uint8)  # padded rows
        return np.zeros((height, width, 3), np.uint8)

    def release(self) -> None:
        self.released += 1


class FakePicamera2:
    """Follows picamera2 0.3.38: create_video_configuration, configure, start, capture_request."""

    instances: list[FakePicamera2] = []  # noqa: RUF012 - emptied by the fixture
    clock = ManualClock(start_ns=10**12)
    silent = False
    instead = ""

    def __init__(self, number: int) -> None:
        self.number, self.started, self.closed = number, False, False
        self.configuration: dict[str, Any] = {}
        FakePicamera2.instances.append(self)

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [{"Model": "imx708", "Num": 0}]

    def create_video_configuration(self, **parts: Any) -> dict[str, Any]:
        return parts

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration
        if self.instead:  # a camera without the format asked for
            self.configuration["main"]["format"] = self.instead

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def start(self) -> None:
        self.started = True

    def capture_request(self, wait: float) -> FakeRequest:
        if FakePicamera2.silent:
            raise TimeoutError
        return FakeRequest(self, (0, 0), self.clock.monotonic_ns() - 20_000_000)

    def stop(self) -> None:
        self.started = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[FakePicamera2]:
    module = types.ModuleType("picamera2")
    module.Picamera2 = FakePicamera2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    FakePicamera2.instances.clear()
    FakePicamera2.silent, FakePicamera2.instead = False, ""
    return FakePicamera2


def test_picamera2_delivers_the_isps_small_picture(picamera2: type[FakePicamera2]) -> None:
    one = source("picamera2:0", FakePicamera2.clock, controls=_controls())
    one.open()
    (camera,) = picamera2.instances
    assert camera.configuration["lores"] == {"size": (300, 300), "format": "YUV420"}
    assert camera.configuration["main"] == {"size": (1280, 720), "format": "RGB888"}
    assert camera.configuration["controls"] == {
        "FrameRate": 30.0,
        "ExposureTime": 8000,
        "AnalogueGain": 2.0,
        "AfMode": 0,
        "LensPosition": 1.5,
    }
    frame = one.read()
    assert frame is not None
    assert (frame.format, frame.width, frame.height) == (PixelFormat.I420, 300, 300)
    assert frame.pixels.shape == (450, 300)
    assert (frame.origin, frame.captured_ns) == (ClockOrigin.SENSOR, 10**12 - 20_000_000)
    one.close()
    assert (camera.started, camera.closed) == (False, True)


def _controls() -> Any:
    from appliance.config.settings import Controls

    return Controls(exposure_microseconds=8000, gain=2.0, focus=1.5)


def test_picamera2_uses_the_main_stream_for_a_crop(picamera2: type[FakePicamera2]) -> None:
    one = source("picamera2", FakePicamera2.clock, crop=(0.0, 0.0, 0.5, 1.0))
    one.open()
    frame = one.read()
    assert frame is not None
    assert (frame.format, frame.width) == (PixelFormat.BGR24, 1280)


def test_picamera2_that_has_not_what_was_asked_for(picamera2: type[FakePicamera2]) -> None:
    picamera2.instead = "NV12"
    one = source("picamera2", FakePicamera2.clock, width=640, height=480, options={"lores": False})
    one.open()
    frame = one.read()
    assert frame is not None
    assert (frame.format, frame.pixels.shape) == (PixelFormat.NV12, (720, 640))


def test_picamera2_with_a_format_we_cannot_read(picamera2: type[FakePicamera2]) -> None:
    picamera2.instead = "MJPEG"
    one = source("picamera2", FakePicamera2.clock, options={"lores": False})
    with pytest.raises(SourceUnavailableError, match="gives MJPEG"):
        one.open()
    assert picamera2.instances[0].closed


def test_picamera2_that_falls_silent_is_lost(picamera2: type[FakePicamera2]) -> None:
    one = source("picamera2", FakePicamera2.clock)
    one.open()
    picamera2.silent = True
    with pytest.raises(SourceLostError, match="stopped delivering"):
        one.read()


def test_picamera2_without_such_a_camera(picamera2: type[FakePicamera2]) -> None:
    with pytest.raises(SourceUnavailableError, match="1 found"):
        source("picamera2:3").open()


class FakeCapture:
    """Follows cv2.VideoCapture with the V4L2 backend and CONVERT_RGB off."""

    def __init__(self, frames: list[Any], position_ms: float) -> None:
        self.frames, self.position_ms, self.properties = frames, position_ms, {}  # type: ignore[var-annotated]

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def set(self, key: int, value: float) -> bool:
        self.properties[key] = value
        return True

    def get(self, key: int) -> float:
        assert key == cv2.CAP_PROP_POS_MSEC
        return self.position_ms

    def read(self) -> tuple[bool, Any]:
        return (True, self.frames.pop(0)) if self.frames else (False, None)

    def release(self) -> None:
        self.properties["released"] = True


def test_v4l2_decodes_mjpeg_strictly_and_uses_the_drivers_stamp(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device = tmp_path / "video0"
    device.touch()
    content = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].ravel()
    capture = FakeCapture([content[None], content[None, : len(content) // 2]], 999_980.0)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: capture)
    one = source(f"v4l2:{device}", ManualClock(start_ns=10**12), controls=_controls())
    one.open()
    assert capture.properties[cv2.CAP_PROP_CONVERT_RGB] == 0
    assert capture.properties[cv2.CAP_PROP_EXPOSURE] == 80
    frame = one.read()
    assert frame is not None
    assert (frame.origin, frame.captured_ns) == (ClockOrigin.DRIVER, 999_980_000_000)
    assert frame.pixels.shape == (48, 64, 3)
    with pytest.raises(FrameError, match="damaged JPEG"):
        one.read()
    with pytest.raises(SourceLostError, match="stopped delivering"):
        one.read()
    one.close()
    assert capture.properties["released"]
