"""Masks: not one masked pixel is seen by anybody, in no format, turned, reduced or padded."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import CameraSettings, Settings
from appliance.config.scene import MaskSettings, crossing, scene_faults
from appliance.config.settings import AcceleratorSettings, MqttSettings
from appliance.daemon.lifecycle import Daemon
from appliance.daemon.requests import Requests
from appliance.daemon.systemd import ServiceManager
from appliance.errors import ConfigError
from appliance.sources import check_source
from appliance.values import Frame, PixelFormat, plane_shapes, reduced
from appliance.vision.mask import Mask
from appliance.vision.preprocess import Preprocessor, View
from tests.helpers import environment
from tests.memory import MemoryOutlet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
FORMATS = list(PixelFormat)
Polygon = tuple[tuple[float, float], ...]
POINTS = st.tuples(st.floats(0, 1), st.floats(0, 1))
POLYGONS = (
    st.lists(POINTS, min_size=3, max_size=6).map(tuple).filter(lambda one: crossing(one) == (0, 0))
)
FAR = 3.0
"""Pixels from a mask that are never blank; nearer ones may be, to be sure of the edge."""


def frame_of(
    pixel_format: PixelFormat, width: int, height: int, value: int, *, reduction: int = 1
) -> tuple[Frame, list[int]]:
    """Return a frame in memory that is not ours, and where its releases are counted."""
    released: list[int] = []
    planes = []
    for shape in plane_shapes(pixel_format, *reduced(width, height, reduction)):
        padded = np.full((shape[0], shape[1] + 5, *shape[2:]), value, np.uint8)
        padded.flags.writeable = False
        planes.append(padded[:, : shape[1]])
    frame = Frame(
        tuple(planes),
        pixel_format,
        width,
        height,
        captured_ns=1,
        seq=2,
        reduction=reduction,
        release=lambda: released.append(1),
    )
    return frame, released


def depth(polygon: Sequence[tuple[float, float]], x: float, y: float, size: Any) -> float:
    """Return how deep in a polygon a place lies, in pixels; negative outside."""
    corners = (np.array(polygon) * size).astype(np.float32)
    return cv2.pointPolygonTest(corners, (x, y), measureDist=True)


def upright(pixels: Any, view: View) -> Any:
    """Turn a picture by numpy, which knows nothing of our arithmetic."""
    turned = np.rot90(pixels, -view.rotation // 90)
    if view.flip_horizontal:
        turned = turned[:, ::-1]
    return turned[::-1] if view.flip_vertical else turned


@given(
    POLYGONS,
    st.sampled_from(FORMATS),
    st.sampled_from([0, 90, 180, 270]),
    st.booleans(),
    st.booleans(),
    st.integers(16, 61),
    st.integers(16, 61),
    st.sampled_from([1, 2, 8]),
)
def test_no_pixel_of_the_mask_is_left_and_no_other_far_from_it_is_gone(
    polygon: Polygon,
    pixel_format: PixelFormat,
    rotation: Literal[0, 90, 180, 270],
    flip_horizontal: bool,
    flip_vertical: bool,
    width: int,
    height: int,
    reduction: int,
) -> None:
    view = View(rotation, flip_horizontal, flip_vertical)
    frame, released = frame_of(pixel_format, width, height, 200, reduction=reduction)
    masked = Mask([polygon], view).apply(frame)
    assert released == [1]
    assert (masked.seq, masked.captured_ns, masked.decoded_size) == (2, 1, frame.decoded_size)
    planar = pixel_format in {PixelFormat.I420, PixelFormat.NV12}
    for number, plane in enumerate(masked.planes):
        picture = upright(plane, view)
        blank = 128 if planar and number else 0
        rows, columns = picture.shape[:2]
        if number == 0:
            for row, column in itertools.product(range(rows), range(columns)):
                deep = depth(polygon, column + 0.5, row + 0.5, (columns, rows))
                if deep >= 0:
                    assert (picture[row, column] == blank).all()
                elif deep < -FAR:
                    assert (picture[row, column] == 200).all()
            luma = picture
        elif rows * 2 == luma.shape[0] and columns * 2 == luma.shape[1]:
            hidden = luma.reshape(rows, 2, columns, 2).min(axis=(1, 3)) == 0
            assert (picture[hidden] == blank).all()
            assert (picture[~hidden] == 200).all()


@given(st.sampled_from(FORMATS), st.integers(0, 255))
def test_what_is_behind_a_mask_changes_nothing_that_the_model_gets(
    pixel_format: PixelFormat, value: int
) -> None:
    mask = Mask([((0.2, 0.2), (0.8, 0.2), (0.8, 0.9), (0.2, 0.9))], View())
    inputs = []
    for behind in (0, value):
        frame, _ = frame_of(pixel_format, 64, 48, 90)
        planes = [np.array(plane) for plane in frame.planes]
        for plane in planes:
            rows, columns = plane.shape[:2]
            top, left = -(-rows * 2 // 10), -(-columns * 2 // 10)
            plane[top : rows * 9 // 10, left : columns * 8 // 10] = behind
        made = np.empty((32, 32, 3), np.uint8)
        other = Frame(tuple(planes), pixel_format, 64, 48, captured_ns=0, seq=0)
        Preprocessor(View(), 32, 32).run(mask.apply(other), made)
        inputs.append(made)
    assert np.array_equal(inputs[0], inputs[1])


def test_what_a_decoder_still_needs_stays_as_it_is() -> None:
    frame, _ = frame_of(PixelFormat.I420, 64, 48, 77)
    Mask([((0, 0), (1, 0), (1, 1), (0, 1))], View()).apply(frame)
    assert all((plane == 77).all() for plane in frame.planes)


@pytest.mark.parametrize("source", ["imx500", "jevois"])
def test_a_camera_that_detects_by_itself_takes_no_mask(source: str) -> None:
    mask = MaskSettings(polygon=((0, 0), (1, 0), (1, 1)))
    with pytest.raises(ConfigError, match="chip has seen the pixels"):
        check_source(CameraSettings(source=source, mask=(mask,)))


def test_a_polygon_that_crosses_itself_is_refused_in_words() -> None:
    bow = ((0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.8))
    (fault,) = scene_faults(CameraSettings(mask=(MaskSettings(polygon=bow),)))
    assert fault.startswith("camera[camera].mask[1].polygon: its edges 1 and 3 cross;")


@given(st.integers(3, 12), st.floats(0.05, 0.4), st.floats(0, 6))
def test_polygons_around_a_middle_never_cross_themselves(n: int, size: float, turn: float) -> None:
    angles = turn + np.arange(n) * 2 * np.pi / n
    corners = [(0.5 + size * np.cos(a), 0.5 + size * np.sin(a)) for a in angles]
    assert crossing(corners) == (0, 0)
    swapped = [corners[1], corners[0], *corners[2:]]
    assert (crossing(swapped) != (0, 0)) == (n > 3)


@pytest.mark.parametrize("mask", [(), (MaskSettings(polygon=WHOLE),)], ids=["none", "all"])
def test_the_appliance_sees_nothing_behind_a_mask(
    mask: tuple[MaskSettings, ...], tmp_path: Path
) -> None:
    camera = CameraSettings(source="synthetic", options={"rate": "file"}, mask=mask)
    settings = Settings(
        camera=(camera,),
        mqtt=MqttSettings(enabled=False),
        sinks={"prometheus": {"port": 0}},
        accelerator=AcceleratorSettings(name="cpu", workers=1),
    )
    memory = MemoryOutlet()
    Daemon(
        lambda: settings,
        environment(tmp_path),
        Requests(),
        ServiceManager({}),
        extra_outlets=(memory,),
        max_frames=12,
    ).run()
    told = [json.loads(one.payload) for one in memory.messages if one.kind == "detections"]
    assert len(told) >= 12
    assert any(one["detections"] for one in told) == (not mask)
