"""Heads without anchors: decoded as an independent decoder does, and recognised or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from appliance.accelerators.process.tensors import InputTensor
from appliance.errors import ModelError
from appliance.models.graph import GraphInfo, TensorInfo
from appliance.models.outputs import Recognised, build_head, check_input
from appliance.vision.postprocess import Quantisation
from tests import reference_heads as reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from appliance.values import Detections

WIDTH, HEIGHT = 96, 64
THREE, FOUR, CLASSES = 96 + 24 + 6, 96 + 24 + 6 + 2, 5
OUTPUTS = 200
THRESHOLD = 0.3


def graph(*outputs: TensorInfo, size: tuple[int, int] = (WIDTH, HEIGHT), **more: Any) -> GraphInfo:
    picture = TensorInfo("images", (1, 3, size[1], size[0]), "float32")
    return GraphInfo((picture,), outputs, **more)


def floats(name: str, *shape: int, **more: Any) -> TensorInfo:
    return TensorInfo(name, shape, "float32", **more)


def found(one: GraphInfo, convention: str = "") -> Recognised:
    return build_head(
        one,
        "mine",
        anchors=Path("none.npy"),
        scales=(10.0, 10.0, 5.0, 5.0),
        label_offset=None,
        convention=convention,
    )


def scores(random: Generator, *shape: int) -> NDArray[np.float32]:
    """Most are near 0, as a detector's are."""
    return (random.random(shape) ** 4).astype(np.float32)


def boxes(random: Generator, cells: int, *, pixels: bool) -> NDArray[np.float32]:
    """Return middle, width and height of boxes, some of them beyond the picture, on top."""
    side = np.array([[WIDTH], [HEIGHT]] if pixels else [[1], [1]], np.float32)
    middle = random.uniform(-0.1, 1.1, (2, cells)) * side
    return np.concatenate([middle, random.uniform(0, 0.8, (2, cells)) * side]).astype(np.float32)


def check(seen: Detections, expected: list[reference.Seen]) -> None:
    assert seen.label_ids.tolist() == [number + 1 for number, _, _ in expected]
    assert seen.scores == pytest.approx([score for _, score, _ in expected], abs=1e-3)
    corners = np.array([box for _, _, box in expected]).reshape(-1, 4)
    assert np.abs(seen.boxes - corners).max(initial=0) < 1e-3


def compare(one: Callable[[Generator], tuple[Detections, list[reference.Seen]]]) -> None:
    """Compare on random outputs; there must be something to compare."""
    total = 0
    for seed in range(OUTPUTS):
        seen, expected = one(np.random.default_rng(seed))
        check(seen, expected)
        total += len(expected)
    assert total > 10 * OUTPUTS


# --- as an independent decoder does


@pytest.mark.parametrize("pixels", [True, False], ids=["pixels", "shares"])
@pytest.mark.parametrize("turned", [False, True], ids=["exported", "turned"])
def test_yolov8_is_decoded_as_the_reference_does(pixels: bool, turned: bool) -> None:
    shape = (1, THREE, 4 + CLASSES) if turned else (1, 4 + CLASSES, THREE)
    metadata = {"stride": "32"} if turned else {}
    head = found(graph(floats("output0", *shape), metadata=metadata)).head

    def one(random: Generator) -> tuple[Detections, list[reference.Seen]]:
        table = np.concatenate(
            [boxes(random, THREE, pixels=pixels), scores(random, CLASSES, THREE)]
        )
        given = table.T if turned else table
        return head.decode([given[None]], THRESHOLD), reference.yolov8(
            table, WIDTH, HEIGHT, THRESHOLD, pixels=pixels
        )

    compare(one)


@pytest.mark.parametrize("decoded", [False, True], ids=["relative", "decoded"])
def test_yolox_is_decoded_as_the_reference_does(decoded: bool) -> None:
    head = found(graph(floats("output", 1, THREE, 5 + CLASSES, exponential=decoded))).head

    def one(random: Generator) -> tuple[Detections, list[reference.Seen]]:
        near = random.normal(0, 1, (THREE, 4)).astype(np.float32)
        box = boxes(random, THREE, pixels=True).T if decoded else near
        known = np.sqrt(scores(random, THREE, 1 + CLASSES))
        table = np.concatenate([box, known], axis=1)
        return head.decode([table[None]], THRESHOLD), reference.yolox(
            table, WIDTH, HEIGHT, THRESHOLD, decoded=decoded
        )

    compare(one)


