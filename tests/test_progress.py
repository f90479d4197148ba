"""Frozen pictures: the same to the bit for so long is a fault, anything that moves is none."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.clock import NS_PER_SECOND
from appliance.pipeline.progress import REMEMBERED, Progress, StillPicture
from appliance.values import Frame, PixelFormat, Pixels, plane_shapes
from tests.helpers import source


def frame(*planes: Pixels, kind: PixelFormat = PixelFormat.BGR24) -> Frame:
    height, width = planes[0].shape[:2]
    return Frame(planes=planes, format=kind, width=width, height=height, captured_ns=0, seq=0)


def frozen_after(still: StillPicture, pictures: list[Frame], fps: float = 20) -> float | None:
    """Return after how many seconds the picture was called frozen."""
    for number, one in enumerate(pictures):
        still.look(one, round((1 + number / fps) * NS_PER_SECOND))
        if still.frozen:
            return number / fps
    return None


def noise(rng: np.random.Generator, shape: tuple[int, ...] = (240, 320, 3)) -> Pixels:
    return rng.integers(0, 255, shape, np.uint8)


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (PixelFormat.BGR24, (320, 240)),
        (PixelFormat.NV12, (320, 240)),
        (PixelFormat.I420, (4, 6)),
        (PixelFormat.I420, (5, 7)),
    ],
)
def test_the_same_picture_for_its_limit_is_frozen(kind: PixelFormat, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    one = frame(*(noise(rng, shape) for shape in plane_shapes(kind, *size)), kind=kind)
    after = frozen_after(StillPicture(lambda: 5), [one] * 200)
    assert after is not None
    assert 4.5 <= after <= 5.0


def test_of_a_picture_decoded_smaller_every_row_that_there_is_may_be_life() -> None:
    rng = np.random.default_rng(9)
    still, pixels = StillPicture(lambda: 5), noise(rng, (90, 160, 3))
    for number in range(60):
        pixels = pixels.copy()
        pixels[5] = rng.integers(0, 255, (160, 3))
        one = Frame((pixels,), PixelFormat.BGR24, 1280, 720, 0, 0, reduction=8)
        still.look(one, round((1 + number / 4) * NS_PER_SECOND))
    assert not still.frozen


@pytest.mark.parametrize("kind", [PixelFormat.NV12, PixelFormat.I420])
def test_a_change_of_any_plane_is_life(kind: PixelFormat) -> None:
    shapes = plane_shapes(kind, 16, 12)
    for changing in range(len(shapes)):
        still, rng = StillPicture(lambda: 5), np.random.default_rng(2)
        for number in range(60):
            planes = [np.full(shape, 90, np.uint8) for shape in shapes]
            planes[changing] = noise(rng, shapes[changing])
            still.look(frame(*planes, kind=kind), round((1 + number / 4) * NS_PER_SECOND))
        assert not still.frozen


def test_a_picture_that_froze_was_so_since_it_was_looked_at_last() -> None:
    rng = np.random.default_rng(2)
    last = frame(noise(rng))
    moving = [frame(noise(rng)) for _ in range(53)]
    after = frozen_after(StillPicture(lambda: 5), moving + [last] * 200)
    assert after is not None
    assert 4.5 <= after - 53 / 20 <= 5.0


def test_one_noisy_line_is_life_enough() -> None:
    rng = np.random.default_rng(3)
    still = StillPicture(lambda: 5)
    pixels = noise(rng, (1080, 1920, 3))
    for number in range(60):
        changed = pixels.copy()
        changed[500:524, 900:910] = rng.integers(0, 255)  # 24 rows of 1080: a distant walker
        still.look(frame(changed), round((1 + number / 4) * NS_PER_SECOND))
    assert not still.frozen


def test_it_tells_when_it_freezes_and_when_it_moves_again() -> None:
    rng = np.random.default_rng(4)
    still, one = StillPicture(lambda: 5), frame(noise(rng))
    news = [still.look(one, round(n / 4 * NS_PER_SECOND)) for n in range(4, 40)]
    assert news.count(True) == 1
    assert still.look(frame(noise(rng)), 11 * NS_PER_SECOND)
    assert not still.frozen
    still.look(one, 20 * NS_PER_SECOND)
    still.forget()
    assert not still.look(one, 30 * NS_PER_SECOND)


def test_a_limit_of_zero_never_looks() -> None:
    assert (
        frozen_after(StillPicture(lambda: 0), [frame(noise(np.random.default_rng(5)))] * 999)
        is None
    )


def test_pictures_of_a_changed_size_are_not_alike() -> None:
    sizes = [(240, 320, 3), (240, 322, 3)]
    black = [frame(np.zeros(sizes[n // 30 % 2], np.uint8)) for n in range(300)]
    assert frozen_after(StillPicture(lambda: 5), black) is None


def test_the_synthetic_camera_lives() -> None:
    camera = source("synthetic", width=1280, height=720, options={"rate": "file", "frames": 60})
    camera.open()
    pictures = [camera.read() for _ in range(60)]
    camera.close()
    frames = [one for one in pictures if one is not None]
    assert frozen_after(StillPicture(lambda: 1), frames, fps=4) is None


def at(seconds: float) -> int:
    return round(seconds * NS_PER_SECOND)


def test_the_usual_time_between_results_is_the_median() -> None:
    progress = Progress()
    assert (progress.opened_ns, progress.result_ns, progress.interval_seconds) == (None, None, None)
    progress.result(at(10))
    assert (progress.result_ns, progress.interval_seconds) == (at(10), None)
    progress.result(at(11))
    assert progress.interval_seconds == 1
    for moment in (13, 15, 100):  # gaps of 1, 2, 2, 85
        progress.result(at(moment))
    assert progress.interval_seconds == 2
    assert progress.result_ns == at(100)


def test_only_the_last_results_say_what_is_usual() -> None:
    progress = Progress()
    for number in range(10):
        progress.result(at(number))
    for number in range(REMEMBERED):
        progress.result(at(1000 + 5 * number))
    assert progress.interval_seconds == 5


def test_opening_begins_anew_and_closing_ends_it() -> None:
    progress = Progress()
    for number in range(5):
        progress.result(at(number))
    progress.opened(at(50))
    assert (progress.opened_ns, progress.result_ns, progress.interval_seconds) == (
        at(50), None, None,
    )  # fmt: skip
    progress.result(at(60))
    progress.result(at(67))
    assert progress.interval_seconds == 7
    progress.closed()
    assert progress.opened_ns is None


def test_nothing_new_is_as_good_as_a_result_unless_one_is_owed() -> None:
    progress = Progress()
    progress.still(at(1))
    assert progress.result_ns == at(1)
    progress.admitted(at(2))
    progress.still(at(3))
    assert progress.result_ns == at(1)
    progress.result(at(4))
    progress.still(at(5))
    assert progress.result_ns == at(5)
    progress.admitted(at(5))  # at the same moment: it was answered
    progress.still(at(6))
    assert progress.result_ns == at(6)
    progress.admitted(at(7))
    progress.opened(at(8))  # what was owed before is owed no more
    progress.still(at(9))
    assert progress.result_ns == at(9)


def test_four_pictures_a_second_are_looked_at() -> None:
    rng = np.random.default_rng(6)
    still, one, other = StillPicture(lambda: 1), frame(noise(rng)), frame(noise(rng))
    still.look(one, at(10))
    for number in range(1, 40):  # what differs comes between two looks, and is not seen
        still.look(other if number % 2 else one, at(10) + number * NS_PER_SECOND // 8)
    assert still.frozen
    still.look(other, at(15.25))
    assert not still.frozen


def test_after_a_gap_a_picture_is_half_a_second_old_at_most() -> None:
    rng = np.random.default_rng(8)
    still, one = StillPicture(lambda: 1), frame(noise(rng))
    still.look(frame(noise(rng)), at(1))
    assert not any(still.look(one, at(moment)) for moment in (10, 10.1, 10.45, 10.5))
    assert not still.frozen  # the second look came at 10.45, and a third too soon
    assert still.look(one, at(10.7))


def test_of_a_low_picture_every_row_is_looked_at() -> None:
    rng = np.random.default_rng(7)
    still, pixels = StillPicture(lambda: 1), noise(rng, (90, 1920, 3))
    for number in range(40):
        changed = pixels.copy()
        changed[5] = rng.integers(0, 255, (1920, 3))
        still.look(frame(changed), at(1 + number / 4))
    assert not still.frozen


def test_a_picture_that_a_camera_looked_at_itself_is_none_to_judge() -> None:
    from appliance.values import Seen

    seen = Seen("chip", "m", np.zeros((0, 4), np.float32), np.zeros(0, np.float32), ())
    pixels = np.zeros((4, 4, 3), np.uint8)
    one = Frame((pixels,), PixelFormat.BGR24, 4, 4, captured_ns=0, seq=0, seen=seen)
    assert frozen_after(StillPicture(lambda: 1), [one] * 100) is None
