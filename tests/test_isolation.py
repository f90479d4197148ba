"""A child that dies, hangs or refuses: always a typed error that says why, never our end."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.errors import (
    AcceleratorUnavailableError,
    DetectorError,
    DetectorLostError,
    ModelError,
)
from tests.fakes.scripted_accelerator import ENGINE, Options, ScriptedAccelerator
from tests.helpers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.models import Model


@pytest.fixture
def control(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def detector(control: Path, default_model: Model) -> Iterator[IsolatedDetector]:
    one = ScriptedAccelerator(Options(device=str(control))).open(default_model, threads=1)
    yield one
    one.close()


def look(detector: IsolatedDetector) -> None:
    with detector.input() as picture:
        picture[:] = 128
    detector.infer()


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_gives_what_the_model_gives(detector: IsolatedDetector, default_model: Model) -> None:
    from appliance.accelerators.cpu import CpuAccelerator

    noise = np.random.default_rng(1).integers(0, 255, (300, 300, 3), np.uint8)
    cpu = CpuAccelerator().open(default_model, threads=1)
    results = []
    for one in (detector, cpu):
        with one.input() as picture:
            picture[:] = noise
        del picture
        one.infer()
        results.append(one.detections(0.05))
    cpu.close()
    assert results[0].scores.tolist() == pytest.approx(results[1].scores.tolist())
    assert results[0].boxes == pytest.approx(results[1].boxes)


def test_an_abort_is_a_loss_that_names_the_signal(
    detector: IsolatedDetector, control: Path
) -> None:
    look(detector)
    (control / "unplugged").touch()
    with pytest.raises(DetectorLostError, match=r"exit code 134 \(SIGABRT\).*plug it in"):
        look(detector)
    with pytest.raises(DetectorLostError):
        detector.infer()


def test_a_hang_is_bounded_and_the_child_is_gone(detector: IsolatedDetector, control: Path) -> None:
    (control / "hang").touch()
    with pytest.raises(DetectorLostError, match="did not answer in time"):
        look(detector)
    assert not running(detector.pid)


def test_a_refused_frame_is_no_loss(detector: IsolatedDetector, control: Path) -> None:
    (control / "refuse_frame").touch()
    with pytest.raises(DetectorError, match="not this one") as caught:
        look(detector)
    assert not isinstance(caught.value, DetectorLostError)
    (control / "refuse_frame").unlink()
    look(detector)


def test_killed_from_outside(detector: IsolatedDetector) -> None:
    os.kill(detector.pid, signal.SIGKILL)
    with pytest.raises(DetectorLostError, match="SIGKILL"):
        look(detector)


@pytest.mark.parametrize(
    ("told", "said"),
    [("crash_open", r"exit code 139 \(SIGSEGV\)"), ("unplugged", "no device")],
)
def test_opening_fails_with_a_reason(
    told: str, said: str, control: Path, default_model: Model
) -> None:
    (control / told).touch()
    with pytest.raises(AcceleratorUnavailableError, match=said):
        ScriptedAccelerator(Options(device=str(control))).open(default_model, threads=1)


def test_running_on_the_cpu_after_all_is_degraded(control: Path, default_model: Model) -> None:
    (control / "on_cpu").touch()
    one = ScriptedAccelerator(Options(device=str(control))).open(default_model, threads=1)
    assert one.degraded == "scripted does not run the model: it runs on CPU"
    one.close()


def test_closing_ends_the_child(detector: IsolatedDetector) -> None:
    detector.close()
    wait_for(lambda: not running(detector.pid))
    with pytest.raises(DetectorLostError):
        look(detector)


def test_a_dead_parent_ends_the_child(control: Path, default_model: Model) -> None:
    """The socket closes with its owner, whatever killed it."""
    import subprocess

    code = (
        "import sys, time; from pathlib import Path;"
        "from appliance.selection.choose import load_model;"
        "from tests.fakes.scripted_accelerator import Options, ScriptedAccelerator;"
        "d = ScriptedAccelerator(Options(device=sys.argv[1]))"
        ".open(load_model('auto'), threads=1);"
        "print(d.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(control)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parent.parent,
        text=True,
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        child = int(parent.stdout.readline())
        assert running(child)
        parent.kill()
    wait_for(lambda: not running(child))


def spec(**changes: object) -> EngineSpec:
    return EngineSpec("x", str(ENGINE), "ScriptedEngine", **changes)  # type: ignore[arg-type]


def test_an_interpreter_that_is_not_there(default_model: Model) -> None:
    with pytest.raises(
        AcceleratorUnavailableError, match=r"/no/python.*accelerator\.options\.x\.interpreter"
    ):
        IsolatedDetector(spec(interpreter="/no/python"), default_model, threads=1)


def test_a_program_that_is_no_python(default_model: Model) -> None:
    with pytest.raises(AcceleratorUnavailableError, match="exit code 1"):
        IsolatedDetector(spec(interpreter="/bin/false"), default_model, threads=1)


def test_outputs_that_do_not_fit_the_head(tmp_path: Path, default_model: Model) -> None:
    engine = tmp_path / "narrow.py"
    engine.write_text(
        "class Narrow:\n"
        "    def open(self, model, threads, options):\n"
        "        return {'outputs': [(n, 'int8', (1, 7)) for n in model['outputs']],\n"
        "                'runtime': 'r', 'placement': 'p'}\n"
        "    def close(self): pass\n"
    )
    with pytest.raises(ModelError, match="do not fit 1917 anchors"):
        IsolatedDetector(EngineSpec("x", str(engine), "Narrow"), default_model, threads=1)


def test_an_odd_exit_code_is_a_loss_like_any_other(
    detector: IsolatedDetector, control: Path
) -> None:
    (control / "odd_exit").touch()
    with pytest.raises(DetectorLostError, match="ended with exit code 255"):
        look(detector)


def test_what_a_wrapper_started_is_killed_with_it(
    tmp_path: Path, control: Path, default_model: Model
) -> None:
    wrapper = tmp_path / "python.sh"
    wrapper.write_text(f'#!/bin/sh\n{sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    one = IsolatedDetector(
        spec(interpreter=str(wrapper), options={"control": str(control)}, infer_seconds=0.5),
        default_model,
        threads=1,
    )
    inner = int(Path(f"/proc/{one.pid}/task/{one.pid}/children").read_text())
    (control / "hang").touch()
    with pytest.raises(DetectorLostError):
        look(one)
    wait_for(lambda: not running(inner))
    one.close()


def test_a_hung_child_ends_when_we_are_gone(control: Path, default_model: Model) -> None:
    import subprocess

    (control / "hang").touch()
    code = (
        "import sys, threading, time;"
        "from appliance.selection.choose import load_model;"
        "from tests.fakes.scripted_accelerator import Options, ScriptedAccelerator;"
        "d = ScriptedAccelerator(Options(device=sys.argv[1])).open(load_model('auto'), threads=1);"
        "threading.Thread(target=lambda: d._child.ask({'op': 'infer'}, 600), daemon=True).start();"
        "time.sleep(0.5); print(d.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(control)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parent.parent,
        text=True,
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        child = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: not running(child))
