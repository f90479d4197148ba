"""Mesa's Teflon delegate: the NPUs of Khadas VIM3 (etnaviv) and of RK3588 on mainline (rocket).

Source: Mesa's src/gallium/frontends/teflon/tfl_device.c and drivers/rocket/rkt_ml.c; Frigate's
``teflon_tfl``. The rocket driver is in Mesa from 25.3 (Debian trixie has 25.0.7: etnaviv alone) and
in Linux from 6.18. It takes 8 bit convolutions and additions whose tensors have one scale each and
leaves the rest to the CPU; weights with a scale for each channel, as the bundled model has them,
are left there altogether, so it wants another model. Not run on hardware by us: contract-tested
with a stand-in delegate that refuses the same.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from appliance.accelerators import About, Finding, Target, found
from appliance.accelerators.process.delegate import PLACED
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.board.machine import Machine, openable
from appliance.config.options import NoOptions

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models import Model

LIBRARY = "libteflon.so"
WITH_VIVANTE_NPU = ("amlogic,a311d", "khadas,vim3", "fsl,imx8mp")
"""Boards whose Vivante core is an NPU; on others (i.MX6) the same driver drives a GPU only."""
_INSTALL = "apt install mesa-teflon-delegate"
_ROCKET = "rocket needs mesa-teflon-delegate 25.3 or later (trixie has 25.0.7: try backports)"


def has_vivante_npu(machine: Machine) -> bool:
    """Say whether the board is known to have an NPU behind a Vivante driver."""
    return any(one in WITH_VIVANTE_NPU for one in machine.compatible())


def _has_driver(library: Path | None, driver: str) -> bool:
    """Say whether Mesa's library was built with the driver: its name is in it."""
    if library is None or library.stat().st_size == 0:
        return False
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        return whole.find(driver.encode()) >= 0


class TeflonAccelerator:
    """NPUs that Mesa drives, by its TensorFlow Lite delegate."""

    name = "teflon"
    target = Target("teflon", frozenset({"tflite"}), per_tensor=True)
    max_detectors = 1
    about = About(
        title="Khadas VIM3 and RK3588 on a mainline kernel, through Mesa Teflon",
        found_by="/dev/dri/renderD* driven by etnaviv, /dev/accel/accel* driven by rocket",
        install=f"{_INSTALL}; for RK3588 Mesa 25.3 or later and Linux 6.18 or later; appliance "
        "models fetch ssd_mobilenet_v2_coco_quant_postprocess",
        status="contract",
        note="takes 8 bit convolutions with one scale for each tensor; what it leaves runs on the "
        "CPU, and the share is reported",
    )

    def __init__(self, machine: Machine = Machine(), library: str = "") -> None:  # noqa: B008 - frozen
        self._machine = machine
        self._library = library

    def probe(self, machine: Machine) -> Finding:
        """Look for an NPU with a mainline driver, and the delegate."""
        nodes = [
            (node, driver)
            for kind, pattern in (("drm", "dri/renderD*"), ("accel", "accel/accel*"))
            for node in machine.nodes(pattern)
            if (driver := machine.driver(kind, node.name)) == "rocket"
            or (driver == "etnaviv" and has_vivante_npu(machine))
        ]
        if not nodes:
            return Finding(self.name, found=False, detail="no NPU with a mainline driver")
        node, driver = nodes[0]
        devices = (f"NPU {machine.shown(node)} ({driver})",)
        problem = ""
        if not openable(node):
            problem = "may not be opened: join group render"
        elif machine.shared_library(LIBRARY) is None:
            problem = f"{LIBRARY} is not installed: {_ROCKET if driver == 'rocket' else _INSTALL}"
        elif not _has_driver(machine.shared_library(LIBRARY), driver):
            problem = f"{LIBRARY} has no driver for it: " + (
                _ROCKET if driver == "rocket" else _INSTALL
            )
        if problem:
            detail = f"{devices[0]} is there but {problem}"
            return Finding(self.name, found=False, detail=detail, devices=devices)
        library = machine.shared_library(LIBRARY)
        age = f"{library.stat().st_mtime_ns:x}" if library else ""
        return found(self.name, devices[0], devices, f"Mesa Teflon {age}")

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in a child process."""
        spec = EngineSpec(
            accelerator=self.name,
            module="appliance.accelerators.process.delegate",
            engine="DelegateEngine",
            options={
                "library": self._library or str(self._machine.shared_library(LIBRARY) or LIBRARY),
                "delegate": {},
            },
            promises=PLACED,
            shares=True,
        )
        return IsolatedDetector(spec, model, threads=threads)


Options = NoOptions


def create(_options: NoOptions) -> TeflonAccelerator:
    return TeflonAccelerator()
