"""Frames of any format and view reach the model right; boxes find their way back."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.preprocess import Preprocessor, View, boxes_to_source, layout
from appliance.values import Frame, PixelFormat, Pixels

RED, BLUE = (255, 0, 0), (0, 0, 255)
SIDE = st.integers(10, 300).map(lambda n: n * 2)


def picture() -> Pixels:
    """Return RGB 80x120: red, with a blue patch at the top left."""
    rgb = np.full((80, 120, 3), RED, np.uint8)
    rgb[:20, :30] = BLUE
    return rgb


def frame(pixel_format: PixelFormat) -> Frame:
    rgb = picture()
    makers: dict[PixelFormat, Any] = {
        PixelFormat.RGB24: rgb.copy,
        PixelFormat.BGR24: rgb[..., ::-1].copy,
        PixelFormat.I420: lambda: cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420),
        PixelFormat.NV12: lambda: nv12(rgb),
    }
    made = makers[pixel_format]()
    return Frame(made, pixel_format, 120, 80, 0, 0)


def nv12(rgb: Pixels) -> Pixels:
    i420 = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420))
    h = rgb.shape[0]
    u, v = i420[h:].reshape(2, h // 2, rgb.shape[1] // 2)
    out: Pixels = np.vstack([i420[:h], np.dstack([u, v]).reshape(h // 2, -1)])
    return out


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
