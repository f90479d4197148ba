"""From a frame to the model's input tensor: resize first, then turn, then colours.

Everything full-size happens once: one resize reads the camera's pixels; turning, mirroring and
colour conversion work on the model-sized picture. Nothing here allocates after the first frame
of a size (``Preprocessor`` keeps its scratch pictures), so each worker owns one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from appliance.errors import FrameError
from appliance.values import PixelFormat, reduced
from appliance.vision import yuv

if TYPE_CHECKING:
    from appliance.values import Floats, Frame, Pixels

Rotation = Literal[0, 90, 180, 270]
Fit = Literal["stretch", "letterbox"]

_ROTATE: dict[int, int] = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_LETTERBOX_GREY = 128
_WHOLE = (0.0, 0.0, 1.0, 1.0)
_REDUCTIONS = (8, 4, 2)
"""Of a JPEG's blocks of 8x8 pixels only the low frequencies are decoded, to 1x1, 2x2 or 4x4."""


@dataclass(frozen=True, slots=True)
class View:
    """How a camera looks at the world.

    Attributes:
        rotation: degrees clockwise that make the picture upright.
        flip_horizontal, flip_vertical: mirror the upright picture.
        crop: x, y, w, h in 0..1 of the upright picture; only this part is looked at.
        fit: ``stretch`` fills the model's input, ``letterbox`` keeps proportions with grey bars.
    """

    rotation: Rotation = 0
    flip_horizontal: bool = False
    flip_vertical: bool = False
    crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    fit: Fit = "stretch"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the pixels of one frame size go (pure arithmetic, see ``layout``).

    Attributes:
        crop: x0, y0, x1, y1 in pixels of the raw frame as it was decoded; even, for the chroma
            planes, except for the far edge of an odd size.
        target: width, height of the resized picture before it is turned.
        placed: x, y, w, h in pixels of the model's input that the turned picture fills.
        upright: width, height of the whole frame, upright, in pixels of the camera.
        part: x, y, w, h in 0..1 of the upright frame that ``crop`` covers.
    """

    crop: tuple[int, int, int, int]
    target: tuple[int, int]
    placed: tuple[int, int, int, int]
    upright: tuple[int, int]
    part: tuple[float, float, float, float]


def layout(view: View, width: int, height: int, input_width: int, input_height: int) -> Placement:
    """Work out crop, resize and placement of a raw ``width`` x ``height`` frame."""
    sideways = view.rotation in (90, 270)
    upright = (height, width) if sideways else (width, height)
    x0, y0, x1, y1 = _raw_crop(view, width, height)
    part_raw = (x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height)
    shown = (y1 - y0, x1 - x0) if sideways else (x1 - x0, y1 - y0)
    placed = (0, 0, input_width, input_height)
    if view.fit == "letterbox":
        scale = min(input_width / shown[0], input_height / shown[1])
        w = max(2, min(input_width, round(shown[0] * scale / 2) * 2))
        h = max(2, min(input_height, round(shown[1] * scale / 2) * 2))
        placed = ((input_width - w) // 2, (input_height - h) // 2, w, h)
    target = (placed[3], placed[2]) if sideways else (placed[2], placed[3])
    return Placement((x0, y0, x1, y1), target, placed, upright, _to_upright(view, part_raw))


@lru_cache(maxsize=64)
def reduction_for(view: View, width: int, height: int, input_width: int, input_height: int) -> int:
    """Return 1, 2, 4 or 8: by how much a frame may be decoded smaller and lose nothing.

    The part that is looked at must still be as large as what it is resized to.
    """
    for by in _REDUCTIONS:
        plan = layout(view, *reduced(width, height, by), input_width, input_height)
        x0, y0, x1, y1 = plan.crop
        if x1 - x0 >= plan.target[0] and y1 - y0 >= plan.target[1]:
            return by
    return 1


def same_boxes(plan: Placement, input_width: int, input_height: int) -> bool:
    """Say whether boxes of the model's input are boxes of the whole upright frame already."""
    return plan.part == _WHOLE and plan.placed == (0, 0, input_width, input_height)


def boxes_to_source(boxes: Floats, plan: Placement, input_width: int, input_height: int) -> Floats:
    """Map boxes (n, 4) xyxy in 0..1 of the model's input to 0..1 of the upright frame."""
    x, y, w, h = plan.placed
    part_x, part_y, part_w, part_h = plan.part
    scale = np.array([input_width / w, input_height / h] * 2, np.float32)
    shift = np.array([x / w, y / h] * 2, np.float32)
    size = np.array([part_w, part_h] * 2, np.float32)
    origin = np.array([part_x, part_y] * 2, np.float32)
    mapped = (boxes * scale - shift) * size + origin
    low, high = origin[:2], origin[:2] + size[:2]
    clipped: Floats = np.clip(mapped, np.tile(low, 2), np.tile(high, 2)).astype(np.float32)
    return clipped


