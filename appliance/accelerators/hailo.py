"""Hailo-8, 8L and 10H through HailoRT's Python API.

Sources: hailo-ai/hailort 4.20 to 5.2 (pyhailort.py, infer_model_api.cpp, infer_model.cpp),
picamera2's Hailo helper (the calls), hailo-ai/hailort-drivers (ids and nodes). Driver, library and
firmware must be of one version.

Not run on hardware by us: contract-tested with a stand-in for ``hailo_platform`` that checks the
size of buffers, the chip a HEF was compiled for and the order of its outputs as HailoRT does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from appliance.accelerators import About, Finding, Target, found
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.accelerators.process.hailo_engine import numpy_problem
from appliance.accelerators.process.interpreter import Interpreter, side_interpreter
from appliance.board.machine import Machine, module_version, openable

if TYPE_CHECKING:
    from appliance.models import Model

_CHIPS = {
    "1e60:2864": ("Hailo-8 or 8L", "hailo-all"),
    "1e60:45c4": ("Hailo-10H", "hailo-h10-all"),
    "1e60:43a2": ("Hailo-15L", "hailo-h10-all"),
}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a Hailo."""

    interpreter: Interpreter = ""


class HailoAccelerator:
    """Hailo-8, 8L and 10H through HailoRT's Python API."""

    name = "hailo"
    target = Target("hailo", frozenset({"hef"}), compiled=True)
    max_detectors = 1
    about = About(
        title="Hailo-8, Hailo-8L (AI Kit, AI HAT+), Hailo-10H (AI HAT+ 2)",
        found_by="PCI 1e60:2864 (8, 8L), 45c4 (10H); /dev/hailo0 or /dev/h1x-0",
        install="apt install dkms hailo-all (8, 8L) or hailo-h10-all (10H), never both; HailoRT up "
        "to 5.1.0 also python3-numpy and "
        'accelerator.options.hailo.interpreter = "/usr/bin/python3"',
        status="contract",
        note="stand-in for hailo_platform in CI; no model of ours is compiled for a 10H",
    )

    def __init__(self, options: Options) -> None:
        self._side = side_interpreter(options.interpreter, self.name)

    def probe(self, machine: Machine) -> Finding:
        """Look for the chip, its driver, its permissions and its Python package."""
        chips = machine.pci(*_CHIPS)
        if not chips:
            return Finding(self.name, found=False, detail="no Hailo on PCIe")
        title, package = _CHIPS[chips[0].ids]
        devices = tuple(f"{_CHIPS[chip.ids][0]} on PCIe ({chip.ids})" for chip in chips)
        nodes = machine.nodes("hailo*") + machine.nodes("h1x-*")
        version = module_version("hailo_platform", "hailort")
        problem = ""
        if not nodes:
            problem = f"its driver is not loaded (no /dev/hailo0): apt install dkms {package}"
        elif not openable(nodes[0]):
            problem = f"{machine.shown(nodes[0])} may not be opened: install Hailo's udev rule"
        elif version is None and not self._side.configured:
            problem = f"hailo_platform is not installed: apt install {package}"
        elif self._side.configured:
            problem = self._side.problem
        else:
            problem = numpy_problem(version or "", np.__version__, sys.version_info[:2])
        if problem:
            detail = f"{devices[0]} is there but {problem}"
            return Finding(self.name, found=False, detail=detail, devices=devices)
        runtime = f"HailoRT {self._side.path if self._side.configured else version}"
        return found(self.name, f"{title}, {runtime}", devices, f"{runtime} {self._side.version}")

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in a child process."""
        spec = EngineSpec(
            accelerator=self.name,
            module="appliance.accelerators.process.hailo_engine",
            engine="HailoEngine",
            interpreter=self._side.named,
            promises="Hailo",
            lost_hint="hailortcli fw-control identify says whether the chip still answers",
        )
        return IsolatedDetector(spec, model, threads=threads)


create = HailoAccelerator
