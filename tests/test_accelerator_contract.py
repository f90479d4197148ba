"""What every accelerator keeps, run for real wherever runtime and model are installed."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from appliance.accelerators import ROOM, Detector, Machine, Registry, process
from appliance.accelerators.process import delegate
from appliance.cli import main
from appliance.clock import SystemClock
from appliance.errors import (
    AcceleratorUnavailableError,
    ApplianceError,
    ConfigError,
    DetectorError,
    ModelError,
    UsageError,
)
from appliance.extensions import kinds, load
from appliance.models import Catalogue, Model, find_models_folder
from appliance.selection import ProofStore, Selector, WorkerLayout
from tests.helpers import skip_if_missing

if TYPE_CHECKING:
    from collections.abc import Iterator


EXAMPLES = Path(__file__).parent.parent / "docs/examples"
PLACES = kinds(ROOM)
ALL = {**PLACES, "opencv": "opencv_dnn"}
"""The registered ones, and the example of docs/accelerators.md."""
TESTED = [name for name in PLACES if Registry().get(name).about.status == "tested"]


@pytest.fixture(params=[*TESTED, "opencv"])
def opened(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, built_models: None
) -> Iterator[tuple[Detector, Model]]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    accelerator = Registry(places=ALL).get(request.param)
    finding = accelerator.probe(Machine())
    if not finding.found:
        pytest.skip(finding.detail)
    try:
        model = Catalogue(find_models_folder()).load("auto", accelerator.target)
    except ModelError as error:
        skip_if_missing(error)
    detector = accelerator.open(model, threads=1)
    yield detector, model
    detector.close()


def look(detector: Detector, value: int) -> None:
    with detector.input() as picture:
        picture[:] = value
    del picture
    detector.infer()


def test_a_detector_keeps_the_contract(opened: tuple[Detector, Model]) -> None:
    detector, model = opened
    width, height = detector.input_size
    assert detector.model_id == model.id
    assert not detector.degraded
    with detector.input() as picture:
        assert picture.shape == (height, width, 3)
        assert picture.dtype == np.uint8
    del picture
    look(detector, 0)
    dark = detector.detections(0.3)
    assert (dark.scores >= 0.3).all()
    look(detector, 255)
    look(detector, 0)
    assert detector.detections(0.3).scores.tolist() == pytest.approx(dark.scores.tolist())
    detector.close()
    detector.close()
    with pytest.raises(DetectorError):
        look(detector, 0)


@pytest.mark.parametrize("name", PLACES)
def test_an_accelerator_describes_itself(name: str) -> None:
    accelerator = Registry().get(name)
    assert accelerator.name == name == accelerator.target.accelerator
    about = accelerator.about
    assert about.title
    assert about.found_by
    assert about.install
    if about.status == "refused":
        assert about.note
    else:
        source = inspect.getdoc(inspect.getmodule(type(accelerator))) or ""
        assert (
            "not run on hardware" in source.lower()
            or about.status == "tested"
            or (accelerator.max_detectors == 0)
        )


@pytest.mark.parametrize("name", PLACES)
def test_its_options_have_defaults_and_sentences(name: str) -> None:
    module = load(PLACES[name])
    assert module.create(module.Options()).name == name
    assert module.Options.__doc__
    for field in msgspec.structs.fields(module.Options):
        described = [getattr(one, "description", None) for one in field.type.__metadata__]
        assert any(described), field.name


@pytest.mark.parametrize("name", PLACES)
def test_an_option_that_it_does_not_have_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"accelerator\.options\.{name}\.colour: unknown key"):
        Registry({name: {"colour": "red"}})


def test_what_is_wrong_with_options_is_told_all_at_once() -> None:
    given = {
        "edgetpu": {"device": "ubs:0"},
        "openvino": {"device": "AUTO:GPU"},
        "ncnn": {"vulkan": "yes"},
        "rknn": {"cores": "3"},
        "edgtpu": {"device": "usb"},
        "cpu": {"device": "usb"},
    }
    with pytest.raises(ConfigError) as caught:
        Registry(given)
    for part in (
        "edgetpu.device: got 'ubs:0', expected a text such as 'usb', 'usb:0'",
        "openvino.device: got 'AUTO:GPU', expected a text such as 'GPU', 'GPU.1'",
        "ncnn.vulkan: got 'yes', expected `bool`",
        "rknn.cores: got '3', expected one of 'auto', '0'",
        "accelerator.options: got 'edgtpu', which is unknown; did you mean edgetpu?",
        "cpu.device: unknown key; known here: none",
    ):
        assert part in str(caught.value)


def test_what_is_proved_with_some_options_says_nothing_of_others() -> None:
    def runtime(**options: object) -> str:
        return Registry({"openvino": options}).probe("openvino", Machine()).runtime

    assert runtime() == runtime(device="") == Registry().probe("openvino", Machine()).runtime
    assert len({runtime(), runtime(device="GPU"), runtime(device="CPU")}) == 3


def test_what_runs_in_another_python_imports_numpy_and_nothing_else_that_is_installed() -> None:
    """A side interpreter has numpy and the vendor's package; ours may be of another version."""
    engines = sorted(Path(process.__path__[0]).glob("*_engine.py"))
    names = [f"appliance.accelerators.process.{one.stem}" for one in engines] + [delegate.__name__]
    code = (
        "import sys; before = set(sys.modules)\n"
        f"for name in {names}: __import__(name)\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    strange = set(ran.stdout.split()) - sys.stdlib_module_names - {"appliance", "numpy"}
    assert len(names) > 3
    assert not {name for name in strange if not name.startswith("_")}


@pytest.mark.parametrize("name", PLACES)
def test_a_bare_machine_is_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    finding = Registry().probe(name, Machine(tmp_path))
    assert finding.name == name
    assert finding.detail
    assert not finding.devices


OTHER_FORMATS = [n for n in PLACES if n not in {"cpu", "teflon", "vx"}]  # those take the default


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_a_model_for_something_else_is_refused_before_native_code(
    name: str, default_model: Model
) -> None:
    target = Registry().get(name).target
    catalogue = Catalogue(find_models_folder())
    with pytest.raises(ModelError, match=f"{name} takes|needs it|is not compiled"):
        if "tflite" in target.formats:
            Registry().get(name).open(default_model, threads=1)
        else:
            catalogue.load(str(default_model.path), target)


def test_the_example_is_short() -> None:
    assert len((EXAMPLES / "opencv_dnn.py").read_text().splitlines()) < 80


def test_the_example_sees_what_the_cpu_sees(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, built_models: None
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    selector = Selector(
        Registry(places=ALL),
        Catalogue(find_models_folder()),
        Machine(),
        store=ProofStore(tmp_path / "proofs.json"),
        clock=SystemClock(),
        layout_of=lambda *_: WorkerLayout(1, 1),
    )
    try:
        proof = selector.prove("opencv", "auto")
    except ModelError as error:
        skip_if_missing(error)
    assert proof.right, proof.reason


def test_an_unknown_accelerator_lists_the_known() -> None:
    with pytest.raises(UsageError, match="known: auto, cpu"):
        Registry().get("warp")


def test_one_that_cannot_be_imported_is_a_refusal() -> None:
    registry = Registry(places={"broken": "appliance.no_such_module:Thing"})
    finding = registry.probe("broken", Machine())
    assert not finding.found
    assert "cannot be loaded" in finding.detail


@pytest.mark.parametrize("name", [n for n in PLACES if n != "cpu"])
def test_an_explicit_choice_never_falls_back(
    name: str, capsys: pytest.CaptureFixture[str], picture: Path
) -> None:
    """Whatever is missing here, the command ends with the reason instead of using the CPU."""
    accelerator = Registry().get(name)
    if accelerator.probe(Machine()).found:
        pytest.skip("it is here")
    code = main(["detect", str(picture), "--accelerator", name])
    assert code == AcceleratorUnavailableError.exit_code
    assert name in capsys.readouterr().err


def test_errors_of_accelerators_are_in_the_tree() -> None:
    assert issubclass(AcceleratorUnavailableError, ApplianceError)
