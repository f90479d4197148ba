"""VeriSilicon's vx delegate: the NPU of Khadas VIM3 on the vendor's kernel (4.9, 5.4).

Source: VeriSilicon/tflite-vx-delegate (2025-01), built against TensorFlow 2.14 or older: another
layout of TfLiteRegistration than today's, so it needs tflite-runtime 2.14 in a side interpreter
(Python 3.10 or 3.11). Not run on hardware by us: contract-tested with a stand-in delegate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from appliance.accelerators import About, Finding, Target, found
from appliance.accelerators.process.delegate import PLACED
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.accelerators.process.interpreter import Interpreter, side_interpreter
from appliance.board.machine import Machine, openable

if TYPE_CHECKING:
    from appliance.models import Model

LIBRARY = "libvx_delegate.so"
BOARDS = ("amlogic,a311d", "khadas,vim3", "fsl,imx8mp")
"""Boards whose /dev/galcore is an NPU; on others it is a GPU only."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the vx delegate."""

    interpreter: Interpreter = ""


class VxAccelerator:
    """VeriSilicon's vx delegate: the NPU of Khadas VIM3 on the vendor's kernel (4.9, 5.4)."""

    name = "vx"
    target = Target("vx", frozenset({"tflite"}))
    max_detectors = 1
    about = About(
        title="Khadas VIM3 on the vendor's kernel, through the vx delegate",
        found_by="/dev/galcore",
        install="libvx_delegate.so; a Python 3.10 or 3.11 with tflite-runtime 2.14 and numpy<2, "
        "named in accelerator.options.vx.interpreter",
        status="contract",
        note="side interpreter",
    )

    def __init__(self, options: Options, machine: Machine = Machine(), library: str = "") -> None:  # noqa: B008 - frozen
        self._side = side_interpreter(options.interpreter, self.name)
        self._machine = machine
        self._library = library

    def probe(self, machine: Machine) -> Finding:
        """Look for the driver's node, the delegate and the interpreter."""
        nodes = machine.nodes("galcore")
        if not nodes or not any(one in BOARDS for one in machine.compatible()):
            return Finding(self.name, found=False, detail="no VeriSilicon NPU (/dev/galcore)")
        devices = ("VeriSilicon NPU (/dev/galcore)",)
        if not openable(nodes[0]):
            problem = "may not be opened: join group video"
        elif machine.shared_library(LIBRARY) is None:
            problem = f"{LIBRARY} is not installed: build VeriSilicon/tflite-vx-delegate"
        elif not self._side.configured:
            problem = (
                "needs tflite-runtime 2.14: name a Python 3.10 or 3.11 that has it in "
                "accelerator.options.vx.interpreter"
            )
        else:
            problem = self._side.problem
        if problem:
            detail = f"{devices[0]} is there but {problem}"
            return Finding(self.name, found=False, detail=detail, devices=devices)
        return found(
            self.name, devices[0], devices, f"vx in {self._side.path} {self._side.version}"
        )

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in the side interpreter."""
        spec = EngineSpec(
            accelerator=self.name,
            module="appliance.accelerators.process.delegate",
            engine="DelegateEngine",
            options={
                "library": self._library or str(self._machine.shared_library(LIBRARY) or LIBRARY),
                "delegate": {},
            },
            interpreter=self._side.named,
            promises=PLACED,
            shares=True,
        )
        return IsolatedDetector(spec, model, threads=threads)


create = VxAccelerator
