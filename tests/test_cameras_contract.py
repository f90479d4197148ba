"""Camera drivers against stand-ins that follow their vendors' sources. No hardware."""

from __future__ import annotations

import sys
import threading
import types
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.accelerators.cpu import CpuAccelerator
from appliance.clock import ManualClock
from appliance.config import CameraSettings
from appliance.config.load import load
from appliance.config.settings import Controls
from appliance.errors import ConfigError, FrameError, SourceLostError, SourceUnavailableError
from appliance.pipeline import CameraEvent, Lane
from appliance.pipeline.exchange import Exchange
from appliance.pipeline.pace import Pace
from appliance.selection.proof import load_frame
from appliance.sources import create_source
from appliance.sources.images import read_image
from appliance.values import BT601_LIMITED, ClockOrigin, Colours, Frame, Matrix, PixelFormat
from appliance.vision.preprocess import Preprocessor, View
from tests.fakes import picamera2_like
from tests.fakes.libcamera_like import ColorSpace, Encoding, Layout, Manager, Module, Range
from tests.helpers import open_descriptors, source
from tests.packing import same, tight
from tests.samples import FREE_PICTURES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.accelerators import Detector
    from appliance.models import Model
    from appliance.values import Pixels
    from tests.samples import Samples

CLOCK = ManualClock(start_ns=10**12)
CONTROLS = Controls(exposure_microseconds=8000, gain=2.0, focus=1.5)


def install(patch: pytest.MonkeyPatch) -> type[picamera2_like.Picamera2]:
    kind = picamera2_like.fresh()
    module = types.ModuleType("picamera2")
    module.Picamera2 = kind  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "picamera2", module)
    library = types.ModuleType("libcamera")
    library.ColorSpace = ColorSpace  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "libcamera", library)
    return kind


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[picamera2_like.Picamera2]:
    return install(monkeypatch)


def test_picamera2_delivers_the_isps_small_picture(
    picamera2: type[picamera2_like.Picamera2],
) -> None:
    picamera2.stamp_ns = 10**12 - 20_000_000
    one = source("picamera2:0", CLOCK, controls=CONTROLS)
    one.open()
    (camera,) = picamera2.made
    lores, main = camera.configuration["lores"], camera.configuration["main"]
    assert (lores["size"], lores["format"]) == ((300, 300), "YUV420")
    assert (main["size"], main["format"]) == ((1280, 720), "RGB888")
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
    assert [plane.shape for plane in frame.planes] == [(300, 300), (150, 150), (150, 150)]
    assert (frame.origin, frame.captured_ns) == (ClockOrigin.SENSOR, 10**12 - 20_000_000)
    frame.release()
    assert [request.released for request in camera.requests] == [1]
    one.close()
    one.close()
    assert camera.calls == ["stop", "close"]


def test_picamera2_uses_the_main_stream_for_a_crop(
    picamera2: type[picamera2_like.Picamera2],
) -> None:
    one = source("picamera2", CLOCK, crop=(0.0, 0.0, 0.5, 1.0))
    one.open()
    frame = one.read()
    assert frame is not None
    assert (frame.format, frame.width) == (PixelFormat.BGR24, 1280)
    one.close()


@settings(max_examples=80, deadline=None)
@given(
    pixel_format=st.sampled_from(["YUV420", "NV12", "RGB888", "BGR888", "XRGB8888", "XBGR8888"]),
    width=st.integers(1, 170).map(lambda n: n * 2),
    height=st.integers(1, 40).map(lambda n: n * 2),
    chip=st.sampled_from(["unpadded", "vc4", "pisp"]),
)
def test_picamera2_every_picture_comes_out_to_the_pixel(
    pixel_format: str, width: int, height: int, chip: str
) -> None:
    noise = np.random.default_rng(width * height)
    content = noise.integers(0, 256, (height, width, 3), np.uint8)
    planes = through_picamera2(content, pixel_format, chip)
    assert same(planes, tight(pixel_format, content))
    assert not any(plane.flags.owndata for plane in planes)


