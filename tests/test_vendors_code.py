"""Vendors' own code under ours: RKNN Lite2's Python, and the binding generator of HailoRT.

Fetched by scripts/fetch_vendors.sh (pinned, by hash); skipped where it is not here. Of RKNN Lite2
the compiled helpers are for arm64 and stood in for (tests/fakes/vendor/rknn_helpers), and of
HailoRT the library: what a binding of its kind sees of an array is compiled here.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.accelerators.process.hailo_engine import numpy_problem
from appliance.accelerators.rknn import Options, RknnAccelerator
from appliance.errors import AcceleratorUnavailableError, DetectorLostError, ModelError
from tests.helpers import ROOT, side_python
from tests.test_rknn_contract import board
from tests.vendors import VENDOR, load, look, models_folder, rknn_file, write_rknn  # noqa: F401

BINDING = """\
#include <pybind11/numpy.h>

namespace py = pybind11;

PYBIND11_MODULE(binding, m) {
  m.def("of_array", [](py::array given) { return given.nbytes(); });
  m.def("of_buffer", [](py::buffer given) {
    py::buffer_info seen = given.request();
    return seen.size * seen.itemsize;
  });
}
"""
"""An array as HailoRT's set_buffer takes it, and the same memory by the buffer protocol."""
HAILORT = {"pybind11-2.10": "4.23.0", "pybind11-2.13": "5.1.1"}
"""A HailoRT that is built with each."""
PICTURE_BYTES = 300 * 300 * 3


def vendors(name: str) -> Path:
    folder = ROOT / ".vendors" / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not here: scripts/fetch_vendors.sh fetches it")
    return folder


# --- RKNN Lite2


