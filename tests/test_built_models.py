"""What is built is vouched for by its build: a record beside each file, on any processor."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from appliance.cli import main
from appliance.errors import ModelError
from appliance.models import Catalogue, find_models_folder
from appliance.models.fetch import fetch
from tests.helpers import ROOT
from tests.test_model_formats import GOOD, PARAM

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import ModelEntry

MAIN = find_models_folder()[0]
ONNX, ONNX_FILE = "ssdlite-mobilenet-v2-onnx", "ssdlite_mobilenet_v2.onnx"
NCNN, NCNN_FILE = "ssdlite-mobilenet-v2-ncnn", "ssdlite_mobilenet_v2.ncnn"
OTHER_BYTES = GOOD + b"\xf2\x3f\x01x"  # the same graph and a field that nobody reads


def record(path: Path, content: bytes) -> None:
    path.with_name(path.name + ".sha256").write_text(hashlib.sha256(content).hexdigest() + "\n")


def write(folder: Path, name: str, content: bytes) -> Path:
    """Leave a file as a build does."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    record(folder / name, content)
    return folder / name


def write_ncnn(folder: Path) -> Path:
    write(folder, f"{NCNN_FILE}.bin", b"w")
    param = PARAM.replace(" b\n", " out1\n").encode()
    return write(folder, f"{NCNN_FILE}.param", param)


def entry_of(name: str) -> ModelEntry:
    (found,) = (one for one in Catalogue((MAIN,)).entries() if one.id == name)
    return found


@pytest.mark.parametrize("content", [GOOD, OTHER_BYTES])
def test_a_built_file_is_taken_with_its_record_whatever_its_bytes(
    content: bytes, tmp_path: Path
) -> None:
    path = write(tmp_path, ONNX_FILE, content)
    catalogue = Catalogue((MAIN, tmp_path))
    assert catalogue.load(ONNX).sha256 == hashlib.sha256(content).hexdigest()
    assert catalogue.load(str(path)).id == ONNX


def test_a_record_that_sha256sum_wrote_counts(tmp_path: Path) -> None:
    path = write(tmp_path, ONNX_FILE, GOOD)
    line = f"{hashlib.sha256(GOOD).hexdigest()}  {ONNX_FILE}\n"
    path.with_name(path.name + ".sha256").write_text(line)
    assert Catalogue((MAIN, tmp_path)).load(ONNX).id == ONNX


def test_a_built_file_without_a_record_is_refused_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, ONNX_FILE, GOOD)
    path.with_name(path.name + ".sha256").unlink()
    for name in (ONNX, str(path)):
        with pytest.raises(ModelError, match=r"no record of its build.*make models"):
            Catalogue((MAIN, tmp_path)).load(name)
    monkeypatch.setenv("APPLIANCE_MODELS", str(tmp_path))
    assert main(["detect", "x.jpg", "--accelerator", "onnx", "--model", ONNX]) == 65
    assert f"appliance models fetch {ONNX} --from models/out" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "rubbish\n", "\xe9" * 64, "0" * 63])
def test_a_record_that_cannot_be_read_vouches_for_nothing(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, ONNX_FILE, GOOD)
    path.with_name(path.name + ".sha256").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match=r"record .* is damaged"):
        Catalogue((MAIN, tmp_path)).load(ONNX)


def test_a_built_file_that_differs_from_its_record_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, ONNX_FILE, GOOD)
    path.write_bytes(OTHER_BYTES)
    for name in (ONNX, str(path)):
        with pytest.raises(ModelError, match=r"damaged or another file.*make models"):
            Catalogue((MAIN, tmp_path)).load(name)


@pytest.mark.parametrize("suffix", ["param", "bin"])
def test_both_files_of_ncnn_need_their_record(suffix: str, tmp_path: Path) -> None:
    write_ncnn(tmp_path)
    assert Catalogue((MAIN, tmp_path)).load(NCNN).id == NCNN
    kept = tmp_path / f"{NCNN_FILE}.{suffix}.sha256"
    record(tmp_path / f"{NCNN_FILE}.{suffix}", b"other")
    with pytest.raises(ModelError, match=rf"{suffix}: sha256 is"):
        Catalogue((MAIN, tmp_path)).load(NCNN)
    kept.unlink()
    with pytest.raises(ModelError, match=rf"{suffix}: has no record of its build"):
        Catalogue((MAIN, tmp_path)).load(NCNN)


@pytest.mark.parametrize("name", ["ssd_anchors.npy", "coco_labels.txt"])
def test_anchors_and_labels_of_the_build_need_their_record(name: str, tmp_path: Path) -> None:
    write(tmp_path, ONNX_FILE, GOOD)
    shutil.copy(MAIN / name, tmp_path / name)
    with pytest.raises(ModelError, match=rf"{name}: has no record of its build"):
        Catalogue((MAIN, tmp_path)).load(ONNX)
    record(tmp_path / name, (MAIN / name).read_bytes())
    assert Catalogue((MAIN, tmp_path)).load(ONNX).id == ONNX
    (tmp_path / name).write_bytes(b"other")
    with pytest.raises(ModelError, match=rf"{name}: sha256 is"):
        Catalogue((MAIN, tmp_path)).load(ONNX)


