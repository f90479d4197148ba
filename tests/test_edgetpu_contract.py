"""The Edge TPU against a stand-in delegate compiled here. Contract only: no hardware."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.accelerators import Machine, Options
from appliance.accelerators.cpu import CpuAccelerator
from appliance.accelerators.edgetpu import RETRY_SECONDS, EdgeTpuAccelerator
from appliance.accelerators.teflon import TeflonAccelerator
from appliance.accelerators.vx import VxAccelerator
from appliance.detectors import load_model
from appliance.errors import (
    AcceleratorUnavailableError,
    DetectorLostError,
    ModelError,
)
from tests.helpers import side_python

if TYPE_CHECKING:
    from appliance.accelerators import Detector
    from appliance.models import Model
    from tests.samples import Samples

SOURCE = Path(__file__).parent / "fakes/stub_delegate.c"


def build(folder: Path, *flags: str) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build the stand-in delegate with")
    library = folder / "libstub.so"
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", *flags, "-o", str(library)]
    subprocess.run([*command, str(SOURCE)], check=True, timeout=60)
    return library


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("delegate"))


@pytest.fixture(scope="session")
def model(data: Samples, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("edgetpu")
    path = folder / "sample_edgetpu.tflite"
    shutil.copy(data / "models/edgetpu_ssd_sample_edgetpu.tflite", path)
    path.with_suffix(".labels.txt").write_text("background\nthing\n")
    return load_model(str(path))


def open_it(library: Path, model: Model, device: str = "") -> Detector:
    return EdgeTpuAccelerator(Options(device=device), library=str(library)).open(model, threads=1)


def look(detector: Detector) -> None:
    with detector.input() as picture:
        picture[:] = 128
    detector.infer()


def test_it_runs_and_sees_nothing(library: Path, model: Model) -> None:
    detector = open_it(library, model)
    look(detector)
    assert len(detector.detections(0.1)) == 0
    assert detector.accelerator == "edgetpu"
    assert not detector.degraded
    detector.close()


def test_it_sees_one_object(library: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_SCORE", "1000:1:230")
    detector = open_it(library, model)
    look(detector)
    seen = detector.detections(0.5)
    detector.close()
    assert seen.scores.tolist() == pytest.approx([230 / 256], abs=0.001)
    assert seen.label_ids.tolist() == [1]
    # The operator gives ymin, xmin, ymax, xmax of anchor 1000; ours is x first.
    assert seen.boxes[0].tolist() == pytest.approx([0.4130, 0.8518, 0.6969, 0.9938], abs=1e-3)


def test_the_device_is_passed_on(
    library: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "options"
    monkeypatch.setenv("STUB_OPTIONS_LOG", str(log))
    open_it(library, model, "usb:1").close()
    assert log.read_text() == "device=usb:1\n"


@pytest.mark.parametrize(
    ("knob", "error", "said"),
    [
        ("STUB_NO_DEVICE", AcceleratorUnavailableError, "no device answers"),
        ("STUB_FAIL_PREPARE", ModelError, "failed to prepare"),
        ("STUB_ABORT", AcceleratorUnavailableError, "exit code 134.*unplugged, or power"),
    ],
)
def test_a_failure_to_open_has_its_cause(
    knob: str,
    error: type[Exception],
    said: str,
    library: Path,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(knob, "1")
    with pytest.raises(error, match=said):
        open_it(library, model)


def test_unplugged_and_plugged_in_again(
    library: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = tmp_path / "away"
    monkeypatch.setenv("STUB_UNPLUGGED", str(away))
    detector = open_it(library, model)
    look(detector)
    away.touch()
    with pytest.raises(DetectorLostError, match=r"134.*libedgetpu gave up.*tag 0 failed"):
        look(detector)
    detector.close()
    with pytest.raises(AcceleratorUnavailableError, match="no device"):
        open_it(library, model)
    away.unlink()
    back = open_it(library, model)
    look(back)
    back.close()


def test_a_slow_one_is_waited_for(
    library: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_SLOW_MS", "300")
    monkeypatch.setenv("STUB_SCORE", "1000:1:230")
    detector = open_it(library, model)
    look(detector)
    assert detector.detections(0.5).label_ids.tolist() == [1]
    detector.close()


def test_the_library_of_2021_crashes_the_child_only(model: Model, tmp_path: Path) -> None:
    old = build(tmp_path, "-DOLD_REGISTRATION")
    with pytest.raises(AcceleratorUnavailableError, match=r"another version of the runtime"):
        open_it(old, model)


def test_a_library_that_is_not_there(model: Model, tmp_path: Path) -> None:
    with pytest.raises(AcceleratorUnavailableError, match="cannot open shared object file"):
        open_it(tmp_path / "libnone.so", model)


def test_a_model_that_is_not_compiled_is_refused(library: Path, default_model: Model) -> None:
    with pytest.raises(ModelError, match="not compiled for the Edge TPU"):
        open_it(library, default_model)


def test_the_cpu_refuses_a_compiled_model(model: Model) -> None:
    with pytest.raises(ModelError, match="compiled for the Edge TPU"):
        CpuAccelerator(Options()).open(model, threads=1)


def test_a_stick_that_loads_its_firmware_is_tried_again(
    library: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first delegate makes the stick leave the bus and come back under its second id."""
    stick = tmp_path / "sys/bus/usb/devices/1-1"
    stick.mkdir(parents=True)
    (stick / "idVendor").write_text("1a6e\n")
    (stick / "idProduct").write_text("089a\n")
    away = tmp_path / "away"
    away.touch()
    monkeypatch.setenv("STUB_UNPLUGGED", str(away))
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        away.unlink()

    accelerator = EdgeTpuAccelerator(Options(), Machine(tmp_path), str(library), pause)
    accelerator.open(model, threads=1).close()
    assert waited == [RETRY_SECONDS]


@pytest.mark.parametrize("kind", [TeflonAccelerator, VxAccelerator])
def test_a_delegate_that_takes_nothing_is_degraded(
    kind: type[TeflonAccelerator | VxAccelerator], library: Path, default_model: Model
) -> None:
    """The default model has no operator for the stand-in: all of it stays on the CPU."""
    detector = kind(Options(), library=str(library)).open(default_model, threads=1)
    look(detector)
    assert detector.degraded.endswith("it runs on the CPU")
    detector.close()


@pytest.mark.parametrize("kind", [TeflonAccelerator, VxAccelerator])
def test_a_delegate_that_takes_an_operator_is_not(
    kind: type[TeflonAccelerator | VxAccelerator],
    library: Path,
    data: Samples,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STUB_BUILTIN", "3")  # CONV_2D
    seed = load_model(str(data / "models/seed_mobilenet_v1.tflite"))
    detector = kind(Options(), library=str(library)).open(seed, threads=1)
    look(detector)
    assert not detector.degraded
    detector.close()


def test_the_last_tflite_runtime_takes_a_delegate_too(
    library: Path, data: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the vx delegate needs: tflite-runtime 2.14 under Python 3.10."""
    monkeypatch.setenv("STUB_BUILTIN", "3")  # CONV_2D
    options = Options(interpreters={"vx": side_python(".side/3.10")})
    seed = load_model(str(data / "models/seed_mobilenet_v1.tflite"))
    detector = VxAccelerator(options, library=str(library)).open(seed, threads=1)
    assert detector.runtime.startswith("tflite_runtime")
    look(detector)
    assert not detector.degraded
    detector.close()
