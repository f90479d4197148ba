"""HailoRT against a stand-in that refuses what HailoRT 4.23 refuses. No hardware."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.accelerators import Machine, Registry
from appliance.accelerators.process.hailo_engine import MAX_ROWS, flatten_by_class, numpy_problem
from appliance.errors import AcceleratorUnavailableError, DetectorLostError, ModelError
from tests.vendors import hef, load, look, models_folder  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from pathlib import Path


def test_hailo_flattens_its_lists_by_class(models: Path) -> None:
    accelerator = Registry().get("hailo")
    detector = accelerator.open(load(accelerator), threads=1)
    look(detector, 200)
    seen = detector.detections(0.5)
    assert seen.label_ids.tolist() == [17, 1]  # class 16 is a cat, class 0 a person
    assert seen.scores.tolist() == pytest.approx([0.9, 0.75])
    assert seen.boxes[1].tolist() == pytest.approx([0.2, 0.1, 0.4, 0.5])
    assert len(detector.detections(0.3)) == 3
    assert not detector.degraded
    look(detector, 0)
    assert len(detector.detections(0.1)) == 0
    detector.close()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("driver", "one version; reinstall them together"),
        ("busy", "another program holds the chip"),
    ],
)
def test_hailo_says_why_it_cannot_be_opened(
    told: str, said: str, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HAILO", told)
    accelerator = Registry().get("hailo")
    with pytest.raises(AcceleratorUnavailableError, match=said):
        accelerator.open(load(accelerator), threads=1)


def test_hailo_lost_in_an_inference(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_HAILO", "lost")
    accelerator = Registry().get("hailo")
    detector = accelerator.open(load(accelerator), threads=1)
    with pytest.raises(DetectorLostError, match="Communication closed"):
        look(detector, 1)
    detector.close()


def test_hailo_refuses_a_damaged_model(models: Path) -> None:
    (models / "ssd_mobilenet_v1.hailo8l.hef").write_bytes(b"rubbish")
    accelerator = Registry().get("hailo")
    with pytest.raises(ModelError, match="Invalid HEF"):
        accelerator.open(load(accelerator), threads=1)


def test_hailo_without_a_model_is_advised_the_one_that_runs_on_both_chips(models: Path) -> None:
    (models / "ssd_mobilenet_v1.hailo8l.hef").unlink()
    accelerator = Registry().get("hailo")
    with pytest.raises(ModelError, match=r"models fetch ssd-mobilenet-v1-hailo8l\b"):
        load(accelerator)


@pytest.mark.parametrize("chip", ["HAILO8", "HAILO8L"])
def test_hailo_with_both_models_takes_the_one_that_runs_on_both_chips(
    chip: str, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HAILO_CHIP", chip)
    (models / "ssd_mobilenet_v1.hailo8.hef").write_bytes(hef(compiled_for="HAILO8"))
    accelerator = Registry().get("hailo")
    model = load(accelerator)
    assert model.id == "ssd-mobilenet-v1-hailo8l"
    accelerator.open(model, threads=1).close()


@pytest.mark.parametrize(
    ("chip", "said"),
    [
        ("HAILO8L", r"not compatible.*is a HAILO8L: appliance models fetch \S+-hailo8l$"),
        ("HAILO10H", "not compatible.*is a HAILO10H: the model must be compiled for it"),
    ],
)
def test_hailo_with_a_model_of_another_chip_says_which_chip_is_there(
    chip: str, said: str, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HAILO_CHIP", chip)
    (models / "ssd_mobilenet_v1.hailo8l.hef").unlink()
    (models / "ssd_mobilenet_v1.hailo8.hef").write_bytes(hef(compiled_for="HAILO8"))
    accelerator = Registry().get("hailo")
    with pytest.raises(ModelError, match=said):
        accelerator.open(load(accelerator), threads=1)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"order": "HAILO_NMS_BY_SCORE"}, "HAILO_NMS_BY_SCORE; wanted is HAILO_NMS_BY_CLASS"),
        ({"order": "NHWC"}, "of the order NHWC"),
        ({"outputs": ["a", "b", "c"]}, "has 3 outputs; wanted is a HEF with NMS by class"),
    ],
)
def test_hailo_refuses_outputs_that_it_cannot_read(
    told: dict[str, object], said: str, models: Path
) -> None:
    (models / "ssd_mobilenet_v1.hailo8l.hef").write_bytes(hef(**told))
    accelerator = Registry().get("hailo")
    with pytest.raises(ModelError, match=said):
        accelerator.open(load(accelerator), threads=1)


def test_hailo_takes_the_older_name_of_the_same_order(models: Path) -> None:
    (models / "ssd_mobilenet_v1.hailo8l.hef").write_bytes(hef(order="HAILO_NMS"))
    accelerator = Registry().get("hailo")
    accelerator.open(load(accelerator), threads=1).close()


def test_hailo_whose_binding_sees_empty_buffers_is_refused_when_it_is_opened(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A binding whose version nothing tells: the first inference does, before a camera waits."""
    if int(np.__version__.partition(".")[0]) < 2:
        pytest.skip("numpy 1 is what the old binding takes")
    monkeypatch.setenv("FAKE_HAILO_PYBIND11", "2.10.1")
    accelerator = Registry().get("hailo")
    with pytest.raises(AcceleratorUnavailableError, match=r"first inference.*built for numpy 1"):
        accelerator.open(load(accelerator), threads=1)


