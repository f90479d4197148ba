"""Frames of any format and view reach the model right; boxes find their way back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from appliance.values import BT601_LIMITED, Colours, Frame, Matrix, PixelFormat, Pixels
from appliance.vision.preprocess import Preprocessor, View, boxes_to_source, layout, reduction_for

if TYPE_CHECKING:
    from appliance.vision.preprocess import Placement

Floats: TypeAlias = NDArray[np.float64]

RED, BLUE = (255, 0, 0), (0, 0, 255)
SIDE = st.integers(10, 300).map(lambda n: n * 2)
ANY_COLOURS = [Colours(matrix, full_range=full) for matrix in Matrix for full in (False, True)]
WEIGHTS = {
    Matrix.BT601: (0.299, 0.114),
    Matrix.BT709: (0.2126, 0.0722),
    Matrix.BT2020: (0.2627, 0.0593),
}


def picture() -> Pixels:
    """Return RGB 80x120: red, with a blue patch at the top left."""
    rgb = np.full((80, 120, 3), RED, np.uint8)
    rgb[:20, :30] = BLUE
    return rgb


def frame(
    pixel_format: PixelFormat, rgb: Floats | None = None, colours: Colours = BT601_LIMITED
) -> Frame:
    """Return ``rgb``, 0..255 of any size, in a format; the plain picture if none is given."""
    given = picture().astype(float) if rgb is None else rgb
    height, width = given.shape[:2]
    if pixel_format in {PixelFormat.RGB24, PixelFormat.BGR24}:
        step = 1 if pixel_format is PixelFormat.RGB24 else -1
        planes: tuple[Pixels, ...] = (given[..., ::step].round().astype(np.uint8, order="C"),)
    else:
        y, u, v = coded(given, colours)
        chroma = (u, v) if pixel_format is PixelFormat.I420 else (np.dstack([u, v]),)
        planes = (y, *chroma)
    return Frame(planes, pixel_format, width, height, 0, 0, colours=colours)


def coded(rgb: Floats, colours: Colours) -> list[Pixels]:
    """Return Y, U and V of a picture as the recommendations define them, each U and V of four."""
    kr, kb = WEIGHTS[colours.matrix]
    red, green, blue = np.moveaxis(rgb / 255, 2, 0)
    y = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    y, u, v = (
        (255 * y, 128 + 255 * u, 128 + 255 * v)
        if colours.full_range
        else (16 + 219 * y, 128 + 224 * u, 128 + 224 * v)
    )
    halves = [mean_of_four(plane) for plane in (u, v)]
    return [plane.round().clip(0, 255).astype(np.uint8) for plane in (y, *halves)]


def mean_of_four(plane: Floats) -> Floats:
    """Return half the size, rounded up: the last row and column of an odd size count twice."""
    height, width = plane.shape
    even = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    small: Floats = even.reshape(len(even) // 2, 2, -1, 2).mean((1, 3))
    return small


def reference(one: Frame, plan: Placement, view: View, size: tuple[int, int]) -> Floats:
    """Return what the model must see of a frame, in float64 throughout."""
    x0, y0, x1, y1 = plan.crop
    width, height = plan.target
    if len(one.planes) == 1:
        step = -1 if one.format is PixelFormat.BGR24 else 1
        rgb = bilinear(one.planes[0][y0:y1, x0:x1, ::step].astype(float), width, height)
    else:
        luma = bilinear(one.planes[0][y0:y1, x0:x1].astype(float), width, height)
        both = np.dstack(one.planes[1:])[y0 // 2 : -(-y1 // 2), x0 // 2 : -(-x1 // 2)]
        # OpenCV's own conversion takes one U and V for four pixels of the model's.
        step = 2 if one.colours == BT601_LIMITED and not (width % 2 or height % 2) else 1
        chroma = bilinear(both.astype(float), width // step, height // step)
        chroma = chroma.repeat(step, 0).repeat(step, 1)
        rgb = decoded(np.dstack([luma, chroma]), one.colours)
    rgb = np.rot90(rgb, -view.rotation // 90)
    rgb = rgb[:: -1 if view.flip_vertical else 1, :: -1 if view.flip_horizontal else 1]
    x, y, w, h = plan.placed
    out = np.full((size[1], size[0], 3), 128.0)
    out[y : y + h, x : x + w] = rgb
    return out


def decoded(yuv: Floats, colours: Colours) -> Floats:
    kr, kb = WEIGHTS[colours.matrix]
    y, u, v = np.moveaxis(yuv, 2, 0)
    y, u, v = (
        (y / 255, (u - 128) / 255, (v - 128) / 255)
        if colours.full_range
        else ((y - 16) / 219, (u - 128) / 224, (v - 128) / 224)
    )
    red, blue = y + (2 - 2 * kr) * v, y + (2 - 2 * kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return (np.dstack([red, green, blue]) * 255).clip(0, 255)


def bilinear(plane: Floats, width: int, height: int) -> Floats:
    """Resize with the middles of the pixels where OpenCV has them."""
    for axis, size in ((0, height), (1, width)):
        length = plane.shape[axis]
        at = ((np.arange(size) + 0.5) * length / size - 0.5).clip(0, length - 1)
        low = at.astype(int)
        high = np.minimum(low + 1, length - 1)
        share = (at - low).reshape([-1 if n == axis else 1 for n in range(plane.ndim)])
        plane = plane.take(low, axis) * (1 - share) + plane.take(high, axis) * share
    return plane


def smooth(width: int, height: int, seed: int) -> Floats:
    """Return a picture of every colour without edges: half the chroma is all of it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    waves = rng.uniform(-4, 4, (3, 2)), rng.uniform(0, 7, 3)
    channels = [
        127.5 + 127.5 * np.sin(along[0] * x + along[1] * y + phase)
        for along, phase in zip(*waves, strict=True)
    ]
    return np.dstack(channels)


