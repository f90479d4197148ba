"""Encoded video files: colours to the level, no damaged picture as a whole one, their own pace."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

from appliance.clock import NS_PER_SECOND, ManualClock
from appliance.errors import FrameError, MediaError
from appliance.values import PixelFormat
from appliance.vision.preprocess import Preprocessor, View
from tests.helpers import source

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from appliance.sources import Source
    from appliance.values import Frame, Pixels

GROUP = 10
"""Frames from one key frame to the next."""


def scene(number: int, width: int, height: int) -> Pixels:
    """A soft picture in all colours, with a disc that moves."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 5), np.uint8)
    centre = (width // 4 + 3 * number % (width // 2), height // 2)
    cv2.circle(picture, centre, height // 6, (30, 60, 220), -1)
    return picture


def film(  # what differs between files
    path: Path,
    codec: str = "libx264",
    *,
    pixels: str = "yuv420p",
    size: tuple[int, int] = (160, 120),
    frames: int = 30,
    colours: tuple[int, int] = (2, 0),
    options: Mapping[str, str] | None = None,
    at: list[int] | None = None,
) -> Path:
    """Write a film; ``colours`` are FFmpeg's numbers of matrix and range, ``at`` its instants."""
    with av.open(str(path), "w") as container:
        base = Fraction(1, 1000 if at else 25)
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.codec_context.gop_size = GROUP
        stream.codec_context.time_base = base
        stream.codec_context.colorspace, stream.codec_context.color_range = colours
        stream.options = {**(options or {})}
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(scene(number, *size), format="bgr24")
            frame = frame.reformat(
                format=pixels, dst_colorspace=colours[0], dst_color_range=colours[1] or 1
            )
            frame.pts = at[number] if at else number
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def everything(one: Source) -> tuple[dict[int, Frame], dict[int, str]]:
    """Read to the end; return frames, and what was said of the others, by their number."""
    frames: dict[int, Frame] = {}
    faults: dict[int, str] = {}
    while True:
        try:
            frame = one.read()
        except FrameError as error:
            faults[int(str(error).split()[1])] = str(error)
            continue
        if frame is None:
            return frames, faults
        frames[frame.seq] = frame


def opened(path: Path, **options: bool) -> Source:
    one = source(f"video:{path}", options=options)
    one.open()
    return one


def rgb(frame: Frame) -> Pixels:
    out = np.empty((frame.height, frame.width, 3), np.uint8)
    Preprocessor(View(), frame.width, frame.height).run(frame, out)
    return out


BT709, BT601, SMPTE240M = 1, 5, 7
LIMITED, FULL = 1, 2


@pytest.mark.parametrize(
    ("codec", "pixels", "size", "colours"),
    [
        ("libx264", "yuv420p", (160, 120), (2, 0)),
        ("libx264", "yuv420p", (160, 120), (BT709, LIMITED)),
        ("libx264", "yuvj420p", (160, 120), (BT601, FULL)),
        ("libx264", "yuv420p", (160, 120), (BT709, FULL)),
        ("libx264", "yuv420p", (160, 120), (SMPTE240M, LIMITED)),
        ("libx264", "yuv422p", (160, 120), (BT601, LIMITED)),
        ("libx264", "yuv444p", (161, 121), (BT709, LIMITED)),
        ("libx264", "yuv420p10le", (160, 120), (BT601, LIMITED)),
        ("libx264", "yuv422p10le", (160, 120), (BT709, LIMITED)),
        ("libx264", "gray", (160, 120), (BT601, FULL)),
        ("libx265", "yuv420p", (160, 120), (BT709, LIMITED)),
        ("libx265", "yuv420p10le", (160, 120), (BT601, LIMITED)),
        ("mpeg4", "yuv420p", (162, 122), (2, 0)),
        ("mjpeg", "yuvj420p", (161, 121), (BT601, FULL)),
        ("mjpeg", "yuvj422p", (160, 120), (BT601, FULL)),
        ("ffv1", "bgr0", (160, 120), (2, 0)),
        ("ffv1", "yuv410p", (160, 120), (2, 0)),
    ],
)
def test_colours_come_out_as_they_went_in(
    codec: str, pixels: str, size: tuple[int, int], colours: tuple[int, int], tmp_path: Path
) -> None:
    name = "film.mkv" if codec == "ffv1" else "film.avi" if codec == "mjpeg" else "film.mp4"
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    options |= {"qscale": "2"} if codec in {"mjpeg", "mpeg4"} else {"crf": "8"}
    path = film(
        tmp_path / name, codec, pixels=pixels, size=size, frames=4, colours=colours, options=options
    )
    one = opened(path)
    frames, faults = everything(one)
    assert (len(frames), faults) == (4, {})
    for number, frame in frames.items():
        assert (frame.width, frame.height) == size
        wanted = scene(number, *size)[..., ::-1].astype(int)
        if pixels == "gray":
            wanted = np.repeat(wanted @ [[0.299], [0.587], [0.114]], 3, -1)
        off = np.abs(rgb(frame) - wanted)
        # Chroma of a quarter the size is blurred at the disc's edge: the median tells of colours.
        assert np.median(off) <= 4, number
        assert off.mean() < (12 if pixels == "yuv410p" else 6), number
    one.close()


def test_planes_are_views_that_outlive_the_file_and_cannot_be_written(tmp_path: Path) -> None:
    one = opened(film(tmp_path / "film.mp4", size=(642, 362), frames=12))
    first = one.read()
    assert first is not None
    assert first.format is PixelFormat.I420
    assert all(plane.base is not None and not plane.flags.owndata for plane in first.planes)
    before = [plane.copy() for plane in first.planes]
    everything(one)
    one.close()
    for plane, as_it_was in zip(first.planes, before, strict=True):
        np.testing.assert_array_equal(plane, as_it_was)
        with pytest.raises(ValueError, match="read-only"):
            plane[0, 0] = 0


def turned(path: Path, degrees: int) -> None:
    """Put a rotation into the display matrix of an MP4's track (ISO/IEC 14496-12, 8.3.2)."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    one = 1 << 16
    a, b = {90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]
    struct.pack_into(">9i", content, at, a, b, 0, -b, a, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("size", [(160, 120), (162, 122)])
def test_a_film_taken_sideways_stands_upright(
    degrees: int, size: tuple[int, int], tmp_path: Path
) -> None:
    path = film(tmp_path / "film.mp4", size=size, frames=3, options={"crf": "8"})
    turned(path, degrees)
    frames, _ = everything(opened(path))
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)  # it turns by itself
    for number in range(3):
        ok, theirs = capture.read()
        assert ok
        assert rgb(frames[number]).shape == theirs.shape
        assert np.abs(rgb(frames[number]) - theirs[..., ::-1].astype(int)).mean() < 4
    capture.release()


def packets(path: Path) -> list[tuple[int, int]]:
    """Return where the packets of a file lie, in the order of decoding, and their sizes."""
    with av.open(str(path)) as container:
        return [(one.pos or 0, one.size) for one in container.demux(video=0) if one.size]


def spoil(path: Path, numbers: list[int], rng: np.random.Generator, zeros: int = 0) -> None:
    content = bytearray(path.read_bytes())
    for number in numbers:
        at, size = packets(path)[number]
        if zeros:
            content[at : at + size] = bytes(size)
        else:
            inside = at + 4 + int(rng.integers(0, max(1, size - 30)))
            content[inside : inside + 24] = rng.bytes(24)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("codec", "pixels", "name", "options", "zeros"),
    [
        ("libx264", "yuv420p", "film.mp4", {"bf": "0"}, 0),
        # What is not predicted from is small, and may be read wrongly without a word.
        ("libx264", "yuv420p", "film.mp4", {"bf": "3"}, 1),
        ("libx264", "yuv420p", "film.mkv", {"bf": "2"}, 1),
        ("mpeg4", "yuv420p", "film.mp4", {}, 0),
        ("mpeg2video", "yuv420p", "film.ts", {}, 0),
        ("mjpeg", "yuvj420p", "film.avi", {}, 0),
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_no_damaged_picture_is_shown_as_a_whole_one(
    codec: str,
    pixels: str,
    name: str,
    options: dict[str, str],
    zeros: int,
    seed: int,
    tmp_path: Path,
) -> None:
    """The truth is the undamaged file, picture by picture, to the bit."""
    rng = np.random.default_rng(seed)
    path = film(tmp_path / name, codec, pixels=pixels, frames=60, options=options)
    whole, _ = everything(opened(path))
    bad = sorted(rng.choice(60, 2, replace=False).tolist())
    spoil(path, bad, rng, zeros)
    shown, faults = everything(opened(path))
    same = {tuple(map(bytes, map(np.ascontiguousarray, one.planes))) for one in whole.values()}
    for number, frame in shown.items():
        assert tuple(map(bytes, map(np.ascontiguousarray, frame.planes))) in same, (number, bad)
    assert len(shown) >= 30
    assert faults or len(shown) >= len(whole) - 1  # one more or less, and nobody says so


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_what_follows_a_lost_packet_waits_for_the_next_key_frame(
    codec: str, tmp_path: Path
) -> None:
    options = {"x265-params": "log-level=none:bframes=0:scenecut=0"} if codec == "libx265" else {}
    path = film(tmp_path / "film.mp4", codec, frames=40, options=options | {"bf": "0"})
    spoil(path, [13], np.random.default_rng(0), zeros=1)
    shown, faults = everything(opened(path))
    assert set(shown) == set(range(13)) | set(range(20, 40))
    assert set(faults) == set(range(13, 20))
    assert "cannot be decoded" in faults[13]
    assert "waits for a key frame" in faults[14]


def test_a_film_plays_at_its_own_pace(tmp_path: Path) -> None:
    """Not at the camera's: one that speeds up does so here."""
    at = [0, 500, 1000, 1100, 1200, 1220, 3000, 7000]
    path = film(tmp_path / "film.mkv", frames=len(at), at=at)
    clock = ManualClock()
    one = source(f"video:{path}", clock, options={"real_time": True})
    one.open()
    began_ns, when = None, []
    while (frame := one.read()) is not None:
        began_ns = began_ns or frame.captured_ns
        when.append(round((frame.captured_ns - began_ns) * 1000 / NS_PER_SECOND))
    assert when == at
    one.close()


def test_nobody_waits_for_a_gap_in_a_film_s_times(tmp_path: Path) -> None:
    """Read takes seconds at most: a capture thread that waits longer is taken for a hung one."""
    path = film(tmp_path / "film.mkv", frames=4, at=[0, 500, 60_000, 60_500])
    clock = ManualClock()
    one = source(f"video:{path}", clock, options={"real_time": True})
    one.open()
    frames = [one.read() for _ in range(4)]
    when = [frame.captured_ns for frame in frames if frame]
    assert [round((ns - when[0]) * 1000 / NS_PER_SECOND) for ns in when] == [0, 500, 500, 1000]
    one.close()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("text", "cannot be read"),
        ("sound", "it has no video"),
        ("codec", "in a format that FFmpeg here cannot decode"),
        ("head", "cannot be read"),
    ],
)
def test_a_file_that_is_no_video_says_why(what: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    if what == "text":
        path.write_text("<html>no film</html>" * 100)
    elif what == "sound":
        with av.open(str(path), "w") as container:
            track = container.add_stream("pcm_s16le", rate=8000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
            frame.rate = 8000
            assert isinstance(track, av.AudioStream)
            container.mux(track.encode(frame))
    elif what == "codec":
        film(path, "mjpeg", pixels="yuvj420p")
        path.write_bytes(path.read_bytes().replace(b"MJPG", b"Q9Z7"))
    else:
        path = film(tmp_path / "film.mp4")
        path.write_bytes(path.read_bytes().replace(b"moov", b"none"))
    with pytest.raises(MediaError, match=words):
        source(f"video:{path}").open()


@pytest.mark.parametrize("name", ["film.mp4", "film.ts", "film.h264"])
def test_every_file_can_be_played_again_and_again(name: str, tmp_path: Path) -> None:
    one = opened(film(tmp_path / name, frames=12), loop=True)
    frames = [one.read() for _ in range(40)]
    one.close()
    assert [frame.seq if frame else None for frame in frames] == list(range(40))
    np.testing.assert_array_equal(frames[3].planes[0], frames[27].planes[0])  # type: ignore[union-attr]