def test_a_model_built_again_is_fetched_over_the_old_one(tmp_path: Path) -> None:
    out, kept = tmp_path / "out", tmp_path / "kept"
    for content in (GOOD, OTHER_BYTES):
        write(out, ONNX_FILE, content)
        fetch(entry_of(ONNX), kept, copy_from=out)
        loaded = Catalogue((MAIN, kept)).load(ONNX)
        assert loaded.sha256 == hashlib.sha256(content).hexdigest()
    shutil.rmtree(out)
    write_ncnn(out)
    fetch(entry_of(NCNN), kept, copy_from=out)
    assert Catalogue((MAIN, kept)).load(NCNN).weights == kept / f"{NCNN_FILE}.bin"


@pytest.mark.parametrize("broken", ["param", "bin"])
def test_nothing_is_kept_of_a_build_without_records(broken: str, tmp_path: Path) -> None:
    out, kept = tmp_path / "out", tmp_path / "kept"
    write_ncnn(out)
    (out / f"{NCNN_FILE}.{broken}.sha256").unlink()
    with pytest.raises(ModelError, match="no record of its build"):
        fetch(entry_of(NCNN), kept, copy_from=out)
    assert not list(kept.glob("*"))


def test_verify_looks_at_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APPLIANCE_MODELS", str(tmp_path))
    write_ncnn(tmp_path)
    assert main(["models", "verify", "--json"]) == 0
    rows = {row["id"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    written = (tmp_path / f"{NCNN_FILE}.param.sha256").read_text().strip()
    assert (rows[NCNN]["state"], rows[NCNN]["sha256"]) == ("here, verified", written)
    (tmp_path / f"{NCNN_FILE}.bin").write_bytes(b"v")
    assert main(["models", "verify"]) == 65
    assert f"{NCNN_FILE}.bin: sha256 is" in capsys.readouterr().out
    (tmp_path / f"{NCNN_FILE}.bin.sha256").unlink()
    assert main(["models", "verify"]) == 65
    assert f"{NCNN_FILE}.bin: has no record" in capsys.readouterr().out
    write_ncnn(tmp_path)
    shutil.copy(MAIN / "ssd_anchors.npy", tmp_path)
    assert main(["models", "verify"]) == 65
    assert "ssd_anchors.npy: has no record" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ('kind = "built"', 'sha256 = "{hash}"\nkind = "built"', "cannot be pinned"),
        ('kind = "built"', 'bytes = 7\nkind = "built"', "cannot be pinned"),
        ('kind = "built"', 'weights_sha256 = "{hash}"\nkind = "built"', "cannot be pinned"),
        ("bytes = 5342696\n", "", "must be pinned"),
    ],
)
def test_a_manifest_pins_what_is_bundled_and_nothing_that_is_built(
    was: str, becomes: str, said: str, tmp_path: Path
) -> None:
    text = (MAIN / "manifest.toml").read_text("utf-8")
    assert was in text
    changed = text.replace(was, becomes.format(hash="0" * 64), 1)
    (tmp_path / "manifest.toml").write_text(changed, "utf-8")
    with pytest.raises(ModelError, match=rf"{tmp_path}.*{said}"):
        Catalogue((tmp_path,))


def test_a_build_takes_its_word_back_for_what_strays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "models/build"))
    records = importlib.import_module("records")
    path = tmp_path / ONNX_FILE
    path.write_bytes(GOOD)
    records.record(path)
    assert Catalogue((MAIN, tmp_path)).load(ONNX).id == ONNX
    records.record(path, good=False)
    with pytest.raises(ModelError, match="no record of its build"):
        Catalogue((MAIN, tmp_path)).load(ONNX)


def test_every_file_that_was_built_here_has_its_record(built_models: None) -> None:
    out = ROOT / "models/out"
    kinds = ("*.tflite", "*.onnx", "*.ncnn.*", "*.pb", "*.npy", "*.labels.txt")
    files = {path for kind in kinds for path in out.glob(kind)}
    built = {path for path in files if path.suffix != ".sha256" and ".pnnx" not in path.name}
    if not built:
        pytest.skip("no models were built here")
    for path in built:
        written = path.with_name(path.name + ".sha256").read_text().strip()
        assert written == hashlib.sha256(path.read_bytes()).hexdigest(), path.name
    catalogue = Catalogue((MAIN, out))
    entries = [one for one in catalogue.entries() if one.kind == "built"]
    here = [one.id for one in entries if catalogue.find_file(one)]
    assert here
    for name in here:
        assert catalogue.load(name).id == name
