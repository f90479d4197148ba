"""What every source must do, whoever wrote it: the contract of ``appliance.sources.Source``."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np
import pytest

from appliance.errors import ConfigError, MediaError, SourceUnavailableError
from appliance.extensions import kinds, load
from appliance.values import PixelFormat
from appliance.vision.preprocess import Preprocessor, View
from tests.helpers import open_descriptors, source
from tests.packages import contract_of

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.sources import Source
    from appliance.values import Frame

KINDS = kinds("appliance.sources")
VENDORS = ("picamera2", "libcamera", "av", "serial")
HERE = ("images", "synthetic", "video", *(k for k in KINDS if contract_of(KINDS[k]).get("present")))
"""Kinds that need nothing but a file, if that."""
ABSENT = {
    "auto": "auto",
    "images": "images:/nowhere/a.png",
    "imx500": "imx500",
    "jevois": "jevois:/dev/nowhere",
    "libcamera": "libcamera",
    "picamera2": "picamera2",
    "stream": "rtsp://127.0.0.1:1/nothing",
    "v4l2": "v4l2:/dev/video99",
    "video": "video:/nowhere/a.mp4",
    **{k: text for k in KINDS if (text := contract_of(KINDS[k]).get("absent"))},
}
"""What is not on this machine; a new kind gets a line here."""
RED = (200, 40, 30)
SHAPES = {
    PixelFormat.BGR24: [(48, 64)],
    PixelFormat.I420: [(48, 64), (24, 32), (24, 32)],
    PixelFormat.NV12: [(48, 64), (24, 32)],
    PixelFormat.RGB24: [(48, 64)],
}
"""Rows and columns of each plane of a frame of 64x48."""


@pytest.fixture
def present(tmp_path: Path) -> dict[str, str]:
    """Sources that there are: a picture, red and grey, a film of it, a drawn camera."""
    grey = np.full((48, 64, 3), 128, np.uint8)
    grey[:, :32] = RED[::-1]
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    film = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        film.write(grey)
    film.release()
    return {
        "images": f"images:{tmp_path / 'grey.png'}",
        "video": f"video:{tmp_path / 'a.avi'}",
        "synthetic": "synthetic",
        **{k: text for k in KINDS if (text := contract_of(KINDS[k]).get("present"))},
    }


def held() -> tuple[int, set[str]]:
    return open_descriptors(), {one.name for one in threading.enumerate()}


def frames_of(opened: Source, most: int = 3) -> list[Frame]:
    found: list[Frame] = []
    while len(found) < most and (frame := opened.read()) is not None:
        found.append(frame)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_its_options_have_defaults_and_sentences(kind: str) -> None:
    options = load(KINDS[kind]).Options
    options()
    assert options.__doc__
    for field in msgspec.structs.fields(options):
        assert any(getattr(one, "description", None) for one in field.type.__metadata__), field.name


@pytest.mark.parametrize("kind", KINDS)
def test_an_option_that_it_does_not_have_is_named(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"camera\[.*\]\.options\.colour: unknown key"):
        source(kind, options={"colour": 1})
    for name in load(KINDS[kind]).Options.__struct_fields__:
        with pytest.raises(ConfigError, match=f"did you mean {name}"):
            source(kind, options={f"{name}x": 1})


def test_making_one_loads_no_vendors_code_and_touches_no_device() -> None:
    """In a process of its own, for others here have loaded what they need."""
    program = f"""
import sys
from tests.helpers import source
for text in {list(ABSENT.values())!r} + ["synthetic"]:
    source(text)
found = sorted(set(sys.modules) & set({VENDORS!r}))
sys.exit(f"loaded: {{found}}" if found else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind in ABSENT or kind not in HERE])
def test_what_is_not_there_is_said_and_leaves_nothing_behind(kind: str) -> None:
    absent = source(ABSENT[kind])
    absent.close()  # before it was opened
    before = held()
    for _ in range(2):
        with pytest.raises((SourceUnavailableError, MediaError)) as caught:
            absent.open()
        absent.close()
        absent.close()
    assert str(caught.value)
    if isinstance(caught.value, SourceUnavailableError):
        assert caught.value.retryable  # a camera may be plugged in later
    assert held()[1] == before[1]
    assert held()[0] <= before[0] + 1  # what a library opens once for the process


@pytest.mark.parametrize("kind", HERE)
def test_frames_are_what_they_say(kind: str, present: dict[str, str]) -> None:
    opened = source(present[kind], width=64, height=48)
    opened.open()
    try:
        frames = frames_of(opened)
    finally:
        opened.close()
    assert frames
    numbers = [frame.seq for frame in frames]
    assert numbers == sorted(set(numbers))
    moments = [frame.captured_ns for frame in frames]
    assert moments == sorted(set(moments))
    for frame in frames:
        assert (frame.width, frame.height) == (64, 48)
        assert [plane.shape[:2] for plane in frame.planes] == SHAPES[frame.format]
    if kind in {"images", "video"}:
        left, right = _seen(frames[0])
        np.testing.assert_allclose(left, RED, atol=12)  # JPEG's colours are coarse
        np.testing.assert_allclose(right, (128, 128, 128), atol=4)


def _seen(frame: Frame) -> tuple[Any, Any]:
    """Return the colours, RGB, of the left and right half as the model gets them."""
    picture = np.zeros((48, 64, 3), np.uint8)
    Preprocessor(View(), 64, 48).run(frame, picture)
    return picture[4:-4, 4:28].mean((0, 1)), picture[4:-4, 36:-4].mean((0, 1))


@pytest.mark.parametrize("kind", ["images", "video"])
def test_a_file_ends_and_can_be_opened_again(kind: str, present: dict[str, str]) -> None:
    opened = source(present[kind])
    before = held()
    numbers = []
    for _ in range(2):
        opened.open()
        found = frames_of(opened, 10)
        assert 1 <= len(found) <= 3
        numbers += [frame.seq for frame in found]
        assert opened.read() is None
        opened.close()
    assert numbers == list(range(len(numbers)))  # they go on
    opened.close()
    assert held()[1] == before[1]
    assert held()[0] <= before[0] + 1