@pytest.mark.parametrize("side", [192, 224, 256, 300, 320, 416, 640])
@pytest.mark.parametrize("chip", ["vc4", "pisp"])
def test_picamera2_colours_of_every_models_size_are_those_of_the_picture(
    side: int, chip: str
) -> None:
    content = np.zeros((side, side, 3), np.uint8)
    content[:, : side // 2] = (30, 30, 200)  # red, as blue comes first
    content[side // 2 :, side // 2 :] = (200, 60, 30)
    planes = through_picamera2(content, "YUV420", chip)
    flat = np.concatenate([plane.ravel() for plane in planes]).reshape(-1, side)
    decoded = cv2.cvtColor(flat, cv2.COLOR_YUV2BGR_I420)
    off = np.abs(decoded.astype(int) - content.astype(int))
    assert off.mean() < 2
    assert (off > 30).mean() < 0.001


def through_picamera2(content: Pixels, pixel_format: str, chip: str) -> tuple[Pixels, ...]:
    """Return the planes of a frame whose stream shows ``content``."""
    height, width = content.shape[:2]
    with pytest.MonkeyPatch.context() as patch:
        kind = install(patch)
        kind.chip = chip
        patch.setattr(kind, "picture", lambda *_: content)
        small = pixel_format == "YUV420"
        kind.instead = {} if small else {"main": pixel_format}
        camera = CameraSettings(
            source="picamera2", width=width, height=height, options={"lores": small}
        )
        one = create_source(camera, input_size=(width, height), clock=CLOCK)
        one.open()
        frame = one.read()
        assert frame is not None
        frame.release()
        one.close()
    return frame.planes


def test_picamera2_padding_changes_no_detection(data: Samples, default_model: Model) -> None:
    paths = sorted(data.first("coco-tiny/val2017", FREE_PICTURES).glob("*.jpg"))[:40]
    assert paths
    detector = CpuAccelerator().open(default_model, threads=1)
    same = total = 0
    try:
        for path in paths:
            content = cv2.resize(read_image(path, CLOCK, 0).planes[0], detector.input_size).astype(
                np.uint8
            )
            wanted = detections(detector, tight("YUV420", content))
            total += 2 * len(wanted)
            for chip in ("vc4", "pisp"):
                found = detections(detector, through_picamera2(content, "YUV420", chip))
                same += len(wanted & found) - len(found - wanted)
    finally:
        detector.close()
    assert total > 80  # else there is nothing to lose
    assert same >= 0.99 * total


def detections(detector: Detector, planes: tuple[Pixels, ...]) -> set[tuple[float, ...]]:
    width, height = detector.input_size
    load_frame(detector, Frame(planes, PixelFormat.I420, width, height, captured_ns=0, seq=0))
    detector.infer()
    found = detector.detections(0.3)
    rows = zip(found.label_ids, found.scores, found.boxes, strict=True)
    return {(int(label), float(score), *map(float, box)) for label, score, box in rows}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, BT601_LIMITED),
        (ColorSpace(Encoding.Rec601, Range.Full), Colours(Matrix.BT601, full_range=True)),
        (ColorSpace.Rec709(), Colours(Matrix.BT709, full_range=False)),
        (ColorSpace(Encoding.Rec2020, Range.Limited), Colours(Matrix.BT2020, full_range=False)),
    ],
)
def test_picamera2_asks_for_colours_and_reads_those_that_come(
    picamera2: type[picamera2_like.Picamera2],
    caplog: pytest.LogCaptureFixture,
    given: ColorSpace | None,
    read: Colours,
) -> None:
    picamera2.colours_instead = given
    one = source("picamera2", CLOCK)
    one.open()
    frame = one.read()
    assert frame is not None
    one.close()
    assert picamera2.made[0].configuration["colour_space"] == ColorSpace.Smpte170m()
    assert frame.colours == read
    assert "somewhat off" not in caplog.text


def test_picamera2_colours_that_nobody_knows_are_told(
    picamera2: type[picamera2_like.Picamera2], caplog: pytest.LogCaptureFixture
) -> None:
    picamera2.colours_instead = ColorSpace(Encoding.Null, Range.Full)
    one = source("picamera2", CLOCK)
    one.open()
    one.close()
    assert "colours come as Null, range Full, which is not known here" in caplog.text


def coded(red: float, green: float, blue: float, kr: float, kb: float) -> tuple[int, int, int]:
    """Return Y, Cb, Cr of a colour, limited range, as ITU-R's recommendations define them."""
    y = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    return (
        round(16 + 219 * y / 255),
        round(128 + 224 * cb / 255),
        round(128 + 224 * cr / 255),
    )


BT601, BT709 = (0.299, 0.114), (0.2126, 0.0722)


@pytest.mark.parametrize("pixel_format", [PixelFormat.I420, PixelFormat.NV12])
@pytest.mark.parametrize("colour", [(200, 30, 30), (30, 180, 60), (20, 40, 220), (255, 255, 255)])
def test_yuv_is_read_in_the_colour_space_that_is_asked_for(
    pixel_format: PixelFormat, colour: tuple[int, int, int]
) -> None:
    """Smpte170m of libcamera: BT.601's weights, limited range."""
    assert np.abs(np.subtract(read_as(pixel_format, coded(*colour, *BT601)), colour)).max() <= 3
    if colour != (255, 255, 255):  # of which both make the same
        wrong = read_as(pixel_format, coded(*colour, *BT709))
        assert np.abs(np.subtract(wrong, colour)).max() > 8


