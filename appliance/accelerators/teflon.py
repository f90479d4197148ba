"""Mesa's Teflon delegate: the NPUs of Khadas VIM3 (etnaviv) and of RK3588 on mainline (rocket).

Source: Mesa documentation, Frigate's ``teflon_tfl``; Debian ``mesa-teflon-delegate`` 25.0.7. It
takes uint8 convolutions only, the rest stays on the CPU. Not run on hardware by us:
contract-tested with a stand-in delegate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.accelerators import About, Finding, Options, Target, found
from appliance.accelerators.delegate import PLACED
from appliance.accelerators.isolated import EngineSpec, IsolatedDetector
from appliance.accelerators.machine import Machine, openable

if TYPE_CHECKING:
    from appliance.models import Model

LIBRARY = "libteflon.so"
WITH_VIVANTE_NPU = ("amlogic,a311d", "khadas,vim3", "fsl,imx8mp")
"""Boards whose Vivante core is an NPU; on others (i.MX6) the same driver drives a GPU only."""
_INSTALL = "apt install mesa-teflon-delegate"


def has_vivante_npu(machine: Machine) -> bool:
    """Say whether the board is known to have an NPU behind a Vivante driver."""
    return any(one in WITH_VIVANTE_NPU for one in machine.compatible())


class TeflonAccelerator:
    """See the module's description."""

    name = "teflon"
    target = Target("teflon", frozenset({"tflite"}))
    max_detectors = 1
    about = About(
        title="Khadas VIM3 and RK3588 on a mainline kernel, through Mesa Teflon",
        found_by="/dev/dri/renderD* driven by etnaviv, /dev/accel/accel* driven by rocket",
        install=_INSTALL,
        status="contract",
        note="takes 8 bit convolutions; what it leaves runs on the CPU and is reported",
    )

    def __init__(self, options: Options, machine: Machine = Machine(), library: str = "") -> None:  # noqa: B008 - frozen
        del options  # one device, our interpreter
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
            problem = f"{LIBRARY} is not installed: {_INSTALL}"
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
            module="appliance.accelerators.delegate",
            engine="DelegateEngine",
            options={
                "library": self._library or str(self._machine.shared_library(LIBRARY) or LIBRARY),
                "delegate": {},
            },
            promises=PLACED,
        )
        return IsolatedDetector(spec, model, threads=threads)
