"""From a camera's frame to an upright JPEG, clean or with boxes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import simplejpeg

from appliance.vision.preprocess import Preprocessor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.values import Frame, Pixels
    from appliance.vision.preprocess import View

_WHOLE = (0.0, 0.0, 1.0, 1.0)
_FRAME_COLOUR, _TEXT_COLOUR = (0, 230, 118), (0, 0, 0)
_FONT, _FONT_SCALE, _THICKNESS = cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1


class Drawer:
    """Makes pictures of one camera. Not thread-safe.

    Args:
        view: how the camera hangs; the whole picture is shown, whatever part is looked at.
        longest_side: pixels; a larger picture is made smaller.
        quality: of the JPEG, 1..100.
    """

    def __init__(self, view: View, longest_side: int, quality: int) -> None:
        self._view = replace(view, crop=_WHOLE, fit="stretch")
        self._longest = longest_side
        self._quality = quality
        self._made: tuple[tuple[int, int], Preprocessor] | None = None

    def upright(self, frame: Frame) -> Pixels:
        """Return the whole picture as it stands upright, uint8 RGB (h, w, 3).

        Raises:
            FrameError: the picture cannot be resized.
        """
        width, height = frame.decoded_size
        if self._view.rotation in {90, 270}:
            width, height = height, width
        scale = min(1.0, self._longest / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        if self._made is None or self._made[0] != size:
            self._made = size, Preprocessor(self._view, *size)
        rgb = np.empty((size[1], size[0], 3), np.uint8)
        self._made[1].run(frame, rgb)
        return rgb

    def encode(self, rgb: Pixels) -> bytes:
        """Return a picture as a JPEG."""
        return bytes(
            simplejpeg.encode_jpeg(
                np.ascontiguousarray(rgb), self._quality, colorspace="RGB", colorsubsampling="420"
            )
        )


def with_boxes(
    rgb: Pixels, boxes: Iterable[tuple[str, tuple[float, float, float, float]]]
) -> Pixels:
    """Return a copy of a picture with boxes on it.

    Args:
        rgb: uint8 (h, w, 3).
        boxes: words, and corners xmin, ymin, xmax, ymax in 0..1.
    """
    drawn = rgb.copy()
    height, width = drawn.shape[:2]
    for words, (x0, y0, x1, y1) in boxes:
        low = round(x0 * width), round(y0 * height)
        high = round(x1 * width) - 1, round(y1 * height) - 1
        cv2.rectangle(drawn, low, high, _FRAME_COLOUR, 2)
        (text_width, text_height), below = cv2.getTextSize(words, _FONT, _FONT_SCALE, _THICKNESS)
        bottom = max(low[1], text_height + below + 2)
        corner = low[0] + text_width + 4, bottom - text_height - below - 2
        cv2.rectangle(drawn, (low[0], bottom), corner, _FRAME_COLOUR, cv2.FILLED)
        place = low[0] + 2, bottom - below
        cv2.putText(drawn, words, place, _FONT, _FONT_SCALE, _TEXT_COLOUR, _THICKNESS, cv2.LINE_AA)
    return drawn