SIZES = st.tuples(st.integers(40, 160), st.integers(40, 160))
VIEWS = st.builds(
    View,
    rotation=st.sampled_from([0, 90, 180, 270]),
    flip_horizontal=st.booleans(),
    flip_vertical=st.booleans(),
    crop=st.sampled_from([(0.0, 0.0, 1.0, 1.0), (0.25, 0.1, 0.5, 0.9), (0.5, 0.4, 0.5, 0.6)]),
    fit=st.sampled_from(["stretch", "letterbox"]),
)


@settings(deadline=None)
@given(
    st.sampled_from(list(PixelFormat)),
    st.sampled_from(ANY_COLOURS),
    SIZES,
    st.tuples(st.integers(30, 90), st.integers(30, 90)),
    VIEWS,
    st.integers(0, 99),
)
def test_the_model_sees_what_exact_arithmetic_makes_of_the_frame(
    pixel_format: PixelFormat,
    colours: Colours,
    size: tuple[int, int],
    target: tuple[int, int],
    view: View,
    seed: int,
) -> None:
    one = frame(pixel_format, smooth(*size, seed), colours)
    out = np.zeros((target[1], target[0], 3), np.uint8)
    plan = Preprocessor(view, *target).run(one, out)
    assert np.abs(out - reference(one, plan, view, target)).mean() < 1


@pytest.mark.parametrize("pixel_format", [PixelFormat.I420, PixelFormat.NV12])
@pytest.mark.parametrize("colours", ANY_COLOURS)
@pytest.mark.parametrize("size", [(128, 96), (129, 97)])
def test_a_picture_comes_out_as_it_went_into_its_colour_space(
    pixel_format: PixelFormat, colours: Colours, size: tuple[int, int]
) -> None:
    rgb = smooth(*size, seed=3)
    out = np.zeros((size[1], size[0], 3), np.uint8)
    Preprocessor(View(), *size).run(frame(pixel_format, rgb, colours), out)
    assert np.abs(out - rgb).mean() < 1.5
    other = Colours(colours.matrix, full_range=not colours.full_range)
    Preprocessor(View(), *size).run(replace(frame(pixel_format, rgb, colours), colours=other), out)
    assert np.abs(out - rgb).mean() > 5  # read wrongly, it is seen


