"""Engines of side interpreters: Neural Compute Stick, TensorRT, old Pythons. No hardware."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from appliance.accelerators import Registry
from appliance.accelerators.process.host import Child
from appliance.clock import SystemClock
from appliance.errors import AcceleratorUnavailableError, ModelError
from appliance.models import Catalogue, Model, find_models_folder
from appliance.selection import Prover, WorkerLayout
from tests.helpers import side_python, skip_if_missing
from tests.vendors import VENDOR, load, look, models_folder  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def onnx_model(models: Path) -> Model:
    """The description of the ONNX file is enough for stand-ins."""
    return fake_onnx(models)


def fake_onnx(models: Path) -> Model:
    import dataclasses

    model = Catalogue(find_models_folder()).load("ssdlite-mobilenet-v2-int8")
    path = models / "ssdlite_mobilenet_v2.onnx"
    path.write_bytes(b"onnx")
    head = dataclasses.replace(
        model.head,  # type: ignore[type-var]
        boxes="box_encodings:0",
        scores="class_logits:0",
        boxes_quantisation=type(model.head.boxes_quantisation)(),  # type: ignore[attr-defined]
        scores_quantisation=type(model.head.scores_quantisation)(),  # type: ignore[attr-defined]
    )
    return dataclasses.replace(
        model,
        id="fake",
        format="onnx",
        input_kind="float32",
        input_scale=2 / 255,
        input_offset=-1.0,
        path=path,
        head=head,
    )


def test_ncs_runs_the_old_api(onnx_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(VENDOR / "openvino_old"))
    accelerator = Registry({"ncs": {"interpreter": sys.executable}}).get("ncs")
    detector = accelerator.open(onnx_model, threads=1)
    look(detector, 255)
    seen = detector.detections(0.5)
    assert seen.label_ids.tolist() == [17]
    assert not detector.degraded
    look(detector, 0)
    assert len(detector.detections(0.1)) == 0
    detector.close()


def test_ncs_without_a_stick(onnx_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(VENDOR / "openvino_old"))
    monkeypatch.setenv("FAKE_NCS", "CPU")
    accelerator = Registry({"ncs": {"interpreter": sys.executable}}).get("ncs")
    with pytest.raises(AcceleratorUnavailableError, match="no device MYRIAD, only CPU"):
        accelerator.open(onnx_model, threads=1)


def test_ncs_with_todays_openvino(onnx_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.delenv("PYTHONPATH")
    accelerator = Registry({"ncs": {"interpreter": sys.executable}}).get("ncs")
    with pytest.raises(AcceleratorUnavailableError, match="inference_engine"):
        accelerator.open(onnx_model, threads=1)


def test_tensorrt_without_a_gpu_calls_itself_degraded(built_models: None) -> None:
    """The real engine and the real onnxruntime, whose CUDA provider is not there."""
    pytest.importorskip("onnxruntime")
    accelerator = Registry().get("tensorrt")
    try:
        model = load(accelerator)
    except ModelError as error:
        skip_if_missing(error)
    detector = accelerator.open(model, threads=1)
    look(detector, 7)
    assert "it runs on CPUExecutionProvider" in detector.degraded
    detector.close()


@pytest.mark.parametrize("version", ["3.6", "3.8", "3.10"])
def test_the_child_runs_under_old_pythons(
    version: str, onnx_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Side interpreters as they are found beside old vendor runtimes; they need numpy only."""
    python = side_python(f".side/{version}")
    monkeypatch.setenv("PYTHONPATH", str(VENDOR / "openvino_old"))
    accelerator = Registry({"ncs": {"interpreter": python}}).get("ncs")
    detector = accelerator.open(onnx_model, threads=1)
    look(detector, 255)
    assert detector.detections(0.5).label_ids.tolist() == [17]
    detector.close()


def test_the_last_openvino_for_the_sticks_is_right(built_models: None) -> None:
    """OpenVINO 2022.3 in a side interpreter, with its CPU plugin in the stick's place."""
    options = {"ncs": {"device": "CPU", "interpreter": side_python(".side/3.10")}}
    registry, catalogue = Registry(options), Catalogue(find_models_folder())
    accelerator, cpu = registry.get("ncs"), registry.get("cpu")
    try:
        model = catalogue.load("auto", accelerator.target)
    except ModelError as error:
        skip_if_missing(error)
    twin = catalogue.reference(model, cpu.target)
    proof = Prover(cpu, SystemClock()).prove(accelerator, model, twin, WorkerLayout(1, 1))
    assert proof.right, proof.reason
    assert not proof.degraded


def test_the_program_that_runs_us_can_be_named_without_our_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package is run by /usr/bin/python3 with a numpy of its own first: the cure is that very
    program, which must then find the system's numpy."""
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "only_ours.py").touch()
    monkeypatch.syspath_prepend(str(ours))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    engine = {"file": str(VENDOR / "looking_engine.py"), "name": "Engine", "path": str(tmp_path)}
    model = {"height": 1, "width": 1}
    request = {"op": "open", "engine": engine, "model": model, "threads": 1, "options": {}}
    placements = []
    for interpreter in ("", sys.executable):
        child = Child(interpreter)
        placements.append(child.ask(request, 60)["placement"])
        child.close()
    assert placements == ["with only_ours", "without"]
