"""Models of other formats: described, found by family, and refused before native code sees them."""

from __future__ import annotations

import contextlib
import hashlib
import struct
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.board.target import Target
from appliance.cli import main
from appliance.errors import ApplianceError, ModelError
from appliance.models import Catalogue, Vocabulary, find_models_folder
from appliance.models.model import Labels
from appliance.models.ncnn import inspect_ncnn
from appliance.models.onnx import inspect_onnx
from appliance.vision.heads import RawSsdHead
from tests.onnx_bytes import node, onnx, tensor

if TYPE_CHECKING:
    from pathlib import Path

MAIN = find_models_folder()[0]
CPU = Target("cpu", frozenset({"tflite"}))
NCNN = Target("ncnn", frozenset({"ncnn"}))
EDGETPU = Target("edgetpu", frozenset({"tflite"}), compiled=True)


# --- ONNX


BOXES, SCORES = tensor("boxes", (1, 1917, 4)), tensor("scores", (1, 1917, 91))
GOOD = onnx(
    inputs=(tensor("picture", (1, 300, 300, 3)), tensor("weights", (4,))),
    outputs=(BOXES, SCORES),
    stored=bytes(4000),
)


def test_without_the_package_that_reads_them_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match="the package onnx is needed") as caught:
        inspect_onnx(GOOD, "good")
    assert "pip install onnx" in caught.value.hint


def test_an_onnx_file_says_what_it_is() -> None:
    graph = inspect_onnx(GOOD, "good")
    assert [(one.name, one.shape, one.dtype) for one in graph.inputs] == [
        ("picture", (1, 300, 300, 3), "float32")
    ]
    assert [one.shape for one in graph.outputs] == [(1, 1917, 4), (1, 1917, 91)]


@pytest.mark.parametrize("keep", [0, 1, 5, 100, len(GOOD) - 1])
def test_a_cut_onnx_file_is_refused(keep: int) -> None:
    with pytest.raises(ModelError, match="cut"):
        inspect_onnx(GOOD[:keep], "cut")


@given(st.binary(max_size=300))
def test_no_bytes_break_the_inspectors(content: bytes) -> None:
    for inspect in (inspect_onnx, inspect_ncnn):
        with pytest.raises(ModelError):
            inspect(content, "noise")


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_changed_byte_is_an_error_or_another_graph(place: int, value: int) -> None:
    changed = bytearray(GOOD)
    changed[place] = value
    with contextlib.suppress(ApplianceError):
        inspect_onnx(bytes(changed), "changed")


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ((tensor("picture", (1, 300, 300, 4)),), (BOXES, SCORES), "input is"),
        ((tensor("picture", (1, 0, 300, 3)),), (BOXES, SCORES), "input is"),
        ((tensor("a", (1, 3)), tensor("b", (1, 3))), (BOXES, SCORES), "input is"),
        ((tensor("picture", (1, 300, 300, 3)),), (SCORES,), "outputs are"),
        (
            (tensor("picture", (1, 300, 300, 3)),),
            (tensor("boxes", (1, 20, 4)), tensor("scores", (1, 20, 91))),
            "do not fit 1917 anchors",
        ),
    ],
)
def test_a_graph_that_is_no_detector_is_refused(
    inputs: tuple[bytes, ...], outputs: tuple[bytes, ...], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(onnx(inputs=inputs, outputs=outputs))
    with pytest.raises(ModelError, match=said):
        Catalogue((MAIN,)).load(str(path))


@pytest.mark.parametrize(
    ("nodes", "activated"),
    [
        ((), False),
        ((node("Sigmoid", ("logits",), "scores"),), True),
        ((node("Softmax", ("logits",), "p"), node("Reshape", ("p", "shape"), "scores")), True),
        ((node("Sigmoid", ("logits",), "p"), node("Add", ("p", "bias"), "scores")), False),
        ((node("Sigmoid", ("encodings",), "boxes"),), False),
    ],
)
def test_an_onnx_head_that_has_applied_its_sigmoid_is_recognised(
    nodes: tuple[bytes, ...], activated: bool, tmp_path: Path
) -> None:
    path = tmp_path / "own.onnx"
    picture = tensor("p", (1, 3, 300, 300))
    path.write_bytes(onnx(inputs=(picture,), outputs=(BOXES, SCORES), nodes=nodes))
    head = Catalogue((MAIN,)).load(str(path)).head
    assert isinstance(head, RawSsdHead)
    assert head.activated is activated


def test_planes_first_is_known(tmp_path: Path) -> None:
    path = tmp_path / "planes.onnx"
    path.write_bytes(onnx(inputs=(tensor("p", (1, 3, 240, 320)),), outputs=(BOXES, SCORES)))
    model = Catalogue((MAIN,)).load(str(path))
    assert (model.input_layout, model.input_width, model.input_height) == ("nchw", 320, 240)


# --- ncnn

PARAM = """7767517
3 3
Input   in0  0 1 in0 0=3 1=300 2=300
Split   s    1 2 in0 a b
Concat  c    1 1 a out0
"""


def test_an_ncnn_graph_says_what_it_is() -> None:
    graph = inspect_ncnn(PARAM.encode(), "good")
    assert graph.inputs[0].shape == (1, 300, 300, 3)
    assert {one.name for one in graph.outputs} == {"b", "out0"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PARAM.replace("7767517", "1"), "not an ncnn .param file"),
        (PARAM.replace("3 3", "4 3"), "damaged or cut"),
        (PARAM.replace("3 3", ""), "damaged or cut"),
        (PARAM.replace(" 0=3 1=300 2=300", ""), "declares no shape"),
        (PARAM.replace("2=300", "2=wide"), "damaged or cut"),
        (PARAM.replace("a b", "a"), "damaged or cut"),
    ],
)
def test_a_damaged_ncnn_graph_is_refused(text: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        inspect_ncnn(text.encode(), "bad")


MANIFEST = """
default = "own"
[[model]]
id = "own"
title = "own"
file = "own.param"
weights = "own.bin"
weights_sha256 = "{sha256}"
kind = "fetched"
format = "ncnn"
input = {{ width = {width}, height = 300, dtype = "float32" }}
output = {{ convention = "raw-ssd", tensors = ["b", "{output}"] }}
"""


def own(folder: Path, *, width: int = 300, output: str = "out0", weights: bytes = b"w") -> Path:
    (folder / "own.param").write_text(PARAM)
    (folder / "own.bin").write_bytes(weights)
    sha256 = hashlib.sha256(b"w").hexdigest()
    text = MANIFEST.format(width=width, output=output, sha256=sha256)
    (folder / "manifest.toml").write_text(text)
    return folder


def test_a_folder_may_bring_its_own_manifest(tmp_path: Path) -> None:
    model = Catalogue((MAIN, own(tmp_path))).load("own")
    assert model.format == "ncnn"
    assert model.weights == tmp_path / "own.bin"
    assert model.head.tensor_names == ("b", "out0")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 320}, "input is float32 300x300, the manifest says float32 320x300"),
        ({"output": "nothing"}, "has no output 'nothing'"),
        ({"weights": b"x"}, "damaged or another file"),
    ],
)
def test_ncnn_would_crash_so_it_is_refused_before(
    changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    own(tmp_path, **changes)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=said):
        Catalogue((MAIN, tmp_path)).load("own")