@given(st.integers(1, 400), st.integers(1, 400), VIEWS)
def test_a_part_of_any_size_lies_in_the_frame_and_a_whole_is_whole(
    width: int, height: int, view: View
) -> None:
    x0, y0, x1, y1 = layout(view, width, height, 300, 300).crop
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
    assert x0 % 2 == y0 % 2 == 0
    assert x1 % 2 == 0 or x1 == width
    assert y1 % 2 == 0 or y1 == height
    if view.crop == (0.0, 0.0, 1.0, 1.0):
        assert (x0, y0, x1, y1) == (0, 0, width, height)


@pytest.mark.parametrize("pixel_format", list(PixelFormat))
@pytest.mark.parametrize("size", [(60, 40), (61, 41)])
def test_every_format_gives_the_same_picture(
    pixel_format: PixelFormat, size: tuple[int, int]
) -> None:
    width, height = size
    out = np.zeros((height, width, 3), np.uint8)
    Preprocessor(View(), width, height).run(frame(pixel_format), out)
    assert np.abs(out[2, 2].astype(int) - BLUE).max() < 12
    assert np.abs(out[-3, -3].astype(int) - RED).max() < 12


@pytest.mark.parametrize(
    ("view", "corner"),
    [
        (View(), (0, 0)),
        (View(rotation=90), (0, -1)),
        (View(rotation=180), (-1, -1)),
        (View(rotation=270), (-1, 0)),
        (View(flip_horizontal=True), (0, -1)),
        (View(flip_vertical=True), (-1, 0)),
        (View(rotation=90, flip_horizontal=True), (0, 0)),
        (View(rotation=180, flip_horizontal=True, flip_vertical=True), (0, 0)),
    ],
)
def test_turning_moves_the_patch_and_the_boxes_agree(view: View, corner: tuple[int, int]) -> None:
    out = np.zeros((64, 64, 3), np.uint8)
    plan = Preprocessor(view, 64, 64).run(frame(PixelFormat.BGR24), out)
    row, column = (1 if c == 0 else -2 for c in corner)
    assert tuple(out[row, column]) == BLUE
    blue = np.argwhere(out[..., 2] > 128) / 64
    (y0, x0), (y1, x1) = blue.min(axis=0), blue.max(axis=0) + 1 / 64
    box = boxes_to_source(np.asarray([[x0, y0, x1, y1]], np.float32), plan, 64, 64)[0]
    upright_w, upright_h = plan.upright
    assert (box[2] - box[0]) * upright_w == pytest.approx(30 if upright_w == 120 else 20, abs=3)
    assert (box[3] - box[1]) * upright_h == pytest.approx(20 if upright_h == 80 else 30, abs=3)


@given(
    SIDE,
    SIDE,
    st.sampled_from([0, 90, 180, 270]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["stretch", "letterbox"]),
)
def test_the_whole_view_maps_onto_the_whole_frame(
    width: int, height: int, rotation: Any, flip_h: bool, flip_v: bool, fit: Any
) -> None:
    view = View(rotation=rotation, flip_horizontal=flip_h, flip_vertical=flip_v, fit=fit)
    plan = layout(view, width, height, 300, 300)
    x, y, w, h = plan.placed
    shown = np.asarray([[x / 300, y / 300, (x + w) / 300, (y + h) / 300]], np.float32)
    mapped = boxes_to_source(shown, plan, 300, 300)[0]
    assert mapped == pytest.approx([0, 0, 1, 1], abs=1e-5)


