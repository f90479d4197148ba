"""Rockchip NPUs of RK3588, RK3576, RK3568, RK3566 and RK3562 through RKNN Toolkit Lite2.

Sources: airockchip/rknn-toolkit2 (API, version 2.5.0), Frigate's rknn plugin (detection). Its
wheels stop at Python 3.12, so on a newer system it runs in a side interpreter. The vendor's kernel
only: on mainline (driver ``rocket``) take ``teflon``. Outputs are raw encodings and logits.

Every file is for one chip and is converted by its owner (docs/accelerators.md): Rockchip's
converter is no part of ours. Not run on hardware by us: tested with its real rknn_lite.py over a
stand-in for its compiled parts, and with a stand-in for all of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.accelerators import About, Finding, Options, Target, found
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.accelerators.process.interpreter import side_interpreter
from appliance.accelerators.process.rknn_file import wrong_with
from appliance.accelerators.process.tensors import EngineError
from appliance.board.machine import Machine, module_version, openable
from appliance.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.models import Model
    from appliance.values import Pixels

CHIPS = ("rk3588", "rk3588s", "rk3576", "rk3568", "rk3566", "rk3562")
_WITH_CORES = ("rk3588", "rk3588s", "rk3576")
"""Those with several cores; the others refuse a core mask."""
LIBRARY = "librknnrt.so"
LIBRARY_PLACE = f"usr/lib/{LIBRARY}"
"""The one place that RKNN Lite2 loads it from, unless LIBRKNNRT_PATH is set (2.5.0)."""
_PACKAGE = "rknn-toolkit-lite2"


class RknnAccelerator:
    """See the module's description; ``device`` picks cores: auto, 0, 1, 2, 0_1, 0_1_2, all."""

    name = "rknn"
    target = Target("rknn", frozenset({"rknn"}), compiled=True)
    max_detectors = 3
    about = About(
        title="Rockchip RK3588, RK3576, RK3568, RK3566, RK3562 (vendor's kernel)",
        found_by="device tree, and a DRM node driven by RKNPU or /dev/rknpu",
        install="librknnrt.so, rknn-toolkit-lite2; on Python 3.13 in a side interpreter named in "
        "accelerator.interpreters.rknn",
        status="contract",
        note="its rknn_lite.py in CI, without librknnrt.so; you convert the model, for one chip: "
        "see below",
    )

    def __init__(self, options: Options, machine: Machine = Machine()) -> None:  # noqa: B008 - frozen
        self._side = side_interpreter(options, self.name)
        self._cores = options.device
        self._machine = machine

    def probe(self, machine: Machine) -> Finding:
        """Look for the chip, its driver, permissions, library and Python package."""
        chip = _chip(machine)
        if not chip:
            return Finding(self.name, found=False, detail="no Rockchip board with an RKNN NPU")
        devices = (f"{chip.upper()} NPU",)
        node = _node(machine)
        problem = ""
        if node is None:
            mainline = any(
                machine.driver("accel", n.name) == "rocket" for n in machine.nodes("accel/accel*")
            )
            problem = (
                "runs under the mainline driver rocket: accelerator teflon drives it"
                if mainline
                else "its driver RKNPU is not loaded: use the vendor's kernel"
            )
        elif not openable(node):
            problem = f"{machine.shown(node)} may not be opened: join groups video and render"
        elif _library_problem(machine):
            problem = _library_problem(machine)
        elif not self._side.configured and module_version("rknnlite", _PACKAGE) is None:
            problem = (
                f"{_PACKAGE} is not installed: pip install it, on Python 3.13 into a side "
                "interpreter named in accelerator.interpreters.rknn"
            )
        elif self._side.problem:
            problem = self._side.problem
        if problem:
            detail = f"{devices[0]} is there but {problem}"
            return Finding(self.name, found=False, detail=detail, devices=devices)
        runtime = f"RKNN Lite2 {module_version('rknnlite', _PACKAGE) or self._side.path}"
        return found(
            self.name, f"{devices[0]}, {runtime}", devices, f"{runtime} {self._side.version}"
        )

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in a child process, or a side interpreter."""
        chip = _chip(self._machine)
        _check(model, chip)
        several = chip in _WITH_CORES
        spec = EngineSpec(
            accelerator=self.name,
            module=__name__,
            engine="RknnEngine",
            options={"cores": (self._cores or "auto").upper() if several else ""},
            interpreter=self._side.named,
            promises="RKNPU",
            telling=telling,
        )
        return IsolatedDetector(spec, model, threads=threads)


class RknnEngine:
    """Runs in the child."""

    def open(self, model: dict[str, Any], threads: int, options: dict[str, Any]) -> dict[str, Any]:
        """Load the model into the NPU; every call of the API returns 0 for success."""
        from rknnlite.api import RKNNLite  # noqa: PLC0415 - vendor code, only here

        del threads
        self._rknn = RKNNLite()
        if self._rknn.load_rknn(model["path"]) != 0:
            raise EngineError("model", "RKNN cannot read it")  # it reads whatever is there
        cores = options["cores"]
        name = f"NPU_CORE_{cores}"
        if cores and not hasattr(RKNNLite, name):
            raise EngineError("unavailable", f"accelerator.device {cores.lower()}: no such cores")
        mask = {"core_mask": getattr(RKNNLite, name)} if cores else {}
        if self._rknn.init_runtime(**mask) != 0:
            raise EngineError(
                "unavailable",
                "the NPU or the model cannot be opened: librknnrt.so of the converter's version "
                "or later, driver RKNPU 0.9 or later, groups video and render?",
            )
        self._tensor = np.zeros((1, model["height"], model["width"], 3), np.uint8)
        values = self._run()
        if len(values) != len(model["outputs"]):
            raise EngineError("model", f"gives {len(values)} outputs, expected 2")
        return {
            "outputs": [
                (name, value.dtype.name, value.shape)
                for name, value in zip(model["outputs"], values, strict=True)
            ],
            "runtime": f"RKNN Lite2 {module_version('rknnlite', _PACKAGE)}",
            "placement": "RKNPU",
        }

    def infer(self, picture: Pixels, outputs: list[NDArray[Any]]) -> None:
        """Fill ``outputs``."""
        self._tensor[0] = picture
        for place, value in zip(outputs, self._run(), strict=True):
            np.copyto(place, value)

    def close(self) -> None:
        """Free the NPU."""
        self._rknn.release()

    def _run(self) -> list[NDArray[Any]]:
        values = self._rknn.inference(inputs=[self._tensor])
        if values is None:
            raise EngineError("lost", "RKNN gave no result")
        return [np.asarray(value) for value in values]


def telling(words: str) -> str:
    """Return those of the child's last words in which RKNN says what is wrong."""
    lines = words.splitlines()
    of_the_runtime = [line.partition("] ")[2] for line in lines if line.startswith("E RKNN")]
    raised = [line.partition(": ")[2] for line in lines if line.startswith("Exception: ")]
    return "; ".join((of_the_runtime or [])[-3:] + raised[-1:])


