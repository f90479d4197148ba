"""Pictures that are stored turned stand upright, whatever their format, wherever they are read."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from appliance import cli
from appliance.bench.alone import one_picture
from appliance.clock import SystemClock
from appliance.sources.images import read_image
from appliance.sources.pictures import jpeg
from tests.helpers import source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.values import Pixels

HEIGHT, WIDTH = 48, 80
UPRIGHT = np.random.default_rng(3).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
UPRIGHT = UPRIGHT.repeat(8, 0).repeat(8, 1)

# Where the pixel that is seen at row y, column x of h, w is stored: EXIF names, for the stored
# picture's first row and first column, the sides of the seen one.
STORED: dict[int, Callable[[int, int, int, int], tuple[int, int]]] = {
    1: lambda y, x, _h, _w: (y, x),  # top, left
    2: lambda y, x, _h, w: (y, w - 1 - x),  # top, right
    3: lambda y, x, h, w: (h - 1 - y, w - 1 - x),  # bottom, right
    4: lambda y, x, h, _w: (h - 1 - y, x),  # bottom, left
    5: lambda y, x, _h, _w: (x, y),  # left, top
    6: lambda y, x, _h, w: (w - 1 - x, y),  # right, top
    7: lambda y, x, h, w: (w - 1 - x, h - 1 - y),  # right, bottom
    8: lambda y, x, h, _w: (x, h - 1 - y),  # left, bottom
}


def stored(orientation: int) -> Pixels:
    sides = (WIDTH, HEIGHT) if orientation > 4 else (HEIGHT, WIDTH)
    found = np.zeros((*sides, 3), np.uint8)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            found[STORED[orientation](y, x, HEIGHT, WIDTH)] = UPRIGHT[y, x]
    return found


def seen(path: Path, orientation: int) -> Pixels:
    """Return what has to be seen, to the pixel: what the decoder gives, each pixel in its place."""
    if path.suffix != ".jpg":
        return UPRIGHT
    decoded = jpeg.decode(path.read_bytes(), path.name)
    found = np.zeros_like(UPRIGHT)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            found[y, x] = decoded[STORED[orientation](y, x, HEIGHT, WIDTH)]
    assert np.abs(found.astype(int) - UPRIGHT).mean() < 10
    return found


def exif(orientation: int, order: str) -> bytes:
    """Return a directory of two entries, of which the second is the orientation."""
    head = struct.pack(f"{order}HI", 42, 8)
    make = struct.pack(f"{order}HHHI4s", 2, 0x010F, 2, 2, b"x\0\0\0")
    turn = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return (b"II" if order == "<" else b"MM") + head + make + turn + bytes(4)


def write(path: Path, orientation: int, order: str = "<") -> Path:
    """Write the picture, stored turned, with the word of how to turn it back."""
    suffix, pixels = path.suffix, stored(orientation)
    if suffix == ".tiff":
        path.write_bytes(tiff(pixels, orientation))
    elif suffix == ".jpg":
        content = cv2.imencode(suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        word = b"Exif\0\0" + exif(orientation, order)
        segment = b"\xff\xe1" + struct.pack(">H", len(word) + 2) + word
        path.write_bytes(content[:2] + segment + content[2:])
    else:
        raw = np.frombuffer(exif(orientation, order), np.uint8)
        lossless = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
        metadata: Any = ([cv2.IMAGE_METADATA_EXIF], [raw], lossless)
        path.write_bytes(cv2.imencodeWithMetadata(suffix, pixels, *metadata)[1].tobytes())
    return path


def tiff(pixels: Pixels, orientation: int) -> bytes:
    """Return an uncompressed TIFF, written by hand: OpenCV writes no orientation."""
    height, width = pixels.shape[:2]
    entries = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 1, 8), (259, 3, 1, 1),
        (262, 3, 1, 2), (273, 4, 1, 8), (274, 3, 1, orientation), (277, 3, 1, 3),
        (278, 3, 1, height), (279, 4, 1, pixels.size),
    ]  # fmt: skip
    entries[2] = (258, 3, 3, 8 + pixels.size)
    at = 8 + pixels.size + 6
    rows = b"".join(struct.pack("<HHI", *one[:3]) + struct.pack("<I", one[3]) for one in entries)
    bits = struct.pack("<HHH", 8, 8, 8)
    head = b"II" + struct.pack("<HI", 42, at)
    data = np.ascontiguousarray(pixels[..., ::-1]).tobytes()
    return head + data + bits + struct.pack("<H", len(entries)) + rows + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"], ids=["Intel", "Motorola"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_seen_upright(
    orientation: int, suffix: str, order: str, tmp_path: Path
) -> None:
    path = write(tmp_path / f"turned{suffix}", orientation, order)
    frame = read_image(path, SystemClock(), 0)
    assert (frame.width, frame.height) == (WIDTH, HEIGHT)
    assert frame.planes[0].flags.c_contiguous
    assert np.array_equal(frame.planes[0], seen(path, orientation))


@pytest.mark.parametrize("orientation", [6, 7])
def test_folders_and_the_benchmark_see_the_same(orientation: int, tmp_path: Path) -> None:
    path = write(tmp_path / "turned.jpg", orientation)
    one = source(f"images:{tmp_path}")
    one.open()
    frame, benched = one.read(), one_picture(path)
    assert frame is not None
    assert np.array_equal(frame.planes[0], seen(path, orientation))
    assert np.array_equal(benched.planes[0], seen(path, orientation))


def test_boxes_are_told_in_the_upright_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "turned.jpg", 6)
    assert cli.main(["detect", "--accelerator", "cpu", "--json", str(path)]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["width"], row["height"]) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int, tmp_path: Path) -> None:
    path = write(tmp_path / "plain.jpg", 1)
    content = path.read_bytes()
    strange = content.replace(exif(1, "<"), exif(orientation, "<"))
    assert strange != content
    plain = read_image(path, SystemClock(), 0).planes[0]
    path.write_bytes(strange)
    assert np.array_equal(read_image(path, SystemClock(), 0).planes[0], plain)
