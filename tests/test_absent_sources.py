"""A source that is not there, or not sound, is told by whoever looks at it, and ends what waits."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from appliance.bench.source import preload
from appliance.cli import main
from appliance.cli.view import ApplianceView
from appliance.errors import FrameError, MediaError
from tests.helpers import free_port, source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.values import Frame

BENCH = ["bench", "--accelerator", "cpu", "--workers", "1", "--threads", "1", "--frames", "20"]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener.getsockname()[1]


@pytest.mark.parametrize("how", [[], ["--sustained", "--seconds", "600"], ["--preload"]], ids=str)
def test_a_benchmark_of_a_camera_that_is_not_there_ends_and_says_why(
    how: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*BENCH, *how, "--source", f"rtsp://admin:sEcret9@127.0.0.1:{free_port()}/cam"]
    assert main(words) == 69
    told = "".join(capsys.readouterr())
    assert "cannot be opened" in told
    assert "nothing listens at 127.0.0.1:" in told
    assert "sEcret9" not in told


def test_a_benchmark_of_a_camera_that_does_not_answer_ends(
    silent: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*BENCH, "--source", f"rtsp://127.0.0.1:{silent}/cam"]) == 69
    assert "cannot be opened" in capsys.readouterr().err


def test_a_benchmark_of_damaged_pictures_says_that_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8 no picture")
    assert main([*BENCH, "--source", str(tmp_path)]) == MediaError.exit_code
    assert "could not be decoded" in capsys.readouterr().err
    assert main([*BENCH, "--preload", "--source", str(tmp_path)]) == MediaError.exit_code
    assert "damaged JPEG" in capsys.readouterr().err


def test_the_demo_says_why_it_sees_nothing() -> None:
    command = [sys.executable, "-m", "appliance", "demo", "--broker", "mosquitto"]
    demo = subprocess.Popen(
        [*command, "--source", f"rtsp://admin:sEcret9@127.0.0.1:{free_port()}/cam"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert demo.stdout is not None
    line = next(line for line in demo.stdout if "sees nothing (" in line)
    demo.terminate()
    rest = demo.communicate(timeout=60)[0]
    assert "degraded: camera demo: stream rtsp://127.0.0.1" in line
    assert "cannot be opened" in line
    assert "sEcret9" not in line + rest


def test_a_view_of_a_sound_unit_gives_no_reasons() -> None:
    view = ApplianceView("title")
    rates = {"end_to_end_fps": 1.0, "camera_fps": 1.0, "inference_only_fps": 1.0}
    view.feed("cam/metrics", rates)
    view.feed("health", {"state": "ok", "reasons": [], "temperature_celsius": None})
    assert view.summary().endswith("sees nothing")


def pictures(folder: Path, *damaged: str) -> None:
    for name in ("a.jpg", "b.png", "c.jpg", "d.gif", "e.avif"):
        content = cv2.imencode(f".{name[2:]}", np.zeros((32, 32, 3), np.uint8))[1].tobytes()
        (folder / name).write_bytes(b"\xff\xd8" if name in damaged else content)


def read(text: str, reads: int, **options: bool) -> list[Frame]:
    one = source(text, options=options)
    one.open()
    found = []
    for _ in range(reads):
        try:
            frame = one.read()
        except FrameError:
            continue
        if frame is not None:
            found.append(frame)
    one.close()
    return found


def test_every_format_that_can_be_read_is_found_in_a_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures(tmp_path)
    assert len(read(f"images:{tmp_path}", 6)) == 5
    assert caplog.messages == []


@pytest.mark.parametrize("loop", [False, True])
def test_a_folder_says_once_how_many_pictures_were_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, loop: bool
) -> None:
    pictures(tmp_path, "a.jpg", "c.jpg", "d.gif")
    assert len(read(f"images:{tmp_path}", 20, loop=loop)) == (8 if loop else 2)
    assert caplog.messages == [
        f"images {tmp_path}: 3 of 5 pictures cannot be read and were skipped: a.jpg, c.jpg, d.gif"
    ]


def test_frames_that_fail_are_not_preloaded(tmp_path: Path) -> None:
    pictures(tmp_path, "a.jpg")
    assert len(preload(source(f"images:{tmp_path}", options={"loop": True}), 8)) == 8
