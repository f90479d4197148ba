"""Files and the synthetic camera: what they deliver, and how they fail."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.clock import ManualClock
from appliance.errors import FrameError, MediaError, SourceLostError, SourceUnavailableError
from appliance.sources.camera.stamps import StampVerifier
from appliance.sources.pictures import jpeg, timecode
from appliance.sources.synthetic import SPARE_BUFFERS, SyntheticSource
from appliance.values import ClockOrigin, Frame
from tests.helpers import source

if TYPE_CHECKING:
    from tests.samples import Video

JPEG = cv2.imencode(".jpg", np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8))[
    1
].tobytes()


def frames_of(text: str, count: int = 100, **settings: Any) -> list[Frame]:
    one = source(text, **settings)
    one.open()
    found: list[Frame] = []
    while len(found) < count and (frame := one.read()) is not None:
        found.append(frame)
    one.close()
    return found


def test_a_folder_gives_its_pictures_in_order(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.JPG", "c.png"):
        content = (
            JPEG
            if "c" not in name
            else cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
        )
        (tmp_path / name).write_bytes(content)
    (tmp_path / "notes.txt").write_text("no picture")
    names = [Path(frame.name).name for frame in frames_of(f"images:{tmp_path}")]
    assert names == ["a.JPG", "b.jpg", "c.png"]


def test_a_truncated_picture_costs_one_frame(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(JPEG[: len(JPEG) // 2])
    (tmp_path / "2.jpg").write_bytes(JPEG)
    (tmp_path / "3.png").write_bytes(b"")
    one = source(f"images:{tmp_path}")
    one.open()
    with pytest.raises(FrameError, match=r"1\.jpg: damaged JPEG"):
        one.read()
    assert one.read() is not None
    with pytest.raises(FrameError, match="is empty"):
        one.read()
    assert one.read() is None


@settings(max_examples=200)
@given(st.integers(2, len(JPEG) - 1))
def test_no_truncated_jpeg_becomes_a_frame(keep: int) -> None:
    with pytest.raises(FrameError):
        jpeg.decode(JPEG[:keep], "cut")


@pytest.mark.parametrize("text", ["images:/nowhere", "video:/nowhere.avi"])
def test_missing_media_say_so(text: str) -> None:
    with pytest.raises(MediaError, match="no such"):
        source(text).open()


def test_an_unreadable_video_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.avi").write_bytes(b"no video" * 100)
    with pytest.raises(MediaError, match="cannot be read"):
        source(f"video:{tmp_path / 'x.avi'}").open()


def test_a_video_is_read_to_its_end(video: Video) -> None:
    found = frames_of(f"video:{video.path}", video.frames + 1)
    assert len(found) == video.frames
    assert (found[0].width, found[0].height) == (video.width, video.height)
    assert [frame.seq for frame in found] == list(range(video.frames))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("v4l2:/dev/video99", "is not there"),
        ("rtsp://127.0.0.1:9/x", "cannot be opened"),
        ("picamera2", "picamera2"),
        ("libcamera", "libcamera"),
    ],
)
def test_a_camera_that_is_not_there_says_what_to_do(text: str, part: str) -> None:
    with pytest.raises(SourceUnavailableError, match=part) as caught:
        source(
            text, options={"open_timeout_seconds": 2.0} if text.startswith("rtsp") else {}
        ).open()
    assert caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_forbidden_camera_names_the_group(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.touch(mode=0)
    with pytest.raises(SourceUnavailableError, match="group"):
        source(f"v4l2:{device}").open()


def test_secrets_of_an_address_stay_out_of_messages() -> None:
    one = source("rtsp://user:secret@127.0.0.1:9/x?token=1", options={"open_timeout_seconds": 1.0})
    with pytest.raises(SourceUnavailableError) as caught:
        one.open()
    assert "secret" not in str(caught.value)
    assert "token" not in str(caught.value)


def test_the_synthetic_camera_keeps_its_instants_and_its_timecode() -> None:
    clock = ManualClock()
    one = source("synthetic", clock, fps=20, width=320, height=240)
    one.open()
    start = clock.monotonic_ns()
    for number in range(5):
        frame = one.read()
        assert frame is not None
        assert frame.captured_ns == start + (number + 1) * 50_000_000
        assert timecode.read(frame.planes[0]) == timecode.Timecode(
            frame.captured_ns // 1000, number
        )


def test_the_same_seed_is_the_same_film() -> None:
    def film(seed: int) -> list[bytes]:
        settings: dict[str, Any] = {
            "options": {"seed": seed, "frames": 3},
            "width": 160,
            "height": 120,
        }
        one = source("synthetic", ManualClock(), **settings)
        one.open()
        return [frame.planes[0].tobytes() for frame in iter(one.read, None)]

    assert film(1) == film(1) != film(2)


def test_the_synthetic_camera_keeps_few_buffers_and_uses_them_again() -> None:
    one = source("synthetic", width=64, height=48, options={"rate": "file"})
    one.open()
    frames = [one.read() for _ in range(SPARE_BUFFERS + 3)]
    pictures = [weakref.ref(frame.planes[0]) for frame in frames if frame is not None]
    for frame in frames:
        assert frame is not None
        frame.release()
    del frame, frames
    assert sum(picture() is not None for picture in pictures) == SPARE_BUFFERS
    again = [one.read() for _ in range(SPARE_BUFFERS)]
    kept = [picture() for picture in pictures]
    assert all(frame and any(frame.planes[0] is its for its in kept) for frame in again)


def test_the_truth_is_where_the_objects_are() -> None:
    one = source("synthetic", ManualClock(), width=640, height=480)
    assert isinstance(one, SyntheticSource)
    one.open()
    one.read()
    assert [box.label for box in one.truth] == ["person", "cat", "cup"]
    assert all(box.x >= 0 and box.x + box.w <= 1 and box.y + box.h <= 0.9 for box in one.truth)


def test_the_script_is_acted_out() -> None:
    clock = ManualClock()
    script = [
        {"at_frame": 1, "kind": "stall", "seconds": 5.0},
        {"at_frame": 2, "kind": "corrupt"},
        {"at_frame": 3, "kind": "vanish"},
        {"at_frame": 4, "kind": "duplicate"},
        {"at_frame": 5, "kind": "resize"},
    ]
    one = source("synthetic", clock, width=64, height=48, fps=10, options={"script": script})
    one.open()
    first = one.read()
    before = clock.monotonic_ns()
    second = one.read()
    assert clock.monotonic_ns() - before >= 5e9
    with pytest.raises(FrameError, match="truncated"):
        one.read()
    with pytest.raises(SourceLostError):
        one.read()
    one.close()
    one.open()
    third = one.read()
    fourth = one.read()
    small = one.read()
    assert first is not None and second is not None and third is not None
    assert fourth is not None and fourth.planes[0] is third.planes[0]
    assert small is not None and (small.width, small.height) == (32, 24)


@pytest.mark.parametrize(
    ("age_ns", "origin"),
    [
        (0, ClockOrigin.SENSOR),
        (10**9, ClockOrigin.SENSOR),
        (6 * 10**9, ClockOrigin.READ),
        (-1, ClockOrigin.READ),
    ],
)
def test_a_stamp_is_trusted_only_while_it_is_plausible(age_ns: int, origin: ClockOrigin) -> None:
    clock = ManualClock(start_ns=10**12)
    verifier = StampVerifier(clock, ClockOrigin.SENSOR)
    stamp, found = verifier.stamp(10**12 - age_ns, 42)
    assert found is origin
    assert stamp == (10**12 - age_ns if origin is ClockOrigin.SENSOR else 42)
    if origin is ClockOrigin.READ:
        assert verifier.stamp(10**12, 43) == (43, ClockOrigin.READ)