@pytest.fixture
def rknn_lite(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real rknn_lite.py where an import finds it, its helpers stood in for."""
    real = vendors("rknn")
    place = tmp_path / "site"
    shutil.copytree(real, place, ignore=shutil.ignore_patterns("*.so"))
    shutil.copytree(VENDOR / "rknn_helpers", place / "rknnlite/api", dirs_exist_ok=True)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("PYTHONPATH", f"{place}{os.pathsep}{VENDOR}")
    return place


@pytest.mark.parametrize(
    ("cores", "mask"),
    [("auto", 0), ("1", 2), ("0_1", 3), ("0_1_2", 7), ("all", 0xFFFF)],
)
def test_rknn_lite_runs_a_model_on_the_cores_that_are_named(
    cores: Any, mask: int, rknn_lite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "mask"
    monkeypatch.setenv("FAKE_RKNN_LOG", str(log))
    accelerator = RknnAccelerator(Options(cores=cores), board(tmp_path))
    detector = accelerator.open(load(accelerator), threads=1)
    assert log.read_text() == str(mask)
    look(detector, 9)
    assert detector.detections(0.5).label_ids.tolist() == [17]
    assert "2.5.0" in detector.runtime
    assert not detector.degraded
    detector.close()


def test_rknn_lite_on_a_chip_with_one_core_gets_no_mask(
    rknn_lite: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_RKNN_CHIP", "rk3566")
    write_rknn(models, rknn_file("rk3566"))
    accelerator = RknnAccelerator(Options(cores="0_1_2"), board(tmp_path, "rk3566"))
    accelerator.open(load(accelerator), threads=1).close()


@pytest.mark.parametrize(
    ("told", "version", "error", "said"),
    [
        ("no_driver", 6, AcceleratorUnavailableError, "need to insmod rknpu.*RKNN_ERR_FAIL"),
        ("", 7, AcceleratorUnavailableError, "Invalid RKNN model version 7.*RKNN_ERR_FAIL"),
        ("lost", 6, DetectorLostError, "gave no result"),
    ],
)
def test_rknn_lite_that_fails_is_explained_in_its_own_words(
    told: str,
    version: int,
    error: type[Exception],
    said: str,
    rknn_lite: Path,
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_RKNN", told)
    write_rknn(models, rknn_file("rk3588", version=version))
    accelerator = RknnAccelerator(Options(), board(tmp_path))
    with pytest.raises(error, match=said) as caught:
        look(accelerator.open(load(accelerator), threads=1), 9)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><title>404</title>", "is no RKNN file"),
        (rknn_file("rk3566"), "converted for RK3566, this is RK3588"),
    ],
)
def test_a_file_that_rknn_lite_would_load_whatever_it_is_is_refused_before_it(
    content: bytes, said: str, rknn_lite: Path, tmp_path: Path
) -> None:
    accelerator = RknnAccelerator(Options(), board(tmp_path))
    model = load(accelerator)
    model.path.write_bytes(content)
    load_it = (
        "import sys; from rknnlite.api import RKNNLite; print(RKNNLite().load_rknn(sys.argv[1]))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", load_it, str(model.path)], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "0", "it looks into the file now: is our own look needed?"
    with pytest.raises(ModelError, match=said):
        accelerator.open(model, threads=1)


# --- HailoRT's binding


def compiled(name: str, folder: Path, python: str = sys.executable) -> Path:
    """Return the folder of a module made with the pybind11 of that name, for ``python``."""
    headers = vendors(name) / "pybind11/include"
    compiler = shutil.which("g++")
    ask = "import sysconfig as s; print(s.get_path('include'), s.get_config_var('EXT_SUFFIX'))"
    told = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    include, suffix = told.stdout.split()
    if compiler is None or not Path(include, "Python.h").exists():
        pytest.skip("g++ and Python's headers are needed to build a binding")
    (folder / "binding.cpp").write_text(BINDING)
    subprocess.run(
        [compiler, "-O0", "-shared", "-fPIC", "-std=c++17", f"-I{headers}", f"-I{include}",
         "binding.cpp", "-o", f"binding{suffix}"],
        cwd=folder, check=True, timeout=240,
    )  # fmt: skip
    return folder


def sizes(python: str, folder: Path) -> list[int]:
    """Return how many bytes the binding sees of a picture, in both ways."""
    look = (
        "import numpy, binding; picture = numpy.zeros((300, 300, 3), numpy.uint8);"
        "print(binding.of_array(picture), binding.of_buffer(picture))"
    )
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    told = subprocess.run(
        [python, "-c", look], env=environment, capture_output=True, text=True, check=True
    )
    return [int(word) for word in told.stdout.split()]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", list(HAILORT))
def test_a_hailort_is_refused_exactly_where_its_binding_takes_our_arrays_for_empty(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "pybind11-2.10" and sys.version_info >= (3, 13):
        pytest.skip("pybind11 2.10 cannot be built for Python 3.13")
    seen, by_buffer = sizes(sys.executable, compiled(name, tmp_path))
    assert by_buffer == PICTURE_BYTES
    problem = numpy_problem(HAILORT[name], np.__version__, sys.version_info[:2])
    assert bool(problem) == (seen != PICTURE_BYTES), f"{seen} bytes seen; we say: {problem!r}"
    version = next(vendors(name).glob("pybind11-*.dist-info")).name.split("-")[1].split(".dist")[0]
    monkeypatch.setenv("FAKE_HAILO_PYBIND11", version)
    assert stand_in()._nbytes(np.zeros((300, 300, 3), np.uint8)) == seen


@pytest.mark.timeout(300)
def test_the_cure_for_hailort_4_is_one(tmp_path: Path) -> None:
    """A side interpreter whose numpy is 1, as the system's Python of bookworm."""
    python = side_python(".side/3.10")
    folder = compiled("pybind11-2.10", tmp_path, python)
    assert sizes(python, folder) == [PICTURE_BYTES, PICTURE_BYTES]


def stand_in() -> Any:
    """Return the stand-in for hailo_platform, under a name of its own."""
    place = VENDOR / "hailo_platform/__init__.py"
    spec = importlib.util.spec_from_file_location("stand_in_for_hailo", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
