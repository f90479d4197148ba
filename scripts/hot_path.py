"""Time steps of the hot path against other ways to do them; they take turns, medians.

Processor time, so that other work on the machine counts for little.

Usage: python scripts/hot_path.py

Arrays as the default model and a picture of 1280x720 have them; the JPEG is a camera's, of
1920x1080 with the noise of a sensor; caches warm.
"""

from __future__ import annotations

import statistics
import time
import timeit
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from appliance.daemon.tuning import keep_quiet
from appliance.selection.parity import iou
from appliance.selection.proof import golden_frame
from appliance.sources.pictures import jpeg
from appliance.values import Colours, Frame, Matrix, PixelFormat, plane_shapes
from appliance.vision import yuv
from appliance.vision.postprocess import IOU_THRESHOLD, suppress, true_places

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ROUNDS = 21
CALLS = 50
SIZE = (1280, 720)
CAMERA_SIZE = (1920, 1080)
ANCHORS, CLASSES = 1917, 90
THRESHOLD = np.int8(10)
CANDIDATES = 24
"""Scores that reach the threshold in a picture with some objects."""


def main() -> None:
    """Measure, print."""
    keep_quiet()
    picture = golden_frame(0.0, SIZE)[0].planes[0]
    chance = np.random.default_rng(1)
    logits = logits_of(CANDIDATES, chance)
    boxes, scores, classes = candidates(chance)
    small = np.empty((300, 300, 3), np.uint8)
    every_other = picture[::2]

    def resize(source: NDArray[Any], how: int = cv2.INTER_LINEAR) -> None:
        cv2.resize(source, (300, 300), dst=small, interpolation=how)

    def colours_first() -> None:
        resize(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)))

    def colours_last() -> None:
        resize(picture)
        cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=small)

    def from_jpeg(reduction: int) -> None:
        resize(jpeg.decode(photograph, "photograph", reduction))
        cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=small)

    photograph = jpeg_of_a_camera(chance)
    bt601, bt709 = (planar(Colours(matrix, full_range=False)) for matrix in list(Matrix)[:2])
    scratch: dict[tuple[str, tuple[int, ...]], NDArray[np.uint8]] = {}

    def buffer(name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        return scratch.setdefault((name, shape), np.empty(shape, np.uint8))

    def from_planes(frame: Frame) -> None:
        yuv.to_rgb(frame, (0, 0, *CAMERA_SIZE), small, buffer)

    mask = logits >= THRESHOLD
    rows = [
        ("places of likely scores", "numpy.nonzero", lambda: np.nonzero(mask)),
        ("", "cv2.findNonZero", lambda: cv2.findNonZero(mask.view(np.uint8))),
        ("", "eight at a time **(taken)**", lambda: true_places(mask)),
        ("comparing the scores", "with a float", lambda: logits >= THRESHOLD - 0.3),
        ("", "with a stored value **(taken)**", lambda: logits >= THRESHOLD),
        ("suppression", "a loop", lambda: greedy(boxes, scores, classes)),
        ("", "one call **(taken)**", lambda: suppress(boxes, scores, classes)),
        ("resizing", "colours first", colours_first),
        ("", "colours last **(taken)**", colours_last),
        ("", "area", lambda: resize(picture, cv2.INTER_AREA)),
        ("", "every other row", lambda: resize(every_other)),
        ("I420 of 1920x1080 to 300x300", "BT.601, limited range", lambda: from_planes(bt601)),
        ("", "BT.709, limited range", lambda: from_planes(bt709)),
        (f"JPEG of 1920x1080 ({len(photograph) // 1000} kB) to 300x300", "decoded whole",
         lambda: from_jpeg(1)),
        ("", "decoded to a half **(taken)**", lambda: from_jpeg(2)),
        ("", "to a quarter **(taken with letterbox)**", lambda: from_jpeg(4)),
    ]  # fmt: skip
    print("| step | how | ms |\n|---|---|---|")
    for (step, how, _), ms in zip(rows, take_turns([call for *_, call in rows]), strict=True):
        print(f"| {step} | {how} | {ms:.3f} |")


def take_turns(calls: list[Callable[[], object]]) -> list[float]:
    """Return the median milliseconds of processor time of each call."""
    spent: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for its, call in zip(spent, calls, strict=True):
            its.append(timeit.timeit(call, timer=time.process_time, number=CALLS) / CALLS * 1000)
    return [statistics.median(its) for its in spent]


def jpeg_of_a_camera(chance: np.random.Generator) -> bytes:
    """Return the golden scene as a camera saves it: with noise, and half the colours."""
    clean = golden_frame(0.0, CAMERA_SIZE)[0].planes[0]
    noisy = (clean + chance.normal(0, 4, clean.shape)).clip(0, 255).astype(np.uint8)
    how = [cv2.IMWRITE_JPEG_QUALITY, 80, cv2.IMWRITE_JPEG_SAMPLING_FACTOR]
    return cv2.imencode(".jpg", noisy, [*how, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422])[1].tobytes()


def planar(colours: Colours) -> Frame:
    """Return a picture of a planar format."""
    kind = PixelFormat.I420
    planes = tuple(np.zeros(shape, np.uint8) for shape in plane_shapes(kind, *CAMERA_SIZE))
    return Frame(planes, kind, *CAMERA_SIZE, captured_ns=0, seq=0, colours=colours)


def logits_of(likely: int, chance: np.random.Generator) -> NDArray[np.int8]:
    """Return the shape of the default model's class logits, of which a few reach the threshold."""
    logits = chance.integers(-128, THRESHOLD, ANCHORS * CLASSES, np.int8)
    logits[chance.choice(len(logits), likely, replace=False)] = THRESHOLD
    return logits.reshape(ANCHORS, CLASSES)


def candidates(chance: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return boxes, scores and classes as a picture with three objects gives them."""
    corner = np.repeat(chance.uniform(0, 0.6, (3, 2)), CANDIDATES // 3, axis=0)
    corner += chance.normal(0, 0.01, corner.shape)
    boxes = np.concatenate([corner, corner + 0.3], axis=1).astype(np.float32)
    scores = chance.uniform(0.5, 1, CANDIDATES).astype(np.float32)
    return boxes, scores, np.repeat([1, 3, 17], CANDIDATES // 3)


def greedy(boxes: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.intp]:
    """Suppress with a loop over the candidates, as is usual."""
    kept: list[int] = []
    for one in np.argsort(-scores, kind="stable"):
        same = [k for k in kept if classes[k] == classes[one]]
        if not same or iou(boxes[same], boxes[one]).max() <= IOU_THRESHOLD:
            kept.append(int(one))
    return np.asarray(kept, np.intp)


if __name__ == "__main__":
    main()