class Preprocessor:
    """Writes frames into model inputs of one size; not thread-safe, one for each worker."""

    def __init__(self, view: View, input_width: int, input_height: int) -> None:
        self._view = view
        self._input = (input_width, input_height)
        self._plans: dict[tuple[int, int, int], Placement] = {}
        self._scratch: dict[tuple[str, tuple[int, ...]], Pixels] = {}

    def plan(self, frame: Frame) -> Placement:
        """Return the layout for frames of this size."""
        key = (frame.width, frame.height, frame.reduction)
        if key not in self._plans:
            whole = layout(self._view, frame.width, frame.height, *self._input)
            decoded = layout(self._view, *frame.decoded_size, *self._input)
            self._plans = {key: replace(decoded, upright=whole.upright)}
        return self._plans[key]

    def run(self, frame: Frame, out: Pixels) -> Placement:
        """Write ``frame`` into ``out``, uint8 RGB (input_height, input_width, 3).

        Raises:
            FrameError: the picture cannot be resized (OpenCV's reason is in the message).
        """
        plan = self.plan(frame)
        try:
            self._write(frame, plan, out)
        except cv2.error as error:
            raise FrameError(f"frame {frame.seq}: cannot be resized: {error}") from error
        return plan

    def _write(self, frame: Frame, plan: Placement, out: Pixels) -> None:
        x, y, w, h = plan.placed
        if (w, h) != self._input:
            out[:] = _LETTERBOX_GREY
            destination = self._buffer("placed", (h, w, 3))
        else:
            destination = out
        turned = self._view.rotation or self._view.flip_horizontal or self._view.flip_vertical
        target_w, target_h = plan.target
        rgb = self._buffer("rgb", (target_h, target_w, 3)) if turned else destination
        self._resize_to_rgb(frame, plan, rgb)
        if turned:
            self._turn(rgb, destination)
        if destination is not out:
            out[y : y + h, x : x + w] = destination

    def _resize_to_rgb(self, frame: Frame, plan: Placement, rgb: Pixels) -> None:
        x0, y0, x1, y1 = plan.crop
        if frame.format is PixelFormat.RGB24:
            yuv.resize(frame.planes[0][y0:y1, x0:x1], rgb)
            return
        if frame.format is PixelFormat.BGR24:
            yuv.resize(frame.planes[0][y0:y1, x0:x1], rgb)
            cv2.cvtColor(rgb, cv2.COLOR_BGR2RGB, dst=rgb)
            return
        yuv.to_rgb(frame, plan.crop, rgb, self._buffer)

    def _turn(self, picture: Pixels, out: Pixels) -> None:
        view = self._view
        mirror = view.flip_horizontal or view.flip_vertical
        turned = picture
        if view.rotation:
            turned = self._buffer("turned", out.shape) if mirror else out
            cv2.rotate(picture, _ROTATE[view.rotation], dst=turned)
        if mirror:
            both = view.flip_horizontal and view.flip_vertical
            cv2.flip(turned, -1 if both else int(view.flip_horizontal), dst=out)

    def _buffer(self, name: str, shape: tuple[int, ...]) -> Pixels:
        key = (name, shape)
        if key not in self._scratch:
            self._scratch[key] = np.empty(shape, np.uint8)
        return self._scratch[key]


def _raw_crop(view: View, width: int, height: int) -> tuple[int, int, int, int]:
    x, y, w, h = to_raw(view, view.crop)
    x0, x1 = _even(x, x + w, width)
    y0, y1 = _even(y, y + h, height)
    return x0, y0, x1, y1


def _even(begin: float, end: float, size: int) -> tuple[int, int]:
    """Return both in pixels: even, for the chroma planes, except for the end of an odd size."""
    low, high = int(begin * size) // 2 * 2, end * size
    last = size if high > size - 1 else max(low + 2, round(high / 2) * 2)
    last = min(size, last)
    return min(low, max(0, last - 2) // 2 * 2), last


def _to_upright(
    view: View, rect: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Turn a rectangle of the raw picture (0..1) as the picture is turned."""
    x, y, w, h = rect
    if view.rotation == 90:
        x, y, w, h = 1 - y - h, x, h, w
    elif view.rotation == 180:
        x, y = 1 - x - w, 1 - y - h
    elif view.rotation == 270:
        x, y, w, h = y, 1 - x - w, h, w
    if view.flip_horizontal:
        x = 1 - x - w
    if view.flip_vertical:
        y = 1 - y - h
    return x, y, w, h


def to_raw(
    view: View, rect: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Turn a rectangle of the upright picture (0..1) back as the raw one is."""
    x, y, w, h = rect
    if view.flip_horizontal:
        x = 1 - x - w
    if view.flip_vertical:
        y = 1 - y - h
    if view.rotation == 90:
        return y, 1 - x - w, h, w
    if view.rotation == 180:
        return 1 - x - w, 1 - y - h, w, h
    if view.rotation == 270:
        return 1 - y - h, x, h, w
    return x, y, w, h
