"""RKNN Lite2 against a stand-in that does as rknn_lite.py 2.5.0 does. No hardware."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.accelerators import Machine, Registry
from appliance.accelerators.process.rknn_file import chips, wrong_with
from appliance.accelerators.rknn import Options, RknnAccelerator
from appliance.errors import AcceleratorUnavailableError, DetectorLostError, ModelError
from appliance.models import Catalogue, Model, find_models_folder
from appliance.models.files import how_to_get
from tests.helpers import side_python
from tests.vendors import load, look, models_folder, rknn_file, write_rknn  # noqa: F401

if TYPE_CHECKING:
    from pathlib import Path


def board(tmp_path: Path, chip: str = "rk3588") -> Machine:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    compatible = f"some,board\0rockchip,{chip}\0"
    (tmp_path / "proc/device-tree/compatible").write_bytes(compatible.encode())
    return Machine(tmp_path)


def test_rknn_decodes_encodings_and_logits(
    models: Path, tmp_path: Path, default_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "init"
    monkeypatch.setenv("FAKE_RKNN_LOG", str(log))
    accelerator = RknnAccelerator(Options(cores="0_1_2"), board(tmp_path))
    detector = accelerator.open(load(accelerator), threads=1)
    assert log.read_text() == "{'core_mask': 7}"
    look(detector, 9)
    seen = detector.detections(0.5)
    assert seen.label_ids.tolist() == [17]
    assert seen.scores.tolist() == pytest.approx([1 / (1 + np.exp(-4))])
    assert not detector.degraded
    detector.close()


def test_rknn_names_no_cores_where_there_is_one(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtime refuses every core mask but "auto" on a chip with one core."""
    log = tmp_path / "init"
    monkeypatch.setenv("FAKE_RKNN_LOG", str(log))
    monkeypatch.setenv("FAKE_RKNN_CHIP", "rk3566")
    write_rknn(models, rknn_file("rk3566"))
    accelerator = RknnAccelerator(Options(cores="0_1_2"), board(tmp_path, "rk3566"))
    accelerator.open(load(accelerator), threads=1).close()
    assert log.read_text() == "{}"


@pytest.mark.parametrize(
    ("told", "error", "said"),
    [
        ("no_driver", AcceleratorUnavailableError, r"cannot be opened.*need to insmod rknpu"),
        ("lost", DetectorLostError, "gave no result"),
    ],
)
def test_rknn_failures(
    told: str, error: type[Exception], said: str, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_RKNN", told)
    accelerator = Registry().get("rknn")
    with pytest.raises(error, match=said):
        look(accelerator.open(load(accelerator), threads=1), 9)


def test_rknn_of_another_toolkit_says_what_rknn_said(models: Path) -> None:
    """The vendor's own words reach the user: its return value is -1 whatever is wrong."""
    write_rknn(models, rknn_file("rk3588", version=7))
    accelerator = Registry().get("rknn")
    with pytest.raises(AcceleratorUnavailableError, match="Invalid RKNN model version 7") as caught:
        accelerator.open(load(accelerator), threads=1)
    assert "RKNN_ERR_FAIL" in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><title>404</title>" + bytes(200), "is no RKNN file"),
        (b"CYPTRKNN" + bytes(200), "encrypted"),
        (b"", "is no RKNN file"),
        (rknn_file("rk3566"), r"converted for RK3566, this is RK3588.*target_platform rk3588"),
        (rknn_file("rk3562", "rk3576"), "converted for RK3562 and RK3576, this is RK3588"),
    ],
)
def test_rknn_files_that_this_chip_cannot_run_are_refused_before_the_npu_is_asked(
    content: bytes, said: str, models: Path, tmp_path: Path
) -> None:
    accelerator = RknnAccelerator(Options(), board(tmp_path))
    model = load(accelerator)
    model.path.write_bytes(content)  # the catalogue's own check has passed
    with pytest.raises(ModelError, match=said):
        accelerator.open(model, threads=1)


@pytest.mark.parametrize(
    ("chip", "made_for"),
    [("rk3588s", "rk3588"), ("rk3568", "rk3566"), ("rk3566", "rk3568"), ("rk3576", "rk3576")],
)
def test_rknn_files_for_a_twin_of_the_chip_are_taken(chip: str, made_for: str) -> None:
    assert wrong_with(rknn_file(made_for), chip) == ""


@pytest.mark.parametrize(
    "content",
    [b"RKNN", b"RKNN" + bytes(100), rknn_file(), rknn_file("rk3588")[:-3],
     b"RKNN" + struct.pack("<4xQQ40x", 6, 2**63) + bytes(100)],
)  # fmt: skip
def test_rknn_files_that_do_not_say_their_chip_are_left_to_the_runtime(content: bytes) -> None:
    assert chips(content) == ()
    assert wrong_with(content, "rk3588") == ""


def test_rknn_finds_its_library_in_one_place_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIBRKNNRT_PATH", raising=False)
    machine = board(tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/rknpu").touch()
    place = tmp_path / "usr/lib/aarch64-linux-gnu/librknnrt.so"
    place.parent.mkdir(parents=True)
    place.touch()
    detail = Registry().get("rknn").probe(machine).detail
    assert "link it to /usr/lib/librknnrt.so" in detail
    place.rename(tmp_path / "usr/lib/librknnrt.so")
    assert "librknnrt" not in Registry().get("rknn").probe(machine).detail


def test_rknn_is_never_promised_as_something_we_make() -> None:
    """No build of ours makes that file: the advice says who does, for which chip, and where."""
    entry = next(e for e in Catalogue(find_models_folder()).entries() if e.format == "rknn")
    advice = how_to_get(entry)
    assert "make models" not in advice
    assert "you convert it" in advice
    assert "for your chip (docs/accelerators.md)" in advice


def test_rknn_in_a_side_interpreter(models: Path) -> None:
    python = side_python(".side/3.10")
    accelerator = Registry({"rknn": {"interpreter": python}}).get("rknn")
    detector = accelerator.open(load(accelerator), threads=1)
    look(detector, 9)
    assert detector.detections(0.5).label_ids.tolist() == [17]
    detector.close()