@given(
    st.integers(16, 4000),
    st.integers(16, 4000),
    st.integers(32, 640),
    st.integers(32, 640),
    VIEWS,
)
def test_a_frame_is_decoded_as_small_as_the_part_that_is_looked_at_allows(
    width: int, height: int, input_width: int, input_height: int, view: View
) -> None:
    def is_enough(by: int) -> bool:
        plan = layout(view, -(-width // by), -(-height // by), input_width, input_height)
        x0, y0, x1, y1 = plan.crop
        return x1 - x0 >= plan.target[0] and y1 - y0 >= plan.target[1]

    by = reduction_for(view, width, height, input_width, input_height)
    assert by in {1, 2, 4, 8}
    assert by == 1 or is_enough(by)
    assert by == 8 or not is_enough(2 * by)


@pytest.mark.parametrize(
    ("view", "size", "by"),
    [
        (View(), (1920, 1080), 2),  # of height 1080 / 4 = 270 is too little
        (View(fit="letterbox"), (1920, 1080), 4),
        (View(rotation=90), (1080, 1920), 2),
        (View(), (599, 600), 2),
        (View(), (598, 600), 1),
        (View(), (2400, 2400), 8),
        (View(crop=(0.0, 0.0, 0.5, 0.5)), (1920, 1080), 1),
        (View(crop=(0.0, 0.0, 0.5, 1.0)), (2400, 1200), 4),
        (View(), (200, 100), 1),
    ],
)
def test_how_small_a_frame_is_decoded_for_300x300(
    view: View, size: tuple[int, int], by: int
) -> None:
    assert reduction_for(view, *size, 300, 300) == by


@settings(deadline=None)
@given(st.sampled_from([2, 4, 8]), SIZES, VIEWS, st.integers(0, 99))
def test_what_was_decoded_smaller_lies_where_it_lay(
    by: int, size: tuple[int, int], view: View, seed: int
) -> None:
    width, height = size[0] * by, size[1] * by
    whole = frame(PixelFormat.RGB24, smooth(width, height, seed))
    means = whole.planes[0].reshape(size[1], by, size[0], by, 3).mean((1, 3))
    small = replace(whole, planes=(means.round().astype(np.uint8),), reduction=by)
    outs, plans = [], []
    for one in (whole, small):
        outs.append(np.zeros((40, 40, 3), np.uint8))
        plans.append(Preprocessor(view, 40, 40).run(one, outs[-1]))
    assert plans[0].upright == plans[1].upright
    box = np.asarray([[0.2, 0.3, 0.6, 0.9]], np.float32)
    places = [boxes_to_source(box, plan, 40, 40) for plan in plans]
    assert np.abs(places[0] - places[1]).max() < 0.08  # bars and parts are whole, even pixels
    if view.crop == (0.0, 0.0, 1.0, 1.0) and view.fit == "stretch":
        assert np.array_equal(places[0], places[1])
        assert np.abs(outs[0].astype(float) - outs[1]).mean() < 4


def test_a_crop_sees_only_its_part_and_reports_in_the_full_frame() -> None:
    view = View(crop=(0.5, 0.5, 0.5, 0.5))
    out = np.zeros((32, 32, 3), np.uint8)
    plan = Preprocessor(view, 32, 32).run(frame(PixelFormat.RGB24), out)
    assert (out == np.asarray(RED)).all()
    box = boxes_to_source(np.asarray([[0, 0, 1, 1]], np.float32), plan, 32, 32)[0]
    assert box == pytest.approx([0.5, 0.5, 1, 1], abs=0.03)


def test_nothing_is_allocated_for_a_second_frame() -> None:
    one = Preprocessor(View(rotation=90, fit="letterbox"), 64, 64)
    out = np.zeros((64, 64, 3), np.uint8)
    one.run(frame(PixelFormat.I420), out)
    before = {key: id(buffer) for key, buffer in one._scratch.items()}
    one.run(frame(PixelFormat.I420), out)
    assert {key: id(buffer) for key, buffer in one._scratch.items()} == before
