"""The Edge TPU against a stand-in delegate compiled here. Contract only: no hardware."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.accelerators import Machine
from appliance.accelerators.cpu import CpuAccelerator
from appliance.accelerators.edgetpu import RETRY_SECONDS, EdgeTpuAccelerator, Options
from appliance.accelerators.process.delegate import placement
from appliance.accelerators.teflon import TeflonAccelerator
from appliance.clock import SystemClock
from appliance.errors import AcceleratorUnavailableError, DetectorLostError, ModelError
from appliance.legacy import vx
from appliance.models import Catalogue, find_models_folder
from appliance.selection import Prover, WorkerLayout
from appliance.selection.choose import load_model
from tests.helpers import side_python

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.accelerators import Detector
    from appliance.models import Model
    from tests.samples import Samples

    Delegated = Callable[[str], TeflonAccelerator | vx.VxAccelerator]


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


def teflon(library: str) -> TeflonAccelerator:
    return TeflonAccelerator(library=library)


def vx_delegate(library: str) -> vx.VxAccelerator:
    return vx.VxAccelerator(vx.Options(), library=library)


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
        CpuAccelerator().open(model, threads=1)


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


@pytest.mark.parametrize("kind", [teflon, vx_delegate])
def test_a_delegate_that_takes_nothing_is_degraded(
    kind: Delegated, library: Path, default_model: Model
) -> None:
    """The default model has no operator for the stand-in: all of it stays on the CPU."""
    detector = kind(str(library)).open(default_model, threads=1)
    look(detector)
    assert detector.degraded.endswith("it runs on the CPU")
    detector.close()


CONVOLUTIONS = "3,4"


@pytest.mark.parametrize("kind", [teflon, vx_delegate])
def test_a_delegate_that_takes_the_convolutions_is_not(
    kind: Delegated,
    library: Path,
    data: Samples,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STUB_BUILTIN", CONVOLUTIONS)
    seed = load_model(str(data / "models/seed_mobilenet_v1.tflite"))
    detector = kind(str(library)).open(seed, threads=1)
    look(detector)
    assert not detector.degraded
    assert detector.placement == "47 of 64 operators on the delegate, 47 of 47 convolutions"
    detector.close()


@pytest.mark.parametrize("kind", [teflon, vx_delegate])
def test_a_delegate_that_takes_other_operators_only_is_degraded(
    kind: Delegated,
    library: Path,
    default_model: Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bundled model has a scale for each channel: of it Teflon takes the additions at most."""
    monkeypatch.setenv("STUB_BUILTIN", f"0,{CONVOLUTIONS}")
    detector = kind(str(library)).open(default_model, threads=1)
    assert detector.degraded.endswith(
        "it runs on the CPU: no convolution of 88 was taken, 10 of 113 operators were"
    )
    detector.close()


def test_a_delegate_that_takes_scales_for_each_channel_is_counted_too(
    library: Path, default_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_BUILTIN", "3")  # CONV_2D without DEPTHWISE_CONV_2D
    monkeypatch.setenv("STUB_ANY_SCALES", "1")
    detector = vx.VxAccelerator(vx.Options(), library=str(library)).open(default_model, threads=1)
    assert not detector.degraded
    assert detector.placement == "55 of 113 operators on the delegate, 55 of 88 convolutions"
    detector.close()


def test_the_share_is_in_what_a_proof_says(library: Path, model: Model) -> None:
    """Where `appliance probe --prove` and the choice show it; with labels of our own, unjudged."""
    prover = Prover(CpuAccelerator(), SystemClock())
    coral = EdgeTpuAccelerator(Options(), library=str(library))
    proof = prover.prove(coral, model, None, WorkerLayout(1, 1))
    assert proof.right is None
    assert not proof.degraded
    assert re.search(r", 1 of \d+ operators on the delegate$", proof.reason)


def test_the_coral_counts_its_own_operator(library: Path, model: Model) -> None:
    detector = EdgeTpuAccelerator(Options(), library=str(library)).open(model, threads=1)
    assert re.fullmatch(r"1 of \d+ operators on the delegate", detector.placement)
    detector.close()


def test_a_partition_of_several_operators_is_counted_by_what_lies_inside() -> None:
    """One DELEGATE node for three operators of four, with weights of its own among its inputs."""
    nodes = [
        {"op_name": "CONV_2D", "inputs": [0, 10, 11], "outputs": [1]},
        {"op_name": "RELU", "inputs": [1], "outputs": [2]},
        {"op_name": "ADD", "inputs": [1, 2], "outputs": [3]},
        {"op_name": "CONV_2D", "inputs": [3, 12, 13], "outputs": [4]},
        {"op_name": "DELEGATE", "inputs": [0, 10, 11], "outputs": [3]},
    ]
    assert placement(nodes) == "3 of 4 operators on the delegate, 1 of 2 convolutions"


def test_teflon_is_given_a_model_that_it_takes(tmp_path: Path, data: Samples) -> None:
    """Never the bundled one: by itself it asks for one with a scale for each tensor."""
    target = TeflonAccelerator().target
    bundled = find_models_folder()[0]
    with pytest.raises(ModelError, match="fetch ssd_mobilenet_v2_coco_quant_postprocess") as caught:
        Catalogue((bundled,)).load("auto", target)
    assert "teflon needs it" in str(caught.value)
    with pytest.raises(ModelError, match="takes tflite whose weights have one scale for each"):
        Catalogue((bundled,)).load("ssdlite-mobilenet-v2-int8", target)
    seed = Catalogue((bundled, data / "models")).load("auto", target)
    assert seed.id in {"seed-mobilenet-v1", "coco_ssd_mobilenet_v1_1.0_quant"}


@pytest.mark.parametrize(
    "name", ["seed_mobilenet_v1.tflite", "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"]
)
def test_models_that_are_said_to_have_one_scale_for_each_tensor_have(
    name: str, data: Samples
) -> None:
    entries = Catalogue(find_models_folder()).entries()
    entry = next(e for e in entries if e.file == name)
    assert entry.per_tensor
    assert max(_scales(data / "models" / name)) == 1
    bundled = next(e for e in entries if e.id == "ssdlite-mobilenet-v2-int8")
    assert not bundled.per_tensor
    assert max(_scales(find_models_folder()[0] / bundled.file)) > 1


def _scales(path: Path) -> list[int]:
    """How many scales each tensor has, by LiteRT's own reader of the format."""
    schema = import_module("ai_edge_litert.schema_py_generated")
    graph = schema.Model.GetRootAs(path.read_bytes(), 0).Subgraphs(0)
    parameters = [graph.Tensors(i).Quantization() for i in range(graph.TensorsLength())]
    return [one.ScaleLength() for one in parameters if one is not None]


def test_the_last_tflite_runtime_takes_a_delegate_too(
    library: Path, data: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the vx delegate needs: tflite-runtime 2.14 under Python 3.10."""
    monkeypatch.setenv("STUB_BUILTIN", CONVOLUTIONS)
    options = vx.Options(interpreter=side_python(".side/3.10"))
    seed = load_model(str(data / "models/seed_mobilenet_v1.tflite"))
    detector = vx.VxAccelerator(options, library=str(library)).open(seed, threads=1)
    assert detector.runtime.startswith("tflite_runtime")
    look(detector)
    assert not detector.degraded
    detector.close()
