"""Models of the owner's: outputs, labels and activations are read from the file, never guessed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from appliance.accelerators import Options
from appliance.accelerators.cpu import CpuAccelerator
from appliance.clock import SystemClock
from appliance.detectors import load_model
from appliance.errors import LabelsError, ModelError
from appliance.models import find_models_folder
from appliance.models.graph import GraphInfo, TensorInfo
from appliance.models.heads import build_head
from appliance.models.lineage import Lineage
from appliance.models.own_labels import fit_labels
from appliance.selection.proof import load_frame
from appliance.sources.images import read_image
from tests.reshaped import renamed, with_labels, without_postprocessing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.samples import Samples

STARTER = "models/coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"
COCO = (find_models_folder()[0] / "coco_labels.txt").read_text().splitlines()
BACKGROUND, NAMES = COCO[0], COCO[1:]
P, T = "StatefulPartitionedCall", "TFLite_Detection_PostProcess"
EXPORTS = [
    # names of boxes, classes, scores, count; and the order in which the graph lists them
    ((f"{P}:31", f"{P}:32", f"{P}:33", f"{P}:34"), (0, 1, 2, 3)),
    ((f"{P}:1", f"{P}:3", f"{P}:0", f"{P}:2"), (2, 0, 3, 1)),
    ((f"{P}:3", f"{P}:2", f"{P}:1", f"{P}:0"), (3, 2, 1, 0)),
    ((f"{P}:0", f"{P}:1", f"{P}:2", f"{P}:3"), (0, 1, 2, 3)),
    ((T, f"{T}:1", f"{T}:2", f"{T}:3"), (0, 2, 1, 3)),
    ((f"{T}:3", f"{T}:2", f"{T}:1", T), (0, 1, 2, 3)),
    (("a", "b", "c", "d"), (3, 1, 2, 0)),
    (("d", "c", "b", "a"), (2, 1, 0, 3)),
    (("count", "scores", "classes", "boxes"), (0, 1, 2, 3)),
    (("Identity", "Identity_1", "Identity_2", "Identity_3"), (1, 3, 0, 2)),
]
Seen = list[tuple[str, float, list[float]]]


def seen_by(model: Path, picture: Path, threshold: float = 0.3) -> Seen:
    loaded = load_model(str(model))
    detector = CpuAccelerator(Options()).open(loaded, threads=1)
    try:
        load_frame(detector, read_image(picture, SystemClock(), 0))
        detector.infer()
        found = detector.detections(threshold)
    finally:
        detector.close()
    names = [loaded.labels.name(int(one)) for one in found.label_ids]
    rows = zip(names, found.scores.tolist(), found.boxes.tolist(), strict=True)
    return [(name, score, box) for name, score, box in rows]


def keep(folder: Path, content: bytes, labels: str = "", beside: str = "mine.labels.txt") -> Path:
    path = folder / "mine.tflite"
    path.write_bytes(content)
    if labels:
        (folder / beside).write_text(labels)
    return path


# --- which output is which


@pytest.mark.parametrize(("names", "order"), EXPORTS)
def test_outputs_are_told_apart_by_the_operator_that_makes_them(
    names: tuple[str, ...], order: tuple[int, ...], data: Samples, picture: Path, tmp_path: Path
) -> None:
    export = keep(tmp_path, renamed(data / STARTER, names, order), "\n".join(COCO))
    expected = seen_by(data / STARTER, picture)
    assert len(expected) >= 2
    assert seen_by(export, picture) == expected


PICTURE = (TensorInfo("picture", (1, 300, 300, 3), "uint8"),)


def head_of(outputs: tuple[TensorInfo, ...], folder: Path) -> tuple[str, ...]:
    scales = (10.0, 10.0, 5.0, 5.0)
    graph = GraphInfo(PICTURE, outputs)
    return build_head(graph, "mine", anchors=folder / "none.npy", scales=scales, label_offset=None)[
        0
    ].tensor_names


def four(*names: str, shapes: bool = True) -> tuple[TensorInfo, ...]:
    known = ((1, 10, 4), (1, 10), (1, 10), (1,)) if shapes else ((),) * 4
    pairs = zip(names, known, strict=True)
    return tuple(TensorInfo(name, shape, "float32") for name, shape in pairs)


def test_without_the_operator_clear_names_count(tmp_path: Path) -> None:
    clear = four(
        "detection_boxes", "detection_classes", "detection_scores", "num_detections", shapes=False
    )
    names = tuple(one.name for one in clear)
    assert head_of(clear[::-1], tmp_path) == names
    kept = four(T, f"{T}:1", f"{T}:2", f"{T}:3")
    assert head_of(kept[::-1], tmp_path) == tuple(one.name for one in kept)


@pytest.mark.parametrize(
    "names",
    [
        (f"{P}:1", f"{P}:3", f"{P}:0", f"{P}:2"),
        ("boxes", "a", "b", "count"),
        ("boxes", "classes", "class_scores", "count"),
    ],
)
def test_without_the_operator_names_that_do_not_tell_are_refused(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="do not tell which are the scores"):
        head_of(four(*names), tmp_path)


def test_outputs_of_one_name_are_refused(data: Samples, tmp_path: Path) -> None:
    export = keep(tmp_path, renamed(data / STARTER, ("x", "x", "y", "z"), (0, 1, 2, 3)))
    with pytest.raises(ModelError, match="a name of its own"):
        load_model(str(export))


# --- what is called what


@pytest.mark.parametrize(
    "lines",
    [
        COCO,
        NAMES,
        [f"{number}  {name}" for number, name in enumerate(NAMES) if name != BACKGROUND],
        [f"{number} {name}" for number, name in enumerate(COCO) if name != BACKGROUND],
        ["background", *NAMES],
    ],
    ids=["with background", "without", "numbered from 0", "numbered from 1", "named background"],
)
@pytest.mark.parametrize("place", ["inside", "mine.labels.txt", "labelmap.txt"])
def test_every_convention_of_labels_names_the_same(
    lines: list[str], place: str, data: Samples, picture: Path, tmp_path: Path
) -> None:
    text = "\n".join(lines) + "\n"
    content = renamed(data / STARTER, ("a", "b", "c", "d"), (0, 1, 2, 3))
    model = (
        keep(tmp_path, with_labels(content, text))
        if place == "inside"
        else keep(tmp_path, content, text, place)
    )
    expected = [name for name, _, _ in seen_by(data / STARTER, picture)]
    assert [name for name, _, _ in seen_by(model, picture)] == expected


def test_labels_inside_count_before_those_beside(data: Samples, tmp_path: Path) -> None:
    content = renamed(data / STARTER, ("a", "b", "c", "d"), (0, 1, 2, 3))
    inside = "\n".join(f"thing{number}" for number in range(90))
    model = keep(tmp_path, with_labels(content, inside), "\n".join(COCO))
    assert load_model(str(model)).labels.name(1) == "thing0"


@pytest.mark.parametrize("count", [1, 80, 89, 92])
@pytest.mark.parametrize("place", ["inside", "beside"])
def test_labels_that_do_not_fit_are_refused_with_both_numbers(
    count: int, place: str, data: Samples, tmp_path: Path
) -> None:
    content = renamed(data / STARTER, ("a", "b", "c", "d"), (0, 1, 2, 3))
    text = "".join(f"thing {number}\n" for number in "x" * count)
    inside = place == "inside"
    model = keep(
        tmp_path, with_labels(content, text) if inside else content, "" if inside else text
    )
    with pytest.raises(LabelsError, match=rf"{count} lines, but the model has 90 classes"):
        load_model(str(model))


def test_a_background_that_leaves_one_name_too_few_is_refused() -> None:
    with pytest.raises(LabelsError, match="3 lines, of which the first is the background"):
        fit_labels("???\ncat\ndog\n", 3, "labels x")


@pytest.mark.parametrize("text", ["", "\n\n", "???\n", "background"])
def test_labels_without_names_are_refused(text: str) -> None:
    with pytest.raises(LabelsError, match="holds no names"):
        fit_labels(text, 1, "labels x")


def test_a_number_given_twice_is_refused() -> None:
    with pytest.raises(LabelsError, match="gives a number twice"):
        fit_labels("0 cat\n0 dog\n", 2, "labels x")


def test_a_damaged_archive_of_labels_is_refused(data: Samples, tmp_path: Path) -> None:
    content = renamed(data / STARTER, ("a", "b", "c", "d"), (0, 1, 2, 3))
    whole = bytearray(with_labels(content, "\n".join(COCO)))
    whole[len(content) + 60] ^= 1
    with pytest.raises(LabelsError, match="cannot be read"):
        load_model(str(keep(tmp_path, bytes(whole))))


def test_a_model_without_labels_is_never_given_coco(
    data: Samples, picture: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = keep(tmp_path, renamed(data / STARTER, ("a", "b", "c", "d"), (0, 1, 2, 3)))
    with caplog.at_level(logging.WARNING):
        names = {name for name, _, _ in seen_by(model, picture)}
    assert names == {f"class_{COCO.index(n)}" for n, _, _ in seen_by(data / STARTER, picture)}
    assert "has no labels" in caplog.text


# --- what a graph has applied itself


@pytest.mark.parametrize("threshold", [0.5, 0.75])  # lower ones meet the operator's limit of ten
def test_a_sigmoid_in_the_graph_is_not_applied_again(
    threshold: float, data: Samples, picture: Path, tmp_path: Path
) -> None:
    model = keep(tmp_path, without_postprocessing(data / STARTER), "\n".join(COCO))
    whole = seen_by(data / STARTER, picture, threshold)
    cut = seen_by(model, picture, threshold)
    assert [name for name, _, _ in cut] == [name for name, _, _ in whole]
    for (_, got, box), (_, expected, right) in zip(cut, whole, strict=True):
        assert got == pytest.approx(expected, abs=1e-5)
        assert box == pytest.approx(right, abs=5e-3)  # the operator's anchors have 8 bits


def test_lineage_sees_through_what_only_rearranges() -> None:
    lineage = Lineage(
        {
            "joined": ("CONCATENATION", ("first", "second")),
            "first": ("RESHAPE", ("sigmoid", "shape")),
            "second": ("SOFTMAX", ("logits",)),
            "sigmoid": ("Sigmoid", ("logits",)),
            "mixed": ("Concat", ("first", "logits")),
            "added": ("ADD", ("first", "logits")),
            "around": ("Reshape", ("around",)),
        }
    )
    told = {one: lineage.activated(one) for one in ("joined", "mixed", "added", "logits", "around")}
    assert told == {**dict.fromkeys(told, False), "joined": True}
    assert lineage.first_of("first", {"sigmoid"}) == "sigmoid"
    assert lineage.first_of("mixed", {"sigmoid"}) is None