def _library_problem(machine: Machine) -> str:
    if (machine.root / LIBRARY_PLACE).exists() or os.environ.get("LIBRKNNRT_PATH"):
        return ""
    elsewhere = machine.shared_library(LIBRARY)
    if elsewhere is not None:
        return f"{machine.shown(elsewhere)} is not found by it: link it to /{LIBRARY_PLACE}"
    return f"{LIBRARY} is not installed: take it from airockchip/rknn-toolkit2"


def _check(model: Model, chip: str) -> None:
    try:
        content = model.path.read_bytes()
    except OSError as error:
        raise ModelError(f"model {model.id}: {model.path}: {error.strerror}") from error
    wrong = wrong_with(content, chip)
    if wrong:
        raise ModelError(
            f"model {model.id}: {model.path.name} {wrong}",
            hint="convert it with rknn-toolkit2 and target_platform "
            f"{chip.removesuffix('s') or 'of your chip'}: docs/accelerators.md",
        )


def _chip(machine: Machine) -> str:
    names = (one.rpartition(",")[2] for one in machine.compatible())
    return next((name for name in names if name in CHIPS), "")


def _node(machine: Machine) -> Path | None:
    """Return the NPU's node: never a guess from a number, drivers share the name space."""
    for node in machine.nodes("dri/renderD*"):
        if machine.driver("drm", node.name) == "RKNPU":
            return node
    return next(iter(machine.nodes("rknpu")), None)


create = RknnAccelerator
