"""USB cameras of every format, by the real OpenCV: a device is preloaded under it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from tests.helpers import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from appliance.values import Pixels

SOURCE = ROOT / "tests/fakes/video_camera.c"
HEIGHT, WIDTH = 480, 640
COLOURS = ((20, 30, 200), (40, 180, 60), (190, 70, 30), (128, 128, 128))
"""Of the quarters: red, green, blue, grey (BGR)."""
READS = 100


def picture() -> Pixels:
    found = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for number, colour in enumerate(COLOURS):
        y, x = number // 2 * HEIGHT // 2, number % 2 * WIDTH // 2
        found[y : y + HEIGHT // 2, x : x + WIDTH // 2] = colour
    return found


def encoded(name: str) -> bytes:
    """Return the picture as a camera of this format delivers it."""
    bgr = picture()
    planes = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    luma = planes[:HEIGHT]
    blue, red = planes[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
    if name == "NV12":
        return luma.tobytes() + np.stack([blue, red], -1).tobytes()
    if name in {"YUYV", "UYVY"}:
        chroma = np.stack([blue, red], -1).repeat(2, 0).reshape(HEIGHT, WIDTH)
        pair = [luma, chroma] if name == "YUYV" else [chroma, luma]
        return np.stack(pair, -1).tobytes()
    if name == "GREY":
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).tobytes()
    if name == "BA81":  # rows of blue and green, and of green and red, taking turns
        mosaic = bgr[..., 1].copy()
        mosaic[::2, ::2], mosaic[1::2, 1::2] = bgr[::2, ::2, 0], bgr[1::2, 1::2, 2]
        return mosaic.tobytes()
    if name == "BGR3":
        return bgr.tobytes()
    assert name == "MJPG"
    return cv2.imencode(".jpg", bgr)[1].tobytes()


def seen(name: str) -> tuple[tuple[int, ...], ...]:
    if name != "GREY":
        return COLOURS
    grey = cv2.cvtColor(picture(), cv2.COLOR_BGR2GRAY)
    corners = grey[:: HEIGHT - 1, :: WIDTH - 1].ravel()
    return tuple((int(one),) * 3 for one in corners)


@dataclass(frozen=True)
class Device:
    """A camera that can be preloaded."""

    library: Path
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "video0"

    def variables(self, formats: str, size: str = "640x480", fps: int = 120) -> Mapping[str, str]:
        return os.environ | {
            "LD_PRELOAD": str(self.library),
            "FAKE_CAMERA": str(self.path),
            "FAKE_CAMERA_FORMATS": formats,
            "FAKE_CAMERA_FRAMES": str(self.folder),
            "FAKE_CAMERA_SIZE": size,
            "FAKE_CAMERA_FPS": str(fps),
        }

    def read(
        self,
        formats: str,
        *,
        reads: int = READS,
        opens: int = 1,
        options: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        """Read it in a process of its own, and return what that found."""
        for name in formats.split(","):
            content = self.folder / name
            if not content.exists():
                content.write_bytes(encoded(name))
        command = [sys.executable, "-m", "tests.fakes.read_camera", str(self.path)]
        numbers = [str(reads), str(opens), json.dumps(dict(options or {}))]
        done = subprocess.run(
            command + numbers,
            env=self.variables(formats, **settings), cwd=ROOT, timeout=120,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build the device with")
    built = tmp_path_factory.mktemp("device") / "camera.so"
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(built)]
    subprocess.run([*command, str(SOURCE), "-ldl"], check=True, timeout=60)
    return built


@pytest.fixture
def device(library: Path, tmp_path: Path) -> Device:
    found = Device(library, tmp_path)
    found.path.touch()
    return found


def near(found: list[list[float]], wanted: tuple[tuple[int, ...], ...]) -> bool:
    return bool(np.abs(np.asarray(found) - np.asarray(wanted)).max() <= 8)


@pytest.mark.parametrize("name", ["MJPG", "YUYV", "UYVY", "NV12", "GREY", "BA81", "BGR3"])
def test_a_camera_of_one_format_delivers_by_default(name: str, device: Device) -> None:
    found = device.read(name)
    assert found["frames"] >= READS * 0.99, found["log"]
    assert found["failures"] == 0
    assert found["size"] == [WIDTH, HEIGHT]
    assert found["origins"] == ["driver"]
    assert near(found["quarters"], seen(name)), found["quarters"]
    told = [line for line in found["log"] if "asked for" in line]
    if name == "MJPG":
        assert told == []
    else:
        assert told == [
            (
                f"camera {device.path}: asked for MJPG, 640x480, 120 FPS; "
                f"it gives {name}, 640x480, 120 FPS"
            )
        ]


def test_compressed_pictures_are_taken_where_there_is_a_choice(device: Device) -> None:
    (device.folder / "YUYV").write_bytes(b"\x00" * WIDTH * HEIGHT * 2)
    found = device.read("YUYV,MJPG", reads=5)
    assert near(found["quarters"], COLOURS)
    assert found["log"] == []


def test_another_format_can_be_asked_for(device: Device) -> None:
    (device.folder / "MJPG").write_bytes(b"")
    found = device.read("MJPG,YUYV", reads=5, options={"format": "YUYV"})
    assert near(found["quarters"], COLOURS)
    assert found["log"] == []


def test_a_camera_that_has_not_the_format_asked_for_delivers_what_it_has(device: Device) -> None:
    found = device.read("MJPG", options={"format": "YUYV"}, reads=5)
    assert near(found["quarters"], COLOURS)
    assert "asked for YUYV" in found["log"][0]
    assert "it gives MJPG" in found["log"][0]


def test_another_size_and_rate_are_told_once_however_often_it_is_opened(device: Device) -> None:
    (device.folder / "MJPG").write_bytes(cv2.imencode(".jpg", picture()[::2, ::2])[1].tobytes())
    found = device.read("MJPG", reads=3, opens=3, size="320x240", fps=30)
    assert found["frames"] == 9
    assert found["log"] == [
        f"camera {device.path}: asked for MJPG, 640x480, 120 FPS; it gives MJPG, 320x240, 30 FPS"
    ]


def test_pictures_with_stray_bytes_are_shown_and_cut_ones_are_not(device: Device) -> None:
    """As webcams write them: padding before the end, before the zeros that fill the buffer."""
    whole = cv2.imencode(".jpg", picture())[1].tobytes()
    (device.folder / "MJPG").write_bytes(whole[:-2] + b"\x11" * 16 + whole[-2:] + bytes(100))
    found = device.read("MJPG", reads=10)
    assert (found["frames"], found["failures"]) == (10, 0)
    assert near(found["quarters"], COLOURS)
    (device.folder / "MJPG").write_bytes(whole[:-200])
    found = device.read("MJPG", reads=10)
    assert (found["frames"], found["failures"]) == (0, 10)
