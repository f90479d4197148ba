"""Value types refuse what means nothing."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from appliance.errors import FrameError
from appliance.values import Detections, Frame, Observation, PixelFormat, StageTimes

FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@pytest.mark.parametrize(
    ("pixels", "width", "height"),
    [
        (None, 4, 4),
        (np.zeros((0, 0, 3), np.uint8), 0, 0),
        (np.zeros((4, 4), np.uint8), 4, 4),
        (np.zeros((4, 4, 3), np.uint16), 4, 4),
        (np.zeros((4, 5, 3), np.uint8), 4, 4),
        (np.zeros((4, 4, 3), np.uint8)[..., ::-1], 4, 4),
    ],
)
def test_a_frame_must_have_its_shape(pixels: Any, width: int, height: int) -> None:
    with pytest.raises(FrameError):
        Frame((pixels,), PixelFormat.BGR24, width, height, 0, 0)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 4), (4, 7), (9, 3)])
@pytest.mark.parametrize(
    ("kind", "of_a_half"),
    [(PixelFormat.I420, [(), ()]), (PixelFormat.NV12, [(2,)])],
)
def test_planes_are_as_large_as_their_format_says_and_none_is_missing(
    kind: PixelFormat, of_a_half: list[tuple[int, ...]], size: tuple[int, int]
) -> None:
    width, height = size
    half = (math.ceil(height / 2), math.ceil(width / 2))
    shapes: list[tuple[int, ...]] = [(height, width), *((*half, *more) for more in of_a_half)]
    planes = tuple(np.zeros(shape, np.uint8) for shape in shapes)
    assert Frame(planes, kind, width, height, 0, 0).planes is planes
    wrong = [planes[:-1], (*planes, planes[-1])]
    for number, (above, *rest) in enumerate(shapes):
        larger = np.zeros((above + 1, *rest), np.uint8)
        wrong.append((*planes[:number], larger, *planes[number + 1 :]))
    for these in wrong:
        with pytest.raises(FrameError, match=f"{kind.value} of {width}x{height}"):
            Frame(these, kind, width, height, 0, 0)


@pytest.mark.parametrize(
    ("reduction", "shape"), [(1, (5, 9, 3)), (2, (3, 5, 3)), (4, (2, 3, 3)), (8, (1, 2, 3))]
)
def test_a_reduced_frame_has_so_many_pixels_fewer_and_keeps_the_cameras_size(
    reduction: int, shape: tuple[int, ...]
) -> None:
    pixels = np.zeros(shape, np.uint8)
    one = Frame((pixels,), PixelFormat.BGR24, 9, 5, 0, 0, reduction=reduction)
    assert (one.width, one.height) == (9, 5)
    assert one.decoded_size == (shape[1], shape[0])
    for other in {0, 1, 2, 4, 8} - {reduction}:
        with pytest.raises(FrameError):
            Frame((pixels,), PixelFormat.BGR24, 9, 5, 0, 0, reduction=other)


def test_rows_may_be_strided_to_any_distance() -> None:
    memory = np.zeros((4, 64), np.uint8)
    Frame((memory[:, :12].reshape(4, 4, 3),), PixelFormat.BGR24, 4, 4, 0, 0)
    Frame((memory, memory[:2, :32], memory[2:, :32]), PixelFormat.I420, 64, 4, 0, 0)


@given(
    st.integers(0, 20).flatmap(
        lambda n: st.tuples(
            hnp.arrays(np.float32, (n, 4), elements=FLOATS),
            hnp.arrays(np.float32, (n,), elements=FLOATS),
            hnp.arrays(np.int32, (n,)),
        )
    )
)
def test_only_meaningful_rows_survive(rows: tuple[Any, Any, Any]) -> None:
    boxes, scores, label_ids = rows
    found = Detections.of(boxes, scores, label_ids)
    assert len(found) + found.rejected == len(scores)
    assert np.isfinite(found.boxes).all()
    assert ((found.boxes >= 0) & (found.boxes <= 1)).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert (np.diff(found.scores) <= 0).all()


@given(st.lists(st.integers(0, 10**12), min_size=6, max_size=6))
def test_stages_add_up_exactly(stamps: list[int]) -> None:
    times = StageTimes(*sorted(stamps))
    assert sum(times.durations_ns) == times.latency_ns
    if stamps != sorted(stamps):
        with pytest.raises(ValueError, match="must not go back"):
            StageTimes(*stamps)


def test_finished_changes_the_end_and_nothing_else() -> None:
    """It is spelt out for speed, so a field that is added must not be forgotten there."""
    times = StageTimes(1, 2, 3, 4, 5, 6)
    values = {f.name: object() for f in fields(Observation)} | {"times": times}
    seen = Observation(**values)  # type: ignore[arg-type]
    expected = replace(seen, times=replace(times, done_ns=9))
    got = seen.finished(9)
    assert [getattr(got, f.name) for f in fields(got)] == [
        getattr(expected, f.name) for f in fields(expected)
    ]