@pytest.mark.parametrize(
    ("hailort", "numpy", "python", "fits"),
    [
        ("4.20.0", "2.4.6", (3, 11), False),
        ("4.23.0", "2.0.0", (3, 12), False),
        ("5.0.0", "2.4.6", (3, 11), False),
        ("5.1.0", "2.4.6", (3, 11), False),
        ("5.1.1", "2.4.6", (3, 11), True),
        ("5.2.0", "2.4.6", (3, 11), True),
        ("4.23.0", "1.26.4", (3, 11), True),
        ("4.23.0", "2.4.6", (3, 13), True),
        ("(version unknown)", "2.4.6", (3, 11), True),
    ],
)
def test_hailo_and_numpy(hailort: str, numpy: str, python: tuple[int, int], *, fits: bool) -> None:
    """pybind11.cmake and setup.py of HailoRT 4.20 to 5.2; nothing older is built for 3.13."""
    problem = numpy_problem(hailort, numpy, python)
    assert (problem == "") == fits
    assert fits or 'accelerator.options.hailo.interpreter = "/usr/bin/python3"' in problem


def hailo_machine(tmp_path: Path) -> Machine:
    device = tmp_path / "sys/bus/pci/devices/0001:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x1e60\n")
    (device / "device").write_text("0x2864\n")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/hailo0").touch()
    return Machine(tmp_path)


def test_hailo_of_bookworm_is_refused_by_the_probe_with_the_cure(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.accelerators.hailo.module_version", lambda *_: "4.23.0")
    monkeypatch.setattr("appliance.accelerators.hailo.np.__version__", "2.4.6")
    monkeypatch.setattr("appliance.accelerators.hailo.sys", SimpleNamespace(version_info=(3, 11)))
    machine = hailo_machine(tmp_path)
    finding = Registry().get("hailo").probe(machine)
    assert not finding.found
    assert 'accelerator.options.hailo.interpreter = "/usr/bin/python3"' in finding.detail
    named = Registry({"hailo": {"interpreter": sys.executable}}).get("hailo").probe(machine)
    assert named.found


def test_hailo_keeps_the_best_of_too_many() -> None:
    random = np.random.default_rng(3)
    by_class = [random.uniform(0, 1, (20, 5)).astype(np.float32) for _ in range(90)]
    shapes = ((1, MAX_ROWS, 4), (1, MAX_ROWS), (1, MAX_ROWS), (1,))
    outputs = [np.zeros(shape, np.float32) for shape in shapes]
    flatten_by_class(by_class, outputs)
    scores = sorted((float(row[4]) for found in by_class for row in found), reverse=True)
    assert outputs[2][0].tolist() == pytest.approx(scores[:MAX_ROWS])
    assert outputs[3].tolist() == [MAX_ROWS]