def read_as(pixel_format: PixelFormat, yuv: tuple[int, int, int]) -> list[int]:
    """Return red, green, blue that the model is given of a picture of one colour."""
    y, cb, cr = yuv
    luma = np.full((4, 8), y, np.uint8)
    u, v = np.full((2, 4), cb, np.uint8), np.full((2, 4), cr, np.uint8)
    planes = (luma, u, v) if pixel_format is PixelFormat.I420 else (luma, np.dstack([u, v]))
    out = np.zeros((4, 8, 3), np.uint8)
    frame = Frame(planes, pixel_format, 8, 4, captured_ns=0, seq=0)
    Preprocessor(View(), 8, 4).run(frame, out)
    rgb: list[int] = out[2, 4].tolist()
    return rgb


def test_picamera2_with_a_format_we_cannot_read(picamera2: type[picamera2_like.Picamera2]) -> None:
    picamera2.instead = {"main": "MJPEG"}
    one = source("picamera2", CLOCK, options={"lores": False})
    with pytest.raises(SourceUnavailableError, match=r"gives MJPEG.*v4l2"):
        one.open()
    assert picamera2.made[0].calls == ["close"]


def test_picamera2_that_falls_silent_is_lost_closed_and_opened_again(
    picamera2: type[picamera2_like.Picamera2],
) -> None:
    one = source("picamera2", CLOCK)
    one.open()
    picamera2.silent = True
    with pytest.raises(SourceLostError, match="stopped delivering"):
        one.read()
    ends(one.close)
    picamera2.silent = False
    one.open()
    assert one.read() is not None
    one.close()
    assert [camera.acquired for camera in picamera2.made] == [False, False]


