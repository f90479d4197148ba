"""Vendors' runtimes against stand-ins that follow their documented APIs. No hardware."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.accelerators import Machine, Options, Registry
from appliance.accelerators.hailo import MAX_ROWS, flatten_by_class, numpy_problem
from appliance.accelerators.rknn import RknnAccelerator
from appliance.accelerators.rknn_file import chips, wrong_with
from appliance.clock import SystemClock
from appliance.errors import AcceleratorUnavailableError, DetectorLostError, ModelError
from appliance.isolation.host import Child
from appliance.models import Catalogue, Model, find_models_folder
from appliance.models.files import how_to_get
from appliance.selection import Layout, Prover
from tests.helpers import side_python, skip_if_missing

if TYPE_CHECKING:
    from appliance.accelerators import Accelerator, Detector
    from appliance.values import Pixels

VENDOR = Path(__file__).parent / "fakes/vendor"


def rknn_file(*chips: str, version: int = 6, graph: bytes = b"the graph") -> bytes:
    """A file as Rockchip's converter lays it out: header, graph, and JSON that names the chips."""
    text = json.dumps({"target_platform": list(chips), "version": "2.3.2"}).encode()
    header = b"RKNN" + struct.pack("<4xQQ40x", version, len(graph))
    return header + graph + struct.pack("<Q", len(text)) + text


def hef(**told: object) -> bytes:
    """What the stand-in takes for a HEF: ``compiled_for``, ``order``, ``outputs``."""
    return b"\x01HEF" + json.dumps(told).encode()


def write_rknn(folder: Path, content: bytes) -> None:
    """Write a converted file with the record of its conversion."""
    (folder / "ssdlite_mobilenet_v2.rknn").write_bytes(content)
    record = hashlib.sha256(content).hexdigest() + "\n"
    (folder / "ssdlite_mobilenet_v2.rknn.sha256").write_text(record)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files that the stand-ins take for models; stand-ins can be imported."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "ssd_mobilenet_v1.hailo8l.hef").write_bytes(hef())
    write_rknn(folder, rknn_file("rk3588"))
    monkeypatch.setenv("APPLIANCE_MODELS", str(folder))
    monkeypatch.syspath_prepend(str(VENDOR))
    monkeypatch.setenv("PYTHONPATH", str(VENDOR))
    return folder


def load(accelerator: Accelerator, name: str = "auto") -> Model:
    return Catalogue(find_models_folder()).load(name, accelerator.target)


def look(detector: Detector, value: int) -> None:
    with detector.input() as picture:
        fill(picture, value)
    del picture
    detector.infer()


def fill(picture: Pixels, value: int) -> None:
    picture[:] = value


# --- Hailo


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
    assert fits or 'accelerator.interpreters.hailo = "/usr/bin/python3"' in problem


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
    assert 'accelerator.interpreters.hailo = "/usr/bin/python3"' in finding.detail
    named = Registry(Options(interpreters={"hailo": sys.executable})).get("hailo").probe(machine)
    assert named.found


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


def test_hailo_keeps_the_best_of_too_many() -> None:
    random = np.random.default_rng(3)
    by_class = [random.uniform(0, 1, (20, 5)).astype(np.float32) for _ in range(90)]
    shapes = ((1, MAX_ROWS, 4), (1, MAX_ROWS), (1, MAX_ROWS), (1,))
    outputs = [np.zeros(shape, np.float32) for shape in shapes]
    flatten_by_class(by_class, outputs)
    scores = sorted((float(row[4]) for found in by_class for row in found), reverse=True)
    assert outputs[2][0].tolist() == pytest.approx(scores[:MAX_ROWS])
    assert outputs[3].tolist() == [MAX_ROWS]


# --- Rockchip


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
    accelerator = RknnAccelerator(Options(device="0_1_2"), board(tmp_path))
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
    accelerator = RknnAccelerator(Options(device="0_1_2"), board(tmp_path, "rk3566"))
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


# --- Neural Compute Stick, TensorRT: engines of side interpreters


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
    accelerator = Registry(Options(interpreters={"ncs": sys.executable})).get("ncs")
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
    accelerator = Registry(Options(interpreters={"ncs": sys.executable})).get("ncs")
    with pytest.raises(AcceleratorUnavailableError, match="no device MYRIAD, only CPU"):
        accelerator.open(onnx_model, threads=1)


def test_ncs_with_todays_openvino(onnx_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.delenv("PYTHONPATH")
    accelerator = Registry(Options(interpreters={"ncs": sys.executable})).get("ncs")
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
    accelerator = Registry(Options(interpreters={"ncs": python})).get("ncs")
    detector = accelerator.open(onnx_model, threads=1)
    look(detector, 255)
    assert detector.detections(0.5).label_ids.tolist() == [17]
    detector.close()


def test_the_last_openvino_for_the_sticks_is_right(built_models: None) -> None:
    """OpenVINO 2022.3 in a side interpreter, with its CPU plugin in the stick's place."""
    options = Options(device="CPU", interpreters={"ncs": side_python(".side/3.10")})
    registry, catalogue = Registry(options), Catalogue(find_models_folder())
    accelerator, cpu = registry.get("ncs"), registry.get("cpu")
    try:
        model = catalogue.load("auto", accelerator.target)
    except ModelError as error:
        skip_if_missing(error)
    twin = catalogue.reference(model, cpu.target)
    proof = Prover(cpu, SystemClock()).prove(accelerator, model, twin, Layout(1, 1))
    assert proof.right, proof.reason
    assert not proof.degraded


def test_rknn_in_a_side_interpreter(models: Path) -> None:
    python = side_python(".side/3.10")
    accelerator = Registry(Options(interpreters={"rknn": python})).get("rknn")
    detector = accelerator.open(load(accelerator), threads=1)
    look(detector, 9)
    assert detector.detections(0.5).label_ids.tolist() == [17]
    detector.close()
