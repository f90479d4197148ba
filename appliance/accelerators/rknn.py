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
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from appliance.accelerators import About, Finding, Target, found
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.accelerators.process.interpreter import Interpreter, side_interpreter
from appliance.accelerators.process.rknn_engine import PACKAGE
from appliance.accelerators.process.rknn_file import wrong_with
from appliance.board.machine import Machine, module_version, openable
from appliance.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import Model

CHIPS = ("rk3588", "rk3588s", "rk3576", "rk3568", "rk3566", "rk3562")
_WITH_CORES = ("rk3588", "rk3588s", "rk3576")
"""Those with several cores; the others refuse a core mask."""
LIBRARY = "librknnrt.so"
LIBRARY_PLACE = f"usr/lib/{LIBRARY}"
"""The one place that RKNN Lite2 loads it from, unless LIBRKNNRT_PATH is set (2.5.0)."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a Rockchip NPU."""

    cores: Annotated[
        Literal["auto", "0", "1", "2", "0_1", "0_1_2", "all"],
        msgspec.Meta(
            description="Which cores of its NPU, on a chip that has several; auto leaves it to the "
            "driver."
        ),
    ] = "auto"
    interpreter: Interpreter = ""


class RknnAccelerator:
    """Rockchip NPUs of RK3588, RK3576, RK3568, RK3566 and RK3562 through RKNN Toolkit Lite2."""

    name = "rknn"
    target = Target("rknn", frozenset({"rknn"}), compiled=True)
    max_detectors = 3
    about = About(
        title="Rockchip RK3588, RK3576, RK3568, RK3566, RK3562 (vendor's kernel)",
        found_by="device tree, and a DRM node driven by RKNPU or /dev/rknpu",
        install="librknnrt.so, rknn-toolkit-lite2; on Python 3.13 in a side interpreter named in "
        "accelerator.options.rknn.interpreter",
        status="contract",
        note="its rknn_lite.py in CI, without librknnrt.so; you convert the model, for one chip: "
        "see below",
    )

    def __init__(self, options: Options, machine: Machine = Machine()) -> None:  # noqa: B008 - frozen
        self._side = side_interpreter(options.interpreter, self.name)
        self._cores = options.cores
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
        elif not self._side.configured and module_version("rknnlite", PACKAGE) is None:
            problem = (
                f"{PACKAGE} is not installed: pip install it, on Python 3.13 into a side "
                "interpreter named in accelerator.options.rknn.interpreter"
            )
        elif self._side.problem:
            problem = self._side.problem
        if problem:
            detail = f"{devices[0]} is there but {problem}"
            return Finding(self.name, found=False, detail=detail, devices=devices)
        runtime = f"RKNN Lite2 {module_version('rknnlite', PACKAGE) or self._side.path}"
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
            module="appliance.accelerators.process.rknn_engine",
            engine="RknnEngine",
            options={"cores": self._cores.upper() if several else ""},
            interpreter=self._side.named,
            promises="RKNPU",
            telling=telling,
        )
        return IsolatedDetector(spec, model, threads=threads)


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