@pytest.mark.parametrize("kind", ["plus", "joined", "separate"])
def test_nanodet_is_decoded_as_the_reference_does(kind: str) -> None:
    plus = kind == "plus"
    cells = FOUR if plus else THREE
    parts = (True, False)
    head = found(
        nanodet_separate()
        if kind == "separate"
        else graph(floats("output", 1, cells, CLASSES + 32, parts=parts))
    ).head

    def one(random: Generator) -> tuple[Detections, list[reference.Seen]]:
        known = scores(random, cells, CLASSES)
        away = random.normal(0, 3, (cells, 32)).astype(np.float32)
        joined = [np.concatenate([known, away], axis=1)[None]]
        ends = ((0, 96), (96, 120), (120, 126))
        separate = [part[None, a:b] for a, b in ends for part in (known, away)]
        return head.decode(
            separate if kind == "separate" else joined, THRESHOLD
        ), reference.nanodet(known, away, WIDTH, HEIGHT, THRESHOLD, plus=plus)

    compare(one)


def nanodet_separate(*names: str) -> GraphInfo:
    """Return the outputs as they are exported: all scores, then all distances."""
    known = names or tuple(f"cls_pred_stride_{stride}" for stride in (8, 16, 32))
    counts = (96, 24, 6)
    first = [
        floats(name, 1, n, CLASSES, activated=True) for name, n in zip(known, counts, strict=True)
    ]
    ends = zip((8, 16, 32), counts, strict=True)
    return graph(*first, *(floats(f"dis_pred_stride_{stride}", 1, n, 32) for stride, n in ends))


@pytest.mark.parametrize("pixels", [True, False], ids=["pixels", "shares"])
def test_rows_that_are_detections_are_taken_as_they_are(pixels: bool) -> None:
    head = found(graph(floats("output0", 1, 300, 6))).head

    def one(random: Generator) -> tuple[Detections, list[reference.Seen]]:
        x, y, w, h = boxes(random, 300, pixels=pixels)
        ends = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        known = scores(random, 300)
        table = np.stack([*ends, known, random.integers(0, 80, 300)], axis=1).astype(np.float32)
        return head.decode([table[None]], THRESHOLD), reference.end_to_end(
            table, WIDTH, HEIGHT, THRESHOLD, pixels=pixels
        )

    compare(one)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_outputs_of_8_bits_are_decoded_as_what_they_stand_for(dtype: str) -> None:
    quantisation = Quantisation(1 / 200, -100 if dtype == "int8" else 30)
    output = TensorInfo("output0", (1, 4 + CLASSES, THREE), dtype, quantisation)
    head = found(graph(output)).head
    limits = np.iinfo(dtype)
    for seed in range(OUTPUTS):
        random = np.random.default_rng(seed)
        table = np.concatenate([boxes(random, THREE, pixels=False), scores(random, CLASSES, THREE)])
        stored = np.clip(np.rint(table * 200 + quantisation.zero_point), limits.min, limits.max)
        seen = head.decode([stored.astype(dtype)[None]], THRESHOLD)
        real = quantisation.real(stored)
        expected = reference.yolov8(real, WIDTH, HEIGHT, THRESHOLD, pixels=False)
        # Equal scores are many; which of these goes first is nobody's business.
        assert sorted(seen.scores)[-1:] == pytest.approx(sorted(s for _, s, _ in expected)[-1:])
        assert {int(one) for one in seen.label_ids} == {number + 1 for number, _, _ in expected}


@pytest.mark.parametrize("convention", ["yolov8", "yolox", "nanodet"])
def test_scores_before_their_sigmoid_get_it(convention: str) -> None:
    shape = {
        "yolov8": (1, 4 + CLASSES, THREE),
        "yolox": (1, THREE, 5 + CLASSES),
        "nanodet": (1, FOUR, CLASSES + 32),
    }[convention]
    plain = found(graph(floats("output", *shape))).head
    logits = found(graph(floats("output", *shape, logits=True))).head
    random = np.random.default_rng(0)
    table = random.uniform(0.01, 0.6, shape).astype(np.float32)
    before = table.copy()
    place = {
        "yolov8": (0, slice(4, None)),
        "yolox": (0, slice(None), slice(4, None)),
        "nanodet": (0, slice(None), slice(CLASSES)),
    }[convention]
    before[place] = np.log(table[place] / (1 - table[place]))
    one, other = plain.decode([table], THRESHOLD), logits.decode([before], THRESHOLD)
    assert len(one) > 5
    assert one.scores == pytest.approx(other.scores, abs=1e-5)
    assert one.label_ids.tolist() == other.label_ids.tolist()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30])