def test_an_undescribed_ncnn_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.param").write_text(PARAM)
    with pytest.raises(ModelError, match=r"describe it in a manifest\.toml"):
        Catalogue((MAIN,)).load(str(tmp_path / "x.param"))


# --- families


def test_an_id_stands_for_its_family_and_auto_for_its_task(tmp_path: Path) -> None:
    edgetpu = "ssd_mobilenet_v2_coco_quant_postprocess_edgetpu"
    catalogue = Catalogue((MAIN, tmp_path))
    with pytest.raises(ModelError, match=rf"needs it \(appliance models fetch {edgetpu}\)"):
        catalogue.load("auto", EDGETPU)
    with pytest.raises(ModelError, match="edgetpu takes tflite made for it"):
        catalogue.load("seed-mobilenet-v1", EDGETPU)
    with pytest.raises(ModelError, match="make models"):
        catalogue.load("auto", NCNN)
    assert catalogue.load("ssdlite-mobilenet-v2-ncnn", CPU).id == "ssdlite-mobilenet-v2-int8"


def test_a_path_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(GOOD)
    with pytest.raises(ModelError, match="is onnx; cpu takes tflite"):
        Catalogue((MAIN,)).load(str(path), CPU)
    other = tmp_path / "model.weights"
    other.write_bytes(struct.pack("<I", 7))
    with pytest.raises(ModelError, match="not a known kind of model"):
        Catalogue((MAIN,)).load(str(other))


def test_a_broken_manifest_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_text("default = 3")
    with pytest.raises(ModelError, match=str(tmp_path)):
        Catalogue((MAIN, tmp_path))


def test_a_vocabulary_keeps_ids() -> None:
    words = Vocabulary(Labels(("", "person", "cat")))
    assert words.id_of("cat") == 2
    assert words.id_of("gnome") == words.id_of("gnome") == 1000
    assert words.id_of("troll") == 1001
    assert [words.name(i) for i in (2, 1001, 5)] == ["cat", "troll", "class_5"]


@pytest.mark.parametrize(
    ("accelerator", "model", "code", "said"),
    [
        ("onnx", "seed-mobilenet-v1", 65, "onnx takes onnx"),
        ("ncnn", "{folder}/cut.param", 65, "damaged or cut"),
        ("onnx", "{folder}/cut.onnx", 65, "not an ONNX file, or damaged"),
        ("cpu", "{folder}/model.onnx", 65, "cpu takes tflite"),
        ("hailo", "auto", 69, "no Hailo on PCIe"),
        ("warp", "auto", 2, "known: auto, cpu"),
    ],
)
def test_mistakes_end_with_the_right_code(
    accelerator: str,
    model: str,
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if accelerator in {"onnx", "ncnn"}:
        pytest.importorskip("onnxruntime" if accelerator == "onnx" else "ncnn")
    (tmp_path / "cut.param").write_text(PARAM[:40])
    (tmp_path / "cut.onnx").write_bytes(GOOD[:200])
    (tmp_path / "model.onnx").write_bytes(GOOD)
    name = model.format(folder=tmp_path)
    words = ["detect", "x.jpg", "--accelerator", accelerator, "--model", name]
    assert main(words) == code
    printed = capsys.readouterr().err
    assert said in printed
    assert "Traceback" not in printed
