"""A model is checked before any native loader sees it; both output conventions are recognised."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import LabelsError, ModelError, UnavailableError
from appliance.models import Catalogue, Labels, find_models_folder
from appliance.models.fetch import fetch
from appliance.models.model import read_labels
from appliance.models.tflite import inspect_tflite
from appliance.selection.choose import load_model
from appliance.vision.heads import PostProcessedHead, RawSsdHead
from appliance.vision.postprocess import Quantisation, decode_raw_ssd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.samples import Samples

MODELS = find_models_folder()[0]
DEFAULT = (MODELS / "ssdlite_mobilenet_v2_int8.tflite").read_bytes()


def copy_of_models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    shutil.copytree(MODELS, folder, ignore=shutil.ignore_patterns("build", "out"))
    return folder


def test_the_default_model_is_what_the_manifest_says() -> None:
    model = load_model("ssdlite-mobilenet-v2-int8")
    assert (model.input_width, model.input_height, model.input_kind) == (300, 300, "uint8")
    assert isinstance(model.head, RawSsdHead)
    assert model.labels.name(1) == "person"
    assert model.labels.name(90) == "toothbrush"


@pytest.mark.parametrize("keep", [0, 3, 8, 100, 10_000, 5_000_000, len(DEFAULT) - 1])
def test_a_truncated_model_is_refused_by_its_size(tmp_path: Path, keep: int) -> None:
    folder = copy_of_models(tmp_path)
    (folder / "ssdlite_mobilenet_v2_int8.tflite").write_bytes(DEFAULT[:keep])
    with pytest.raises(ModelError, match="expected 5342696"):
        Catalogue((folder,)).load("ssdlite-mobilenet-v2-int8")


def test_a_flipped_bit_is_refused_by_its_hash(tmp_path: Path) -> None:
    folder = copy_of_models(tmp_path)
    damaged = bytearray(DEFAULT)
    damaged[2_000_000] ^= 1
    (folder / "ssdlite_mobilenet_v2_int8.tflite").write_bytes(damaged)
    with pytest.raises(ModelError, match="sha256 is"):
        Catalogue((folder,)).load("ssdlite-mobilenet-v2-int8")


@settings(max_examples=60)
@given(st.integers(0, len(DEFAULT) - 1))
def test_an_unknown_truncated_file_never_reaches_the_loader(keep: int) -> None:
    with pytest.raises(ModelError):
        inspect_tflite(DEFAULT[:keep], "cut")


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(8, 60_000), st.integers(0, 255)), min_size=1, max_size=20))
def test_damaged_structure_raises_a_model_error_or_reads(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(DEFAULT)
    for place, value in changes:
        damaged[-place] = value
    try:
        inspect_tflite(bytes(damaged), "damaged")
    except ModelError as error:
        assert "damaged" in str(error) or "model" in str(error)


def test_missing_and_unknown_models_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        load_model(str(tmp_path / "none.tflite"))
    with pytest.raises(ModelError, match="not in the catalogue"):
        load_model("yolo")
    with pytest.raises(ModelError, match="appliance models fetch"):
        Catalogue((MODELS,)).load("coco_ssd_mobilenet_v1_1.0_quant")


def test_something_else_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "picture.tflite"
    path.write_bytes(b"\xff\xd8\xff\xe0 not a model at all")
    with pytest.raises(ModelError, match="not a TensorFlow Lite file"):
        load_model(str(path))


@pytest.mark.parametrize(
    "name", ["seed_mobilenet_v1", "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29"]
)
def test_postprocessed_models_are_recognised(data: Samples, name: str) -> None:
    model = load_model(str(data / f"models/{name}.tflite"))
    assert isinstance(model.head, PostProcessedHead)
    assert model.head.label_offset == 1


def test_labels_must_fit(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("???\nperson\n")
    with pytest.raises(LabelsError, match="2 lines, but the model needs 91"):
        read_labels(path, classes=91)
    path.write_text("\n")
    with pytest.raises(LabelsError, match="holds no names"):
        read_labels(path)
    with pytest.raises(LabelsError, match="cannot be read"):
        read_labels(tmp_path / "none.txt")


def test_a_model_of_some_classes_keeps_their_ids(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("???\nperson\n???\ncar\n")
    labels = read_labels(path, classes=3)  # background, person, car
    assert labels.columns() == (0, 1, 3)
    with pytest.raises(LabelsError, match="'dog'"):
        labels.ids(("dog",))
    encodings, logits = np.zeros((2, 4), np.float32), np.full((2, 3), -9, np.float32)
    logits[0, 2] = logits[1, 1] = 3
    found = decode_raw_ssd(
        encodings,
        logits,
        np.asarray([[0, 0, 0.4, 0.4], [0.5, 0.5, 1, 1]], np.float32),
        encoding_quantisation=Quantisation(),
        logit_quantisation=Quantisation(),
        scales=(10, 10, 5, 5),
        score_threshold=0.5,
        label_ids=labels.columns(),
    )
    assert sorted(found.label_ids.tolist()) == [1, 3]


@pytest.mark.parametrize(
    ("name", "known", "width"),
    [
        ("ssdlite-mobilenet-v2-int8-224", 80, 224),
        ("ssdlite-mobilenet-v2-int8-person", 1, 300),
        ("ssdlite-mobilenet-v2-int8-person-car", 2, 300),
    ],
)
def test_faster_variants_load_with_their_anchors_and_ids(
    name: str, known: int, width: int, built_models: None
) -> None:
    catalogue = Catalogue(find_models_folder())
    (entry,) = (one for one in catalogue.entries() if one.id == name)
    if catalogue.find_file(entry) is None:
        pytest.skip(f"{name}: not built here")
    model = catalogue.load(name)
    assert sum(1 for one in model.labels.names if one) == known
    assert model.input_width == width
    assert isinstance(model.head, RawSsdHead)
    assert model.labels.ids(("person",)) == {1}
    assert model.head.label_ids in {(), (0, 1, 3)}


@given(st.integers(-5, 1000))
def test_any_label_id_has_a_name(label_id: int) -> None:
    labels = Labels(("", "person", "", "car"))
    assert labels.name(label_id) in {"person", "car", f"class_{label_id}"}


def test_unknown_labels_are_refused() -> None:
    with pytest.raises(LabelsError, match="'persn'"):
        Labels(("", "person")).ids(("persn",))


def test_fetching_from_a_copy_verifies(data: Samples, tmp_path: Path) -> None:
    entries = {entry.id: entry for entry in Catalogue((MODELS,)).entries()}
    entry = entries["coco_ssd_mobilenet_v1_1.0_quant"]
    copy = data / f"models/{entry.file}"
    path = fetch(entry, tmp_path / "to", copy_from=copy.parent)
    assert path.stat().st_size == entry.bytes
    wrong = tmp_path / entry.file
    wrong.write_bytes(b"x" * entry.bytes)
    with pytest.raises(ModelError, match="sha256"):
        fetch(entry, tmp_path / "to", copy_from=wrong)
    with pytest.raises(UnavailableError, match="no copy at"):
        fetch(entry, tmp_path / "to", copy_from=tmp_path / "nowhere")


def test_an_unpinned_model_is_pinned_by_its_first_fetch(tmp_path: Path) -> None:
    entries = {entry.id: entry for entry in Catalogue((MODELS,)).entries()}
    entry = entries["ssd_mobilenet_v2_coco_quant_postprocess"]
    copy = tmp_path / entry.file
    copy.write_bytes(DEFAULT)
    fetch(entry, tmp_path / "to", copy_from=copy)
    copy.write_bytes(DEFAULT + b"x")
    with pytest.raises(ModelError, match="sha256"):
        fetch(entry, tmp_path / "to", copy_from=copy)