@pytest.mark.parametrize("convention", ["yolov8", "yolox", "nanodet", "end-to-end"])
def test_numbers_that_mean_nothing_harm_nobody(convention: str, value: float) -> None:
    shape = {
        "yolov8": (1, 4 + CLASSES, THREE),
        "yolox": (1, THREE, 5 + CLASSES),
        "nanodet": (1, FOUR, CLASSES + 32),
        "end-to-end": (1, 300, 6),
    }[convention]
    head = found(graph(floats("output", *shape))).head
    with np.errstate(all="ignore"):
        seen = head.decode([np.full(shape, value, np.float32)], THRESHOLD)
    assert not len(seen)


# --- recognised


@pytest.mark.parametrize(
    ("one", "convention", "classes"),
    [
        # what public models' exports look like
        (graph(floats("output0", 1, 84, 8400), size=(640, 640)), "yolov8", 80),
        (graph(floats("output0", 1, 84, 2100), size=(320, 320)), "yolov8", 80),
        (graph(floats("StatefulPartitionedCall:0", 1, 5, 6300), size=(640, 480)), "yolov8", 1),
        (graph(floats("output0", 1, 84, 34000), size=(1280, 1280)), "yolov8", 80),
        (graph(floats("output0", 1, 300, 6), size=(640, 640)), "end-to-end", None),
        (graph(floats("output", 1, 8400, 85), size=(640, 640)), "yolox", 80),
        (graph(floats("output", 1, 3549, 85), size=(416, 416)), "yolox", 80),
        (graph(floats("output", 1, 3549, 6), size=(416, 416)), "yolox", 1),
        (graph(floats("output", 1, 2125, 112), size=(320, 320)), "nanodet", 80),
        (graph(floats("output", 1, 3598, 112), size=(416, 416)), "nanodet", 80),
        (
            graph(floats("output", 1, 2100, 112, parts=(True, False)), size=(320, 320)),
            "nanodet",
            80,
        ),
        (
            graph(floats("output", 1, 2100, 112, parts=(False, True, True)), size=(320, 320)),
            "yolox",
            107,
        ),
        (nanodet_separate(), "nanodet", CLASSES),
        (nanodet_separate("792", "814", "836"), "nanodet", CLASSES),
    ],
)
def test_a_head_is_recognised_by_shape_operators_and_metadata(
    one: GraphInfo, convention: str, classes: int | None
) -> None:
    recognised = found(one)
    assert (recognised.convention, recognised.classes) == (convention, classes)
    assert recognised.label_offset == 1
    shapes = {output.name: output.shape for output in one.outputs}
    assert not recognised.head.misfit(shapes)
    assert recognised.head.misfit(dict.fromkeys(shapes, (1, 2, 3)))
    assert "has no output" in recognised.head.misfit({})


def test_a_manifest_says_what_shapes_do_not() -> None:
    shapes = graph(floats("output", 1, 2100, 112), size=(320, 320))
    assert found(shapes).convention == "yolox"
    assert found(shapes, "nanodet").classes == 80
    assert found(shapes, "yolov8").classes == 108
    with pytest.raises(ModelError, match="which is not end-to-end"):
        found(shapes, "end-to-end")


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (graph(floats("output0", 1, 84, 8000), size=(640, 640)), r"\(1, 84, 8000\)"),
        (graph(floats("output0", 1, 25200, 85), size=(640, 640)), "those of YOLOv5 or YOLOv7"),
        (graph(floats("output0", 1, 4, 8400), size=(640, 640)), "outputs are"),
        (graph(floats("output0", 1, 8400, 5), size=(640, 640)), "outputs are"),
        (graph(floats("output0", 1, 8500, 32), size=(640, 640)), "outputs are"),
        (graph(floats("output0", 0, 0, 0), size=(640, 640)), "outputs are"),
        (graph(floats("output0"), size=(640, 640)), "outputs are"),
        (graph(floats("a", 1, 9, 4), floats("b", 1, 9, 2), floats("c", 1, 9)), "outputs are"),
        (
            graph(floats("output0", 1, 56, 8400), size=(640, 640), metadata={"task": "pose"}),
            "made for the task 'pose'",
        ),
    ],
)
def test_what_no_head_fits_is_refused_and_told_what_is_known(one: GraphInfo, said: str) -> None:
    with pytest.raises(ModelError, match=said) as refused:
        found(one)
    hint = refused.value.hint or ""
    assert "YOLOv8 (1, 4 + classes, " in hint or "trained for the task 'detect'" in hint


