"""Models of the owner's: outputs, labels and activations are read from the file, never guessed."""

from __future__ import annotations

import json
import logging
import tomllib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.accelerators.cpu import CpuAccelerator
from appliance.cli import main
from appliance.clock import SystemClock
from appliance.errors import LabelsError, ModelError
from appliance.models import find_models_folder
from appliance.models.graph import GraphInfo, TensorInfo
from appliance.models.lineage import Lineage
from appliance.models.outputs import build_head
from appliance.models.own_labels import fit_labels
from appliance.selection.choose import load_model
from appliance.selection.proof import load_frame
from appliance.sources.images import read_image
from tests.reshaped import (
    renamed,
    signed_input,
    unpacked,
    with_labels,
    without_postprocessing,
)
from tests.tiny_model import tiny_classifier

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
    detector = CpuAccelerator().open(loaded, threads=1)
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
    shaped = names[0].startswith(P)
    content = renamed(data / STARTER, names, order, shaped=shaped)
    export = keep(tmp_path, content, "\n".join(COCO))
    expected = seen_by(data / STARTER, picture)
    assert len(expected) >= 2
    assert seen_by(export, picture) == expected


PICTURE = (TensorInfo("picture", (1, 300, 300, 3), "uint8"),)


def head_of(outputs: tuple[TensorInfo, ...], folder: Path) -> tuple[str, ...]:
    scales = (10.0, 10.0, 5.0, 5.0)
    graph = GraphInfo(PICTURE, outputs)
    anchors = folder / "none.npy"
    found = build_head(graph, "mine", anchors=anchors, scales=scales, label_offset=None)
    return found.head.tensor_names


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


@pytest.mark.parametrize("swapped", [False, True])
def test_scores_as_wide_as_boxes_are_told_by_their_sigmoid(swapped: bool, tmp_path: Path) -> None:
    np.save(tmp_path / "anchors.npy", np.zeros((20, 4), np.float32))
    both = (
        TensorInfo("a", (1, 20, 4), "float32"),
        TensorInfo("b", (1, 20, 4), "float32", activated=True),
    )
    found = build_head(
        GraphInfo(PICTURE, both[::-1] if swapped else both),
        "mine",
        anchors=tmp_path / "anchors.npy",
        scales=(10.0, 10.0, 5.0, 5.0),
        label_offset=None,
    )
    assert found.head.tensor_names == ("a", "b")


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


def test_lineage_tells_which_parts_of_a_joined_output_went_through_a_sigmoid() -> None:
    lineage = Lineage(
        {
            "output": ("Transpose", ("whole",)),
            "whole": ("Concat", ("stride8", "stride16")),
            "stride8": ("Reshape", ("cell8", "shape")),
            "stride16": ("Reshape", ("cell16", "shape")),
            "cell8": ("Concat", ("box8", "objectness8", "classes8")),
            "cell16": ("Concat", ("box16", "objectness16", "classes16")),
            **{
                f"{one}{n}": ("Sigmoid", (f"map{n}",))
                for one in ("objectness", "classes")
                for n in (8, 16)
            },
            **{
                f"{one}{n}": ("Conv", ("picture", "weights"))
                for one in ("box", "map")
                for n in (8, 16)
            },
            "decoded": ("Concat", ("middle", "extent", "rest")),
            "middle": ("Mul", ("output", "strides")),
            "extent": ("Mul", ("power", "strides")),
            "power": ("Exp", ("output",)),
            "rest": ("Slice", ("output",)),
            "raw": ("Concat", ("box8", "box16")),
        }
    )
    assert lineage.parts("output") == lineage.parts("decoded") == (False, True, True)
    assert lineage.parts("raw") == lineage.parts("box8") == ()
    told = {one: lineage.logits(one) for one in ("output", "raw", "box8", "classes8", "middle")}
    assert told == {**dict.fromkeys(told, False), "raw": True, "box8": True}
    assert [lineage.exponential(one) for one in ("output", "decoded")] == [False, True]


