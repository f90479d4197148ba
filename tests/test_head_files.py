"""YOLOv8, YOLOX and NanoDet as files, ONNX and TensorFlow Lite: ``models add``, ``detect``.

Weights are random, so what they see means nothing. What is printed must be what the runtime itself
and an independent decoder make of the picture, prepared as the head's own code prepares it.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from appliance.cli import main
from appliance.errors import LabelsError, ModelError
from appliance.selection.choose import load_model
from tests import reference_heads as reference
from tests import tiny_heads as heads
from tests.onnx_bytes import onnx, tensor
from tests.reshaped import packed, unpacked, with_labels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = (heads.WIDTH, heads.HEIGHT)
THRESHOLD = 0.5
NAMES = ["ant", "bee", "queen's bee"]
LAYOUTS = {
    "yolov8": heads.YOLOV8,
    "yolov8 in shares": heads.YOLOV8_SHARES,
    "yolox": heads.YOLOX,
    "nanodet": heads.NANODET,
}


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Return a picture of the models' size, whose colours all differ."""
    small = np.random.default_rng(3).integers(0, 256, (8, 16, 3), np.uint8)
    path = tmp_path / "colours.png"
    cv2.imwrite(str(path), cv2.resize(small, SIZE, interpolation=cv2.INTER_CUBIC))
    return path


def write(folder: Path, layout: heads.Layout, suffix: str) -> Path:
    path = folder / f"mine{suffix}"
    if suffix == ".onnx":
        path.write_bytes(heads.as_onnx(layout))
    else:
        content = heads.as_tflite(layout)
        if layout.metadata:
            content = with_labels(content, json.dumps(layout.metadata), "metadata.json")
        path.write_bytes(content)
    if not layout.metadata:
        path.with_name("mine.labels.txt").write_text("\n".join(NAMES))
    return path


def prepared(kind: str, picture: Path) -> NDArray[np.float32]:
    """Return (height, width, 3) as the head's own code has it."""
    bgr = np.asarray(cv2.imread(str(picture)), np.float32)
    if kind.startswith("yolov8"):
        return np.asarray(bgr[:, :, ::-1] / 255, np.float32)
    if kind == "yolox":
        return bgr
    mean, deviation = [103.53, 116.28, 123.675], [57.375, 57.12, 58.395]
    return ((bgr - mean) / deviation).astype(np.float32)


def output_of(path: Path, picture: NDArray[np.float32]) -> NDArray[Any]:
    if path.suffix == ".onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        planes = np.ascontiguousarray(picture.transpose(2, 0, 1))[None]
        return np.asarray(session.run(None, {session.get_inputs()[0].name: planes})[0])
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def expected(kind: str, path: Path, picture: Path) -> list[reference.Seen]:
    table = output_of(path, prepared(kind, picture))[0]
    if kind.startswith("yolov8"):
        return reference.yolov8(table, *SIZE, THRESHOLD, pixels=kind == "yolov8")
    if kind == "yolox":
        return reference.yolox(table, *SIZE, THRESHOLD, decoded=False)
    known, away = table[:, : heads.CLASSES], table[:, heads.CLASSES :]
    return reference.nanodet(known, away, *SIZE, THRESHOLD, plus=True)


def detect(
    model: str, suffix: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, Any]]:
    capsys.readouterr()
    accelerator = "onnx" if suffix == ".onnx" else "cpu"
    words = ["detect", str(picture), "--model", model, "--accelerator", accelerator, "--json"]
    assert main([*words, "--threshold", str(THRESHOLD)]) == 0
    printed: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["detections"]
    return printed


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_file_sees_what_its_runtime_and_another_decoder_say(
    kind: str,
    suffix: str,
    colours: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnxruntime")
    path = write(tmp_path, LAYOUTS[kind], suffix)
    right = expected(kind, path, colours)
    assert len({number for number, _, _ in right}) == len(NAMES)
    check(detect(str(path), suffix, colours, capsys), right)

    kept = tmp_path / "kept"
    monkeypatch.setenv("APPLIANCE_MODELS", str(kept))
    assert main(["models", "add", str(path), "--name", "insects", "--to", str(kept)]) == 0
    assert "3 labels: ant, bee, queen's bee" in capsys.readouterr().out
    check(detect("insects", suffix, colours, capsys), right)
    (entry,) = tomllib.loads((kept / "manifest.toml").read_text())["model"]
    assert entry["output"]["convention"] == kind.removesuffix(" in shares")


def check(seen: list[dict[str, Any]], right: list[reference.Seen]) -> None:
    assert [one["label"] for one in seen] == [NAMES[number] for number, _, _ in right]
    assert [one["score"] for one in seen] == pytest.approx([s for _, s, _ in right], abs=1e-3)
    for one, (_, _, (x0, y0, x1, y1)) in zip(seen, right, strict=True):
        box = [one["box"][side] for side in "xywh"]
        assert box == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=1e-3)