def test_known_shapes_are_told_for_the_size_of_the_picture() -> None:
    with pytest.raises(ModelError) as refused:
        found(graph(floats("output0", 1, 1, 1), size=(416, 416)))
    hint = refused.value.hint or ""
    assert "(1, 3549, 5 + classes)" in hint
    assert "(1, 3598, classes + 32)" in hint


# --- inputs


@pytest.mark.parametrize(
    ("shape", "dtype", "said"),
    [
        ((1, 3, 0, 0), "float32", "no fixed size"),
        ((1, 0, 0, 3), "uint8", "no fixed size"),
        ((8, 3, 640, 640), "float32", "input is"),
        ((1, 3, 640, 640), "float16", "input is"),
    ],
)
def test_inputs_that_nothing_can_feed_are_refused(
    shape: tuple[int, ...], dtype: str, said: str
) -> None:
    one = graph(floats("output0", 1, 84, 8400))
    with pytest.raises(ModelError, match=said):
        found(replace(one, inputs=(TensorInfo("images", shape, dtype),)))


YOLO8 = floats("output0", 1, 4 + CLASSES, THREE)
PIXELS, UNITS, CENTRED = Quantisation(1.0, 0), Quantisation(1 / 255, 0), Quantisation(2 / 255, 127)


@pytest.mark.parametrize(
    ("dtype", "quantisation", "output"),
    [
        ("uint8", UNITS, YOLO8),
        ("int8", Quantisation(1 / 255, -128), YOLO8),
        ("int8", Quantisation(0.0039, -128), YOLO8),
        ("int8", Quantisation(1.0, -128), floats("output", 1, THREE, 5 + CLASSES)),
    ],
)
def test_an_input_of_8_bits_that_stores_pixels_is_taken(
    dtype: str, quantisation: Quantisation, output: TensorInfo
) -> None:
    one = graph(output)
    picture = replace(one.inputs[0], dtype=dtype, quantisation=quantisation)
    check_input(picture, found(one), "mine", "tflite", None)


@pytest.mark.parametrize(
    ("dtype", "quantisation", "form", "output", "said"),
    [
        ("int8", CENTRED, "tflite", YOLO8, "input is scaled by"),
        ("uint8", Quantisation(1.0, 1), "tflite", YOLO8, "input is scaled by"),
        ("uint8", Quantisation(1 / 255, 9), "tflite", YOLO8, "input is scaled by"),
        ("int8", UNITS, "onnx", YOLO8, "only TensorFlow Lite files"),
        (
            "uint8",
            Quantisation(0.02, 110),
            "tflite",
            floats("output", 1, FOUR, CLASSES + 32),
            "normalises each colour",
        ),
        ("float32", PIXELS, "hef", floats("output", 1, THREE, 5 + CLASSES), "blue first"),
    ],
)
def test_an_input_that_would_be_fed_wrong_numbers_is_refused(
    dtype: str, quantisation: Quantisation, form: str, output: TensorInfo, said: str
) -> None:
    one = graph(output)
    picture = replace(one.inputs[0], dtype=dtype, quantisation=quantisation)
    with pytest.raises(ModelError, match=said):
        check_input(picture, found(one), "mine", form, None)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("kind", ["uint8", "int8", "float32"])
def test_a_picture_becomes_what_the_model_wants(kind: str, order: str, layout: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    scale, offset = [0.5, 0.25, 2.0], [1.0, -1.0, 3.0]
    size = {"height": HEIGHT, "width": WIDTH, "kind": kind, "layout": layout, "order": order}
    filled = InputTensor({**size, "scale": scale, "offset": offset}).fill(picture)
    assert filled.dtype == kind
    row, column = 7, 11
    colours = [int(one) for one in picture[row, column]]
    if order == "bgr":
        colours.reverse()
    expected = {
        "uint8": colours,
        "int8": [one - 128 for one in colours],
        "float32": [c * s + o for c, s, o in zip(colours, scale, offset, strict=True)],
    }[kind]
    place = filled[0, :, row, column] if layout == "nchw" else filled[0, row, column]
    assert place.tolist() == expected
