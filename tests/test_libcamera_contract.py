"""The libcamera source against a stand-in that shares one queue, as the binding does."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.clock import ManualClock, SystemClock
from appliance.config.settings import Controls
from appliance.errors import FrameError, SourceLostError, SourceUnavailableError
from appliance.values import BT601_LIMITED, ClockOrigin, Colours, Matrix, PixelFormat
from tests.fakes.libcamera_like import (
    ColorSpace,
    ControlId,
    Encoding,
    Layout,
    Manager,
    Module,
    Range,
    Status,
)
from tests.helpers import open_descriptors, source, wait_for
from tests.packing import lay, same, stride_of, tight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.sources import Source
    from appliance.values import Frame

WIDTH, HEIGHT = 64, 48
CLOCK = ManualClock(start_ns=10**12)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    one = Manager(("imx219@10", Layout()), ("imx708@1a", Layout()))
    monkeypatch.setitem(sys.modules, "libcamera", Module(one))
    for camera in one.cameras:
        camera.stamp_ns = 10**12 - 5_000_000
    yield one
    one.close()


def opened(text: str = "libcamera", clock: Any = CLOCK, **more: Any) -> Source:
    one = source(text, clock, width=WIDTH, height=HEIGHT, **more)
    one.open()
    return one


def read(one: Source) -> Frame:
    frame = one.read()
    assert frame is not None
    return frame


def test_frames_are_stamped_and_buffers_go_back(manager: Manager) -> None:
    camera = manager.cameras[0]
    one = opened()
    assert len(camera.queued) == 4
    camera.complete()
    frame = read(one)
    assert (frame.format, frame.width, frame.height) == (PixelFormat.BGR24, WIDTH, HEIGHT)
    assert (frame.origin, frame.captured_ns) == (ClockOrigin.SENSOR, 10**12 - 5_000_000)
    assert len(camera.queued) == 3
    frame.release()
    assert len(camera.queued) == 4
    camera.complete()
    late = read(one)
    one.close()  # while the frame's pixels are still held
    late.release()
    assert camera.queued == []
    assert camera.calls == ["acquire", "configure", "start", "stop", "release"]


@settings(max_examples=60, deadline=None)
@given(
    pixel_format=st.sampled_from(["RGB888", "BGR888", "NV12"]),
    width=st.integers(1, 90).map(lambda n: n * 2),
    height=st.integers(1, 40).map(lambda n: n * 2),
    chip=st.sampled_from(["unpadded", "vc4", "pisp"]),
    further=st.sampled_from([0, 64]),
)
def test_every_picture_comes_out_to_the_pixel(
    pixel_format: str, width: int, height: int, chip: str, further: int
) -> None:
    picture = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    stride = stride_of(pixel_format, width, chip) + further
    layout = Layout(pixel_format, (width, height), stride)
    layout.paint = lambda: lay(pixel_format, picture, stride)
    manager = Manager(("camera", layout))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "libcamera", Module(manager))
            one = source("libcamera", CLOCK, width=width, height=height)
            one.open()
            manager.cameras[0].complete()
            frame = read(one)
            assert same(frame.planes, tight(pixel_format, picture))
            frame.release()
            one.close()
    finally:
        manager.close()


def test_planes_that_lie_apart_are_handed_on_as_they_lie(manager: Manager) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (8, 16, 3), np.uint8)
    laid = lay("NV12", picture, 24)
    layout = Layout("NV12", (16, 8), 24, gap=64)
    layout.paint = lambda: laid[: 8 * 24] + bytes(64) + laid[8 * 24 :]
    manager.cameras[0].layout = layout
    one = opened()
    manager.cameras[0].complete()
    frame = read(one)
    assert same(frame.planes, tight("NV12", picture))
    assert not any(plane.flags.owndata for plane in frame.planes)
    one.close()


def test_yuv_is_read_in_the_colours_that_the_camera_gives(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    camera = manager.cameras[0]
    camera.layout = Layout("NV12", (64, 48), 64, paint=lambda: bytes(64 * 72))
    assert colours_of_a_frame(manager) == BT601_LIMITED
    assert camera.config.color_space == ColorSpace.Smpte170m()
    camera.layout.colours = ColorSpace.Rec709()  # what it gives instead
    assert colours_of_a_frame(manager) == Colours(Matrix.BT709, full_range=False)
    assert "somewhat off" not in caplog.text
    camera.layout.colours = ColorSpace(Encoding.Null, Range.Full)
    assert colours_of_a_frame(manager) == BT601_LIMITED
    assert "colours come as Null, range Full, which is not known here" in caplog.text


def colours_of_a_frame(manager: Manager) -> Colours:
    one = opened()
    manager.cameras[0].complete()
    frame = read(one)
    frame.release()
    one.close()
    return frame.colours


def test_a_cancelled_request_costs_one_frame(manager: Manager) -> None:
    one = opened("libcamera:0")
    manager.cameras[0].complete(Status.Cancelled)
    with pytest.raises(FrameError, match="Cancelled"):
        one.read()
    assert len(manager.cameras[0].queued) == 4
    one.close()


def test_silence_is_a_loss_and_an_unknown_camera_lists_the_known(manager: Manager) -> None:
    one = opened(clock=SystemClock(), options={"frame_timeout_seconds": 0.05})
    with pytest.raises(SourceLostError, match="stopped delivering"):
        one.read()
    one.close()
    with pytest.raises(SourceLostError, match="closed"):
        one.read()
    with pytest.raises(SourceUnavailableError, match="imx219"):
        source("libcamera:7").open()


def test_two_cameras_get_their_own_frames_from_one_queue(manager: Manager) -> None:
    first, second = manager.cameras
    one, other = opened("libcamera:0"), opened("libcamera:1")
    first.stamp_ns, second.stamp_ns = 10**12 - 1, 10**12 - 2
    for camera in (second, first, second):
        camera.complete()
    assert read(one).captured_ns == first.stamp_ns  # and it found the other's too
    assert [read(other).captured_ns for _ in range(2)] == [second.stamp_ns] * 2
    one.close()
    second.complete()
    assert read(other).captured_ns == second.stamp_ns
    other.close()


def test_a_camera_wakes_when_another_one_took_its_frame_off_the_queue(manager: Manager) -> None:
    first, second = manager.cameras
    # Longer than this test may take: a thread that misses its wake is seen to hang.
    more = {"clock": SystemClock(), "options": {"frame_timeout_seconds": 10}}
    one, other = opened("libcamera:0", **more), opened("libcamera:1", **more)
    got: dict[str, int] = {"one": 0, "other": 0}

    def reads(name: str, camera: Source) -> None:
        for _ in range(100):
            frame = camera.read()
            assert frame is not None
            frame.release()
            got[name] += 1

    threads = [
        threading.Thread(target=reads, args=part, daemon=True)
        for part in (("one", one), ("other", other))
    ]
    for thread in threads:
        thread.start()
    for number in range(100):
        for camera in (first, second):
            wait_for(lambda camera=camera: camera.queued)  # type: ignore[misc]
            camera.complete()
        wait_for(lambda number=number: min(got.values()) > number, 5)  # type: ignore[misc]
    for thread in threads:
        thread.join(10)
    assert got == {"one": 100, "other": 100}
    one.close()
    other.close()


def test_a_camera_reopens_a_hundred_times_with_cancelled_requests_in_the_queue(
    manager: Manager,
) -> None:
    first, second = manager.cameras
    other = opened("libcamera:1")
    old: list[Frame] = []
    for number in range(100):
        one = opened("libcamera:0")
        first.stamp_ns = 10**12 - number - 1
        first.complete()
        frame = read(one)
        assert frame.captured_ns == first.stamp_ns
        first.complete()  # a frame that nobody reads before the camera is closed
        one.close()
        # What a camera of an older session left behind after it was drained.
        for late in old:
            late.release()
        old.append(frame)
    assert first.calls.count("start") == 100
    second.complete()
    assert read(other) is not None
    other.close()
    assert manager.finished == []


def test_what_an_ended_session_left_in_the_queue_is_ignored(manager: Manager) -> None:
    one = opened()
    camera = manager.cameras[0]
    stale = camera.queued[0]
    one.close()
    one = opened()
    stale.status = Status.Cancelled
    manager.push(stale)
    camera.complete()
    frame = read(one)
    frame.release()
    assert stale not in camera.queued
    one.close()


def test_a_frame_released_after_the_camera_was_reopened_goes_into_no_later_session(
    manager: Manager,
) -> None:
    one = opened()
    camera = manager.cameras[0]
    camera.complete()
    frame = read(one)
    one.close()
    one.open()
    mine = list(camera.queued)
    frame.release()
    assert camera.queued == mine
    one.close()


def test_a_hundred_sessions_leave_no_descriptor(manager: Manager) -> None:
    opened().close()
    before = open_descriptors()
    for _ in range(100):
        opened().close()
    assert open_descriptors() <= before


def test_controls_are_there_from_the_first_frame(manager: Manager) -> None:
    opened(fps=25.0, controls=Controls(exposure_microseconds=8000, gain=2.0, focus=1.5)).close()
    assert manager.cameras[0].started_with == {
        "ExposureTime": 8000,
        "ExposureTimeMode": 1,
        "AnalogueGain": 2.0,
        "AnalogueGainMode": 1,
        "AfMode": 0,
        "LensPosition": 1.5,
        "FrameDurationLimits": (40_000, 40_000),
    }


def test_controls_of_a_camera_without_modes(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    """As before libcamera 0.5."""
    camera = manager.cameras[0]
    camera.controls = {ControlId("ExposureTime"): None}
    opened(controls=Controls(exposure_microseconds=8000)).close()
    assert camera.started_with == {"ExposureTime": 8000}
    assert "fps is not heeded" in caplog.text


def test_what_a_camera_cannot_set_is_refused_in_words(manager: Manager) -> None:
    camera = manager.cameras[0]
    del camera.controls[ControlId("LensPosition")]
    with pytest.raises(SourceUnavailableError, match=r"cannot set LensPosition.*focus"):
        opened(controls=Controls(focus=1.0))
    assert camera.calls == ["acquire", "release"]


@pytest.mark.parametrize("fault", ["no stream", "MJPEG", "start", "busy"])
def test_a_camera_that_cannot_be_used_is_given_back(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    camera = manager.cameras[0]

    def fail(_controls: Any) -> None:
        raise TypeError("unhashable control")

    if fault == "no stream":
        camera.streams = 0
    elif fault == "MJPEG":
        camera.layout.pixel_format = "MJPEG"
    elif fault == "busy":
        camera.acquired = True
    else:
        monkeypatch.setattr(camera, "start", fail)
    said = {"no stream": "no stream", "MJPEG": "v4l2", "start": "unhashable", "busy": "busy"}
    before = open_descriptors()
    for _ in range(1000):
        with pytest.raises(SourceUnavailableError, match=said[fault]):
            opened()
    assert camera.acquired == (fault == "busy")
    assert open_descriptors() <= before
    assert "stop" not in camera.calls


def test_close_goes_on_where_the_camera_complains(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    camera = manager.cameras[0]
    one = opened()

    def fail() -> None:
        raise RuntimeError("Failed to stop camera: No such device")

    monkeypatch.setattr(camera, "stop", fail)
    one.close()
    assert "No such device" in caplog.text
    assert not camera.acquired
