"""The test's side of the network camera: starts it, and judges the pictures that come from it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from appliance.vision.preprocess import Preprocessor, View
from tests.helpers import ROOT
from tests.rtsp.counter import BLOCK, WIDTH, bits_of, number_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.values import Frame, Pixels

PYTHON = "/usr/bin/python3"
SOUND_ERROR = 12.0
"""Grey levels that a block of a sound picture is off at most: twice what compression does."""


@dataclass(frozen=True)
class Scene:
    """What the camera looks at: a photograph that passes by, joined to its mirror image.

    Attributes:
        wide: RGB, all of it.
        width: pixels of it that are seen at once.
        step: pixels that it passes by from one picture to the next.
    """

    wide: Pixels
    width: int
    step: int = 4

    @classmethod
    def of(cls, photograph: Path, width: int, height: int) -> Scene:
        picture = cv2.imread(str(photograph))
        assert picture is not None
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        # Codecs keep little of the finest detail, and half of that of colours.
        soft = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), (0, 0), 1.0)
        wide = np.ascontiguousarray(np.hstack([soft, soft[:, ::-1]]), np.uint8)
        return cls(wide, width)

    def i420(self, matrix: str) -> bytes:
        """Return it as a camera's sensor gives it out: limited (video) or full range (JPEG)."""
        kr, kb = {"601": (0.299, 0.114), "709": (0.2126, 0.0722), "jpeg": (0.299, 0.114)}[matrix]
        red, green, blue = np.moveaxis(self.wide.astype(np.float64), 2, 0)
        y = kr * red + (1 - kr - kb) * green + kb * blue
        u, v = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
        if matrix != "jpeg":
            y, u, v = 16 + y * 219 / 255, u * 224 / 255, v * 224 / 255
        planes = [y]
        for plane in (u, v):
            quarters = plane.reshape(plane.shape[0] // 2, 2, plane.shape[1] // 2, 2)
            planes.append(quarters.mean((1, 3)) + 128)
        return b"".join(np.clip(p.round(), 0, 255).astype(np.uint8).tobytes() for p in planes)

    def picture(self, number: int) -> Pixels:
        """Return picture ``number`` as it has to arrive."""
        x = number * self.step % self.wide.shape[1]
        picture = np.roll(self.wide, -x, 1)[:, : self.width].copy()
        marks = np.repeat(np.asarray(bits_of(number), np.uint8) * 255, BLOCK)
        picture[:BLOCK, :WIDTH] = marks[None, :, None]
        return picture


@dataclass(frozen=True)
class Seen:
    """A delivered picture, judged.

    Attributes:
        number: which of the camera's pictures it is; None where its number is damaged.
        mean_error, block_error: grey levels off, over all of it, and in its worst block.
    """

    number: int | None
    mean_error: float
    block_error: float

    @property
    def sound(self) -> bool:
        return self.number is not None and self.block_error <= SOUND_ERROR


class Judge:
    """Says of delivered frames which picture they are and how well it arrived."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        height, width = scene.wide.shape[0], scene.width
        self._size = (width, height)
        self._preprocessor = Preprocessor(View(), width, height)
        self._out = np.empty((height, width, 3), np.uint8)

    def of(self, frame: Frame) -> Seen:
        assert (frame.width, frame.height) == self._size
        self._preprocessor.run(frame, self._out)
        return self.of_rgb(self._out)

    def of_rgb(self, rgb: Pixels) -> Seen:
        strip = rgb[4 : BLOCK - 4, :WIDTH].mean((0, 2)).reshape(-1, BLOCK)[:, 4:-4].mean(1)
        number = number_of(tuple(bool(level > 127) for level in strip))
        if number is None:
            return Seen(None, 255.0, 255.0)
        off = cv2.absdiff(rgb, self._scene.picture(number)).mean(2)
        height, width = (side // BLOCK * BLOCK for side in off.shape)
        blocks = off[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
        return Seen(number, float(off.mean()), float(blocks.mean((1, 3)).max()))


class Server:
    """A running camera.

    Attributes:
        port: where it serves.
        scene: what it shows.
        fps, codec: of its pictures.
    """

    def __init__(self, process: subprocess.Popen[str], scene: Scene, codec: str, fps: int) -> None:
        self._process = process
        self.scene, self.codec, self.fps = scene, codec, fps
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the camera did not start"
        self.port = int(line)

    def address(self, path: str = "/cam", login: str = "", port: int = 0) -> str:
        return f"rtsp://{login}{'@' if login else ''}127.0.0.1:{port or self.port}{path}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)


def skip_without_gstreamer() -> None:
    """Skip where the system's Python lacks GStreamer's RTSP server."""
    code = "import gi; gi.require_version('GstRtspServer', '1.0')"
    with contextlib.suppress(OSError):
        if not subprocess.run([PYTHON, "-c", code], capture_output=True, check=False).returncode:
            return
    pytest.skip("GStreamer's RTSP server is not here: scripts/install_gstreamer.sh")


@contextlib.contextmanager
def serve(
    photograph: Path,
    folder: Path,
    codec: str = "h264",
    *,
    width: int = 320,
    height: int = 240,
    fps: int = 15,
    key_interval: int = 15,
    matrix: str = "601",
    transport: str = "both",
    user: str = "",
    password: str = "",
    method: str = "basic",
    port: int = 0,
) -> Iterator[Server]:
    """Run a camera until the block ends."""
    skip_without_gstreamer()
    scene = Scene.of(photograph, width, height)
    raw = folder / "scene.i420"
    raw.write_bytes(scene.i420("jpeg" if codec == "mjpeg" else matrix))
    names = {"601": "bt601", "709": "bt709"}
    black, white = (0, 255) if codec == "mjpeg" else (16, 235)
    settings = {
        "black": black,
        "white": white,
        "picture": str(raw),
        "codec": codec,
        "width": width,
        "height": height,
        "step": scene.step,
        "fps": fps,
        "key_interval": key_interval,
        "colorimetry": "1:4:0:0" if codec == "mjpeg" else names[matrix],
        "transport": transport,
        "user": user,
        "password": password,
        "method": method,
        "port": port,
    }
    command = [PYTHON, "-m", "tests.rtsp.server", json.dumps(settings)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Server(process, scene, codec, fps)
        finally:
            process.kill()