# --- appliance models add


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder where added models are kept."""
    folder = tmp_path / "kept"
    monkeypatch.setenv("APPLIANCE_MODELS", str(folder))
    return folder


def add(*words: str | Path, to: Path) -> int:
    return main(["models", "add", *map(str, words), "--to", str(to)])


@pytest.mark.parametrize("kind", ["post-processed", "raw"])
def test_an_added_model_is_listed_and_runs_by_its_id(
    kind: str,
    data: Samples,
    picture: Path,
    tmp_path: Path,
    kept: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    starter = data / STARTER
    raw = kind == "raw"
    content = (
        without_postprocessing(starter)
        if raw
        else renamed(starter, ("a", "b", "c", "d"), (3, 1, 2, 0))
    )
    model = keep(tmp_path, content)
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    assert add(model, "--labels", tmp_path / "names.txt", "--name", "fruit-1", to=kept) == 0
    printed = capsys.readouterr().out
    assert "80 labels: person, bicycle" in printed
    assert "proved: sees what is in the golden pictures" in printed
    model.unlink()
    assert main(["models"]) == 0
    assert "fruit-1" in capsys.readouterr().out
    assert main(["models", "verify"]) == 0
    assert "refused" not in capsys.readouterr().out
    assert main(["detect", str(picture), "--model", "fruit-1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["detections"]
    whole = seen_by(starter, picture, 0.5)
    assert [one["label"] for one in found] == [name for name, _, _ in whole]
    assert [one["score"] for one in found] == pytest.approx([s for _, s, _ in whole], abs=1e-4)


def test_an_added_model_may_be_added_again_and_another_one_beside_it(
    data: Samples, tmp_path: Path, kept: Path
) -> None:
    model = keep(tmp_path, renamed(data / STARTER, ("a", "b", "c", "d"), (0, 1, 2, 3)))
    things = tmp_path / "things.txt"
    for word in ("thing", "other"):
        things.write_text("".join(f'{word} "{number}\n' for number in range(90)))
        assert add(model, "--labels", things, "--name", "one", to=kept) == 0
    assert add(model, "--name", "two", to=kept) == 0
    assert load_model("one").labels.name(1) == 'other "0'
    assert load_model("two").labels.names == ()
    manifest = tomllib.loads((kept / "manifest.toml").read_text())
    assert [one["id"] for one in manifest["model"]] == ["one", "two"]


def test_what_a_hand_wrote_into_the_manifest_stays(
    data: Samples, tmp_path: Path, kept: Path
) -> None:
    kept.mkdir()
    by_hand = (
        '# mine\ndefault = "x"\n[[model]]\nid = "x"\ntitle = "x"\nfile = "x"\nkind = "fetched"\n'
    )
    (kept / "manifest.toml").write_text(by_hand)
    model = keep(tmp_path, renamed(data / STARTER, ("a", "b", "c", "d"), (0, 1, 2, 3)))
    assert add(model, to=kept) == 0
    assert (kept / "manifest.toml").read_text().startswith(by_hand)
    assert load_model("mine").id == "mine"


def test_an_added_model_that_changed_on_disk_is_refused(
    data: Samples, tmp_path: Path, kept: Path
) -> None:
    model = keep(tmp_path, renamed(data / STARTER, ("a", "b", "c", "d"), (0, 1, 2, 3)))
    assert add(model, to=kept) == 0
    changed = bytearray((kept / "mine.tflite").read_bytes())
    changed[-1] ^= 1
    (kept / "mine.tflite").write_bytes(changed)
    with pytest.raises(ModelError, match="damaged or another file"):
        load_model("mine")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["{mine}", "--labels", "{few}"], 65, "1 lines, but the model has 90 classes"),
        (["{mine}", "--labels", "{wrong}"], 65, "fails on pictures whose objects its labels name"),
        (["{mine}", "--labels", "{few}.none"], 65, "cannot be read"),
        (["{few}"], 65, "is no .tflite or .onnx file"),
        (["{mine}.tflite", "--name", "none"], 65, "no such file"),
        (["{cut}"], 65, "damaged or truncated"),
        (["{tiny}"], 65, "outputs are"),
        (["{mine}", "--name", "auto"], 2, "cannot be a model's id"),
        (["{mine}", "--name", "../x"], 2, "cannot be a model's id"),
        (["{mine}", "--name", "x.tflite"], 2, "cannot be a model's id"),
        (["{mine}", "--name", "ssdlite-mobilenet-v2-int8"], 2, "is a model of the catalogue"),
        (["{mine}", "--name", "ssdlite_mobilenet_v2_int8"], 2, "there is a file"),
        ([], 2, "which file?"),
    ],
)
def test_what_cannot_be_added_is_refused_and_nothing_is_kept(
    words: list[str],
    code: int,
    said: str,
    data: Samples,
    tmp_path: Path,
    kept: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = renamed(data / STARTER, ("a", "b", "c", "d"), (0, 1, 2, 3))
    files = {
        "mine": content,
        "cut": content[:-5000],
        "tiny": tiny_classifier("uint8"),
    }
    named = {name: tmp_path / f"{name}.tflite" for name in files}
    for name, path in named.items():
        path.write_bytes(files[name])
    named |= {"few": tmp_path / "few.txt", "wrong": tmp_path / "wrong.txt"}
    named["few"].write_text("thing\n")
    named["wrong"].write_text("\n".join(NAMES[::-1]))
    assert add(*(word.format(**named) for word in words), to=kept) == code
    printed = capsys.readouterr().err
    assert said in printed
    assert "Traceback" not in printed
    assert not kept.exists()


# --- 8 bit inputs


def test_an_input_of_signed_bytes_sees_what_the_unsigned_one_does(
    data: Samples, picture: Path, tmp_path: Path, kept: Path
) -> None:
    signed = keep(tmp_path, signed_input(unpacked(data / STARTER)), "\n".join(COCO))
    assert load_model(str(signed)).input_kind == "int8"
    assert seen_by(signed, picture) == seen_by(data / STARTER, picture)
    assert add(signed, "--name", "signed", to=kept) == 0
    assert load_model("signed").input_kind == "int8"
