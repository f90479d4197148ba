"""Damaged video files: what can be decoded is, what cannot is counted, what is missing is told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from appliance.errors import FrameError, MediaError
from appliance.sources.encoded.decoded import ReadError
from appliance.sources.encoded.encoded_video import EncodedVideo
from tests.helpers import source

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.values import Frame

FRAMES, HEIGHT, WIDTH = 50, 96, 128


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Every frame of it is brighter than the one before."""
    path = tmp_path / "film.avi"
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 25.0, (WIDTH, HEIGHT))
    for number in range(FRAMES):
        writer.write(np.full((HEIGHT, WIDTH, 3), 5 * number, np.uint8))
    writer.release()
    return path


def spoil(path: Path, *numbers: int) -> None:
    """Overwrite some frames with zeros; where they begin and how long they are stays."""
    content = bytearray(path.read_bytes())
    chunks = [one.start() for one in re.finditer(b"00dc(?=....\xff\xd8)", content, re.DOTALL)]
    assert len(chunks) == FRAMES
    for number in numbers:
        at = chunks[number] + 8
        size = int.from_bytes(content[at - 4 : at], "little")
        content[at : at + size] = bytes(size)
    path.write_bytes(content)


def read(path: Path, most: int = 500, **options: bool) -> tuple[list[Frame], list[int]]:
    """Return the frames, and after how many of them one failed."""
    one = source(f"video:{path}", options=options)
    one.open()
    frames: list[Frame] = []
    failed: list[int] = []
    while len(frames) < most:
        try:
            frame = one.read()
        except FrameError as error:
            assert "damaged JPEG" in str(error)
            failed.append(len(frames))
            continue
        if frame is None:
            break
        frames.append(frame)
    one.close()
    return frames, failed


@pytest.mark.parametrize("bad", [(0,), (6,), (10, 11, 12), (20, 30), tuple(range(5, 45))], ids=str)
def test_a_frame_that_cannot_be_decoded_costs_that_frame(
    bad: tuple[int, ...], film: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(film, *bad)
    frames, failed = read(film)
    assert len(frames) == FRAMES - len(bad)
    assert len(failed) == len(bad)
    shown = [round(float(frame.planes[0].mean()) / 5) for frame in frames]
    assert shown == [number for number in range(FRAMES) if number not in bad]
    numbers = [frame.seq for frame in frames]
    assert numbers == shown  # a damaged one has a number, too
    assert caplog.messages == []


def test_a_loop_plays_what_lies_behind_the_damage(film: Path) -> None:
    spoil(film, 6)
    frames, failed = read(film, 3 * (FRAMES - 1), loop=True)
    assert len(frames) == 3 * (FRAMES - 1)
    assert failed == [6, 6 + FRAMES - 1, 6 + 2 * (FRAMES - 1)]


def test_a_loop_of_a_file_that_cannot_seek_goes_on(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_: EncodedVideo) -> None:
        raise ReadError("cannot seek")

    monkeypatch.setattr(EncodedVideo, "rewind", cannot)
    assert len(read(film, 2 * FRAMES + 1, loop=True)[0]) == 2 * FRAMES + 1


@pytest.mark.parametrize("loop", [False, True])
def test_a_file_that_was_cut_says_so_once(
    film: Path, caplog: pytest.LogCaptureFixture, *, loop: bool
) -> None:
    content = film.read_bytes()
    film.write_bytes(content[: len(content) // 2])
    frames, _ = read(film, 3 * FRAMES if loop else FRAMES, loop=loop)
    assert len(frames) > FRAMES // 4
    (line,) = caplog.messages
    assert re.search(r"film\.avi: ends after [01]\.\d s of 2\.0 s: it is cut short", line)


def test_a_whole_file_says_nothing(film: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames, failed = read(film)
    assert (len(frames), failed, caplog.messages) == (FRAMES, [], [])


def test_a_file_of_which_nothing_can_be_decoded_names_its_codec(film: Path) -> None:
    spoil(film, *range(FRAMES))
    one = source(f"video:{film}")
    one.open()
    for _ in range(FRAMES):
        with pytest.raises(FrameError, match="damaged JPEG"):
            one.read()
    with pytest.raises(MediaError, match=r"holds no readable frame .*mjpeg"):
        one.read()