# --- what the exporter wrote into the file


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
@pytest.mark.parametrize(
    ("metadata", "fault", "said"),
    [
        ({"task": "segment"}, ModelError, "made for the task 'segment'"),
        ({"names": "{0: 'ant', 1: 'bee'}"}, LabelsError, "2 names, but the model has 3 classes"),
        ({"names": '["a", "b", "c", "d"]'}, LabelsError, "4 names, but the model has 3 classes"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(
    suffix: str, metadata: dict[str, str], fault: type[Exception], said: str, tmp_path: Path
) -> None:
    layout = replace(heads.YOLOV8, metadata=heads.NAMES | metadata)
    with pytest.raises(fault, match=said):
        load_model(str(write(tmp_path, layout, suffix)))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("metadata.json", '{"names": {"0": "ant", "1": "bee", "2": "queen\'s bee"}}'),
        ("TFLITE_ULTRALYTICS_METADATA.json", '{"names": ["ant", "bee", "queen\'s bee"]}'),
        ("temp_meta.txt", "{'names': {0: 'ant', 1: 'bee', 2: \"queen's bee\"}, 'task': 'detect'}"),
    ],
)
def test_names_are_read_however_the_exporter_wrote_them(
    file: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.tflite"
    path.write_bytes(with_labels(heads.as_tflite(heads.YOLOV8), text, file))
    assert load_model(str(path)).labels.names == ("", *NAMES)


@pytest.mark.parametrize("text", ["", "{", "[" * 5000, "{0: open('x')}", '"x"', "{'names': 3}"])
def test_metadata_that_say_nothing_leave_the_labels_beside(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.tflite"
    path.write_bytes(with_labels(heads.as_tflite(heads.YOLOV8), text, "metadata.json"))
    path.with_name("mine.labels.txt").write_text("\n".join(NAMES))
    assert load_model(str(path)).labels.names == ("", *NAMES)


# --- sizes


def test_an_onnx_file_without_a_size_is_refused_in_words(tmp_path: Path) -> None:
    picture = tensor("images", ("batch", 3, "height", "width"))
    output = tensor("output0", ("batch", 84, "anchors"))
    path = tmp_path / "any.onnx"
    path.write_bytes(onnx(inputs=(picture,), outputs=(output,)))
    with pytest.raises(ModelError, match="no fixed size") as refused:
        load_model(str(path))
    assert "dynamic=False" in (refused.value.hint or "")


def test_a_tflite_file_without_a_size_is_refused_in_words(
    tmp_path: Path, colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, heads.YOLOX, ".tflite")
    model = unpacked(path)
    picture = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]
    picture.shape, picture.shapeSignature = [1, 1, 1, 3], [-1, -1, -1, 3]
    path.write_bytes(packed(model))
    assert main(["detect", str(colours), "--model", str(path)]) == 65
    printed = capsys.readouterr().err
    assert "it has no fixed size" in printed
    assert "export it for pictures of one size" in printed


def test_an_onnx_batch_of_any_size_is_one_picture(
    tmp_path: Path, colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    path = write(tmp_path, heads.YOLOX, ".onnx")
    path.write_bytes(heads.as_onnx(heads.YOLOX, pictures="batch"))
    right = expected("yolox", path, colours)
    check(detect(str(path), ".onnx", colours, capsys), right)


def test_a_tflite_batch_of_any_size_is_one_picture(
    tmp_path: Path, colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, heads.YOLOX, ".tflite")
    right = expected("yolox", path, colours)
    model = unpacked(path)
    picture = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]
    picture.shapeSignature = [-1, heads.HEIGHT, heads.WIDTH, 3]
    path.write_bytes(packed(model))
    check(detect(str(path), ".tflite", colours, capsys), right)


def test_what_the_runtime_says_of_a_file_it_cannot_load_is_not_printed(
    tmp_path: Path, colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, heads.YOLOX, ".tflite")
    model = unpacked(path)
    graph = model.subgraphs[0]
    graph.operators[0].inputs = graph.operators[0].inputs[:2][::-1]
    path.write_bytes(packed(model))
    assert main(["detect", str(colours), "--model", str(path)]) == 65
    printed = capsys.readouterr().err
    assert "TensorFlow Lite cannot load it" in printed
    assert ".cc" not in printed


# --- what an owner writes into the manifest


def test_a_manifest_may_say_how_the_model_was_trained(
    tmp_path: Path,
    colours: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(tmp_path, heads.YOLOX, ".tflite")
    kept = tmp_path / "kept"
    monkeypatch.setenv("APPLIANCE_MODELS", str(kept))
    assert main(["models", "add", str(path), "--name", "insects", "--to", str(kept)]) == 0
    manifest = kept / "manifest.toml"
    written = manifest.read_text()
    plain = 'order = "bgr"'
    assert plain in written
    trained = f"{plain}, offset = [-9.0, 3.0, 20.0]"
    assert "offset = 0.0, " in written
    manifest.write_text(written.replace("offset = 0.0, ", "").replace(plain, trained))
    shifted = prepared("yolox", colours) + np.array([-9, 3, 20], np.float32)
    right = reference.yolox(output_of(path, shifted)[0], *SIZE, THRESHOLD, decoded=False)
    assert right != expected("yolox", path, colours)
    check(detect("insects", ".tflite", colours, capsys), right)
    manifest.write_text(manifest.read_text().replace('"yolox"', '"end-to-end"'))
    with pytest.raises(ModelError, match="which is not end-to-end"):
        load_model("insects")
