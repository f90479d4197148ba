"""The timecode survives the way to the model, and noise is never taken for one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sources.pictures import timecode
from appliance.values import Frame, PixelFormat
from appliance.vision.preprocess import Preprocessor, View


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize("size", [(320, 240), (640, 480), (1280, 720), (1920, 1080)])
def test_it_is_read_from_the_models_picture(size: tuple[int, int], fit: str) -> None:
    width, height = size
    pixels = np.full((height, width, 3), 120, np.uint8)
    timecode.draw(pixels, 123_456_789_012_345, 4711)
    out = np.zeros((300, 300, 3), np.uint8)
    view = View(fit="letterbox" if fit == "letterbox" else "stretch")
    plan = Preprocessor(view, 300, 300).run(
        Frame((pixels,), PixelFormat.BGR24, width, height, 0, 0), out
    )
    x, y, w, h = plan.placed
    if (h, fit) == (168, "letterbox"):  # cells of 4 pixels: still readable
        assert h * timecode.CELL_SHARE > 4
    assert timecode.read(out[y : y + h, x : x + w]) == timecode.Timecode(123_456_789_012, 4711)


@given(st.integers(0, 2**32 - 1))
def test_noise_is_no_timecode(seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    assert timecode.read(np.asarray(cv2.blur(noise, (3, 3)), np.uint8)) is None
