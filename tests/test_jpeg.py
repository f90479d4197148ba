"""JPEGs of sloppy cameras: stray bytes are no damage, a loss behind them is."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import FrameError
from appliance.sources.pictures import jpeg

if TYPE_CHECKING:
    from appliance.values import Pixels

PICTURE = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)
"""Sides that no block divides."""
PLAIN = cv2.imencode(".jpg", PICTURE)[1].tobytes()
GREY = cv2.imencode(".jpg", PICTURE[..., 0], [cv2.IMWRITE_JPEG_RST_INTERVAL, 5])[1].tobytes()
RESTARTS = cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_RST_INTERVAL, 3])[1].tobytes()
PROGRESSIVE = cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()


EVERY_REDUCTION = pytest.mark.parametrize("by", [1, 2, 4, 8])


def marks(content: bytes) -> list[int]:
    """Return where the restart marks are, and the end."""
    found = [mark.start() for mark in re.finditer(rb"\xff[\xd0-\xd7\xd9]", content)]
    assert len(found) > 1
    return found


def littered(content: bytes, count: int = 5) -> bytes:
    """The same picture with stray bytes before every mark in its scan."""
    at = marks(content)
    parts = [content[: at[0]], *(content[a:b] for a, b in pairwise([*at, len(content)]))]
    return (b"\x11" * count).join(parts)


@EVERY_REDUCTION
@pytest.mark.parametrize("count", [1, 5, 60])
@pytest.mark.parametrize("content", [RESTARTS, GREY], ids=["colour", "grey"])
def test_stray_bytes_before_restart_marks_cost_nothing(content: bytes, count: int, by: int) -> None:
    assert np.array_equal(
        jpeg.decode(littered(content, count), "stray", by), jpeg.decode(content, "clean", by)
    )


@EVERY_REDUCTION
@pytest.mark.parametrize(
    "content", [PLAIN, PROGRESSIVE, GREY], ids=["plain", "progressive", "grey"]
)
@pytest.mark.parametrize("count", [1, 16, 40])
def test_stray_bytes_before_the_end_cost_nothing(content: bytes, count: int, by: int) -> None:
    stray = content[:-2] + b"\x11" * count + content[-2:]
    assert np.array_equal(jpeg.decode(stray, "stray", by), jpeg.decode(content, "clean", by))


@EVERY_REDUCTION
def test_stray_bytes_in_the_head_cost_nothing(by: int) -> None:
    stray = RESTARTS[:2] + b"abc" + RESTARTS[2:]
    assert np.array_equal(jpeg.decode(stray, "stray", by), jpeg.decode(RESTARTS, "clean", by))


@EVERY_REDUCTION
def test_a_loss_that_hides_behind_stray_bytes_is_damage(by: int) -> None:
    """libjpeg tells of the first thing only, the stray bytes."""
    at = marks(RESTARTS)
    stray = RESTARTS[: at[0]] + b"\x11" * 20 + RESTARTS[at[0] : at[3] - 30] + RESTARTS[at[3] :]
    with pytest.raises(FrameError, match="20 extraneous bytes before marker 0xd0"):
        jpeg.decode(stray, "holed", by)


@EVERY_REDUCTION
def test_an_interval_that_is_missing_behind_stray_bytes_is_damage(by: int) -> None:
    at = marks(RESTARTS)
    stray = RESTARTS[: at[0]] + b"\x11" * 20 + RESTARTS[at[0] : at[3]] + RESTARTS[at[4] :]
    with pytest.raises(FrameError):
        jpeg.decode(stray, "holed", by)


@EVERY_REDUCTION
def test_eight_missing_intervals_are_damage_though_their_marks_go_on(by: int) -> None:
    at = marks(RESTARTS)
    stray = RESTARTS[: at[0]] + b"\x11" * 20 + RESTARTS[at[0] : at[1]] + RESTARTS[at[9] :]
    with pytest.raises(FrameError):
        jpeg.decode(stray, "holed", by)


@EVERY_REDUCTION
def test_too_much_left_over_is_damage(by: int) -> None:
    """What was decoded ended long before its data did: it is not what the camera saw."""
    at = marks(RESTARTS)
    with pytest.raises(FrameError, match="extraneous"):
        jpeg.decode(RESTARTS[: at[2]] + b"\x11" * 300 + RESTARTS[at[2] :], "garbled", by)


@settings(max_examples=300)
@given(
    st.sampled_from([littered(RESTARTS), littered(GREY), PLAIN[:-2] + b"\x11" * 30 + PLAIN[-2:]]),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([1, 2, 4, 8]),
)
def test_no_littered_jpeg_becomes_a_frame_when_it_is_cut(
    content: bytes, share: float, by: int
) -> None:
    with pytest.raises(FrameError):
        jpeg.decode(content[: int(len(content) * share)], "cut", by)


@settings(max_examples=200)
@given(st.binary(max_size=400), st.integers(2, len(RESTARTS)), st.sampled_from([1, 2, 4, 8]))
def test_rubbish_is_refused_in_words(rubbish: bytes, keep: int, by: int) -> None:
    content = littered(RESTARTS[:keep] + rubbish) if keep > 4000 else RESTARTS[:keep] + rubbish
    try:
        found: Pixels | None = jpeg.decode(content, "rubbish", by)
    except FrameError:
        found = None
    assert found is None or found.shape[2] == 3
    assert 1 <= jpeg.orientation(rubbish) <= 8


@settings(deadline=None)
@given(st.integers(1, 130), st.integers(1, 130), st.sampled_from([1, 2, 4, 8]))
def test_a_reduced_picture_shows_the_same_and_its_size_is_known(
    width: int, height: int, by: int
) -> None:
    y, x = np.mgrid[0:height, 0:width]
    flat = np.dstack([x, y, 255 - x]).clip(0, 255).astype(np.uint8)
    content = cv2.imencode(".jpg", flat, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    small = jpeg.decode(content, "flat", by)
    assert jpeg.size_of(content, "flat") == (width, height)
    assert small.shape == (-(-height // by), -(-width // by), 3)
    inside = flat[: height // by * by, : width // by * by].astype(float)
    means = inside.reshape(height // by, by, width // by, by, 3).mean((1, 3))
    off = np.abs(small[: height // by, : width // by] - means)
    assert off.sum() <= 3 * off.size


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", PLAIN[:100], b"GIF89a"])
def test_a_size_that_is_not_there_is_told_in_words(content: bytes) -> None:
    with pytest.raises(FrameError, match="cut: damaged JPEG"):
        jpeg.size_of(content, "cut")