def ends(action: Callable[[], None]) -> None:
    """Do it in a thread of its own: what hangs must not hang the tests."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "hangs"


@pytest.mark.parametrize("place", ["acquire", "setup", "configure", "start"])
@pytest.mark.parametrize("enters_table_first", [True, False])
def test_picamera2_a_thousand_failed_openings_leave_nothing(
    picamera2: type[picamera2_like.Picamera2], place: str, *, enters_table_first: bool
) -> None:
    picamera2.fails, picamera2.enters_table_first = place, enters_table_first
    one = source("picamera2", CLOCK)
    before = open_descriptors()
    for _ in range(1000):
        with pytest.raises(SourceUnavailableError, match="cannot be started"):
            one.open()
    assert open_descriptors() <= before
    assert not picamera2._cm.cameras
    assert not any(camera.acquired for camera in picamera2.made)


@pytest.mark.parametrize("kind", ["picamera2", "libcamera"])
def test_a_library_that_cannot_be_loaded_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    monkeypatch.delitem(sys.modules, kind, raising=False)
    (tmp_path / f"{kind}.py").write_text("raise ValueError('numpy.dtype size changed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SourceUnavailableError, match="dtype size changed"):
        source(kind, CLOCK).open()


def test_picamera2_whose_camera_manager_does_not_start(
    picamera2: type[picamera2_like.Picamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("Failed to start CameraManager")

    monkeypatch.setattr(picamera2, "global_camera_info", staticmethod(fail))
    with pytest.raises(SourceUnavailableError, match="Failed to start CameraManager"):
        source("picamera2", CLOCK).open()


def test_the_loss_of_a_camera_that_hangs_is_reported_and_so_is_its_return(
    picamera2: type[picamera2_like.Picamera2],
) -> None:
    picamera2.script = [{}, {}]  # then it falls silent
    clock, stop, seen = ManualClock(start_ns=10**12), threading.Event(), list[CameraEvent]()

    camera = source("picamera2", clock)
    read = camera.read

    def ten_a_second() -> Frame | None:
        clock.advance(0.1)
        return read()

    camera.read = ten_a_second  # type: ignore[method-assign]

    def note(event: CameraEvent) -> None:
        seen.append(event)
        if event.kind == "camera_lost":
            assert picamera2.made[-1].calls == ["stop", "close"]
            picamera2.script = None
        else:
            stop.set()

    lane = Lane(
        name="front",
        source=camera,
        view=View(),
        emit=lambda _observation, _lane: 0,
        clock=clock,
        pace=Pace().lane(),
        filters=(),
        on_event=note,
    )
    ends(lambda: lane.run(Exchange((lane,)), stop))
    assert [event.kind for event in seen] == ["camera_lost", "camera_back"]
    assert "stopped delivering" in seen[0].reason
    assert len(picamera2.made) == 2


def test_picamera2_with_a_usb_camera_says_what_reads_those(
    picamera2: type[picamera2_like.Picamera2],
) -> None:
    picamera2.fails = "configure"  # AttributeError, as the real one raises there
    with pytest.raises(SourceUnavailableError, match=r"NoneType.*USB camera.*v4l2:/dev/video0"):
        source("picamera2", CLOCK).open()


def test_picamera2_close_returns_where_the_camera_complains(
    picamera2: type[picamera2_like.Picamera2], caplog: pytest.LogCaptureFixture
) -> None:
    one = source("picamera2", CLOCK)
    before = open_descriptors()
    one.open()
    picamera2.fails = "release"
    one.close()
    assert "Failed to release camera" in caplog.text
    assert open_descriptors() <= before


def test_picamera2_without_such_a_camera(picamera2: type[picamera2_like.Picamera2]) -> None:
    with pytest.raises(SourceUnavailableError, match="1 found"):
        source("picamera2:3").open()


# --- picamera2 and libcamera read one queue


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    install(monkeypatch)
    manager = Manager(("imx219@10", Layout()))
    monkeypatch.setitem(sys.modules, "libcamera", Module(manager))
    yield manager
    manager.close()


@pytest.mark.parametrize(
    ("first", "second"), [("picamera2", "libcamera"), ("libcamera", "picamera2")]
)
def test_a_camera_of_the_other_kind_is_refused_while_one_runs(
    both: Manager, first: str, second: str
) -> None:
    one, other = source(first, CLOCK), source(second, CLOCK)
    one.open()
    with pytest.raises(SourceUnavailableError, match=f"{second}: another camera .* {first}"):
        other.open()
    one.close()
    other.open()
    other.close()
    assert not both.cameras[0].acquired


@pytest.mark.parametrize("kind", ["picamera2", "imx500"])
def test_a_configuration_that_mixes_them_is_refused(tmp_path: Path, kind: str) -> None:
    config = tmp_path / "appliance.toml"
    text = f'[[camera]]\nname = "a"\nsource = "{kind}"\n[[camera]]\nname = "b"\nsource = '
    config.write_text(text + '"libcamera:1"\n')
    with pytest.raises(ConfigError, match=f"{kind} beside libcamera"):
        load(config, environment={})
    config.write_text(text + '"picamera2:1"\n')
    assert len(load(config, environment={}).camera) == 2


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
        return self.position_ms if key == cv2.CAP_PROP_POS_MSEC else self.properties[key]

    def read(self) -> tuple[bool, Any]:
        return (True, self.frames.pop(0)) if self.frames else (False, None)

    def release(self) -> None:
        self.properties["released"] = True


@pytest.mark.parametrize(
    ("view", "by"), [({}, 2), ({"fit": "letterbox"}, 4), ({"crop": (0.0, 0.0, 0.4, 0.4)}, 1)]
)
def test_v4l2_decodes_no_more_than_the_model_needs_and_tells_the_cameras_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, view: dict[str, Any], by: int
) -> None:
    device = tmp_path / "video0"
    device.touch()
    content = cv2.imencode(".jpg", np.full((1080, 1920, 3), 90, np.uint8))[1].ravel()
    capture = FakeCapture([content[None], content[None, :-9]], 999_980.0)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: capture)
    one = source(f"v4l2:{device}", ManualClock(start_ns=10**12), **view)
    one.open()
    frame = one.read()
    assert frame is not None
    assert (frame.width, frame.height, frame.reduction) == (1920, 1080, by)
    assert frame.planes[0].shape == (1080 // by, 1920 // by, 3)
    assert Preprocessor(View(), 300, 300).plan(frame).upright == (1920, 1080)
    with pytest.raises(FrameError, match="damaged JPEG"):
        one.read()
    one.close()


def test_v4l2_decodes_mjpeg_strictly_and_uses_the_drivers_stamp(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device = tmp_path / "video0"
    device.touch()
    content = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].ravel()
    capture = FakeCapture([content[None], content[None, : len(content) // 2]], 999_980.0)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: capture)
    one = source(f"v4l2:{device}", ManualClock(start_ns=10**12), controls=CONTROLS)
    one.open()
    assert capture.properties[cv2.CAP_PROP_CONVERT_RGB] == 0
    assert capture.properties[cv2.CAP_PROP_EXPOSURE] == 80
    frame = one.read()
    assert frame is not None
    assert (frame.origin, frame.captured_ns) == (ClockOrigin.DRIVER, 999_980_000_000)
    assert frame.planes[0].shape == (48, 64, 3)
    with pytest.raises(FrameError, match="damaged JPEG"):
        one.read()
    with pytest.raises(SourceLostError, match="stopped delivering"):
        one.read()
    one.close()
    assert capture.properties["released"]
