"""Google Coral: the Edge TPU on USB, PCIe, Dev Board, SOM and Mini, through libedgetpu.

Sources: google-coral/libedgetpu (delegate options, udev rules, failure texts); feranick's builds
16.0tf2.17.1 and later for runtimes after TensorFlow 2.16. Google's build of 2021 (Debian version
16.0) was made for a smaller TfLiteRegistration and crashes ai-edge-litert: refused by its package
version, and by exit code 139 where no package tells. libedgetpu aborts the whole process when a
USB transfer fails, hence the child.

Not run on hardware by us: contract-tested with a stand-in delegate compiled in the tests.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated

import msgspec

from appliance.accelerators import About, Finding, Target, found
from appliance.accelerators.cpu import EDGETPU_OPERATOR
from appliance.accelerators.process.delegate import PLACED
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.board.machine import Machine, module_version, openable
from appliance.errors import AcceleratorUnavailableError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.models import Model

USB_BEFORE_FIRMWARE = "1a6e:089a"
USB_AFTER_FIRMWARE = "18d1:9302"
PCI = "1ac1:089a"
LIBRARY = "libedgetpu.so.1"
RETRY_SECONDS = 3.0
"""The stick leaves the bus while it loads its firmware and comes back under its second id."""
_INSTALL = (
    "apt install libedgetpu1-std of the 16.0tf2.19.1 builds "
    "(https://github.com/feranick/libedgetpu/releases)"
)
_MEANINGS = {
    134: "libedgetpu gave up on its device: unplugged, or power, cable or hub; before the first "
    "inference also a build for another version of the runtime",
    139: "libedgetpu was built for another version of the runtime: install one of 16.0tf2.18.1 "
    "or later",
}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a Coral."""

    device: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^(usb|pci)?(:[0-9]+)?$",
            examples=["usb", "usb:0", "pci:1", ":0"],
            description="Which of several Corals: usb or pci for the first on that bus, usb:1 for "
            "the second there, :1 for the second of all; empty for any.",
        ),
    ] = ""


class EdgeTpuAccelerator:
    """Google Coral: the Edge TPU on USB, PCIe, Dev Board, SOM and Mini, through libedgetpu.

    Args:
        options: of the owner.
        machine: where device and library are looked for.
        library: instead of the installed one.
        pause: waits the given seconds.
    """

    name = "edgetpu"
    target = Target("edgetpu", frozenset({"tflite"}), compiled=True)
    max_detectors = 1
    about = About(
        title="Google Coral: USB Accelerator, M.2/PCIe, Dev Board, SOM, Mini",
        found_by="USB 1a6e:089a or 18d1:9302; PCI 1ac1:089a with /dev/apex_*",
        install="libedgetpu1-std 16.0tf2.18.1 or later; udev rule 65-appliance-accelerators.rules",
        status="contract",
        note="stand-in delegate in CI; kernel driver of the PCIe card fails to build from 6.12 on",
        published_fps={"USB on Pi 3": 17, "USB on Pi 4": 55, "Dev Board": 48},
    )

    def __init__(
        self,
        options: Options,
        machine: Machine = Machine(),  # noqa: B008 - frozen
        library: str = "",
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._device = options.device
        self._machine = machine
        self._library = library
        self._pause = pause

    def probe(self, machine: Machine) -> Finding:
        """Look for the device, its driver, permissions, library and the library's build."""
        devices, problem = _look(machine)
        if not devices:
            return Finding(self.name, found=False, detail="no Coral on USB or PCIe")
        shown = ", ".join(devices)
        library = machine.shared_library(LIBRARY, f"{LIBRARY}.0")
        version = _package_version(machine)
        if not problem and library is None:
            problem = f"{LIBRARY} is not installed: {_INSTALL}"
        if not problem and version and "tf" not in version:
            problem = f"libedgetpu {version} of 2021 crashes today's runtime: {_INSTALL}"
        if not problem and module_version("ai_edge_litert") is None:
            problem = "no runtime: pip install ai-edge-litert"
        if problem:
            detail = f"{shown} is there but {problem}"
            return Finding(self.name, found=False, detail=detail, devices=devices)
        runtime = f"libedgetpu {version or '(no package)'}"
        return found(self.name, f"{shown}, {runtime}", devices, runtime)

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in a child process; once more where the stick was loading its firmware."""
        if EDGETPU_OPERATOR not in model.custom_operators:
            raise ModelError(
                f"model {model.id}: is not compiled for the Edge TPU",
                hint="take a file ending in _edgetpu.tflite: `appliance models`",
            )
        fresh = bool(self._machine.usb(USB_BEFORE_FIRMWARE))
        try:
            return self._open(model, threads)
        except AcceleratorUnavailableError:
            if not fresh:
                raise
            self._pause(RETRY_SECONDS)
            return self._open(model, threads)

    def _open(self, model: Model, threads: int) -> IsolatedDetector:
        found = self._library or self._machine.shared_library(LIBRARY, f"{LIBRARY}.0") or LIBRARY
        options = {"device": self._device} if self._device else {}
        spec = EngineSpec(
            accelerator=self.name,
            module="appliance.accelerators.process.delegate",
            engine="DelegateEngine",
            options={"library": str(found), "delegate": options},
            promises=PLACED,
            shares=True,
            exit_codes=_MEANINGS,
            lost_hint="is it plugged in, readable (udev rule), and used by nobody else?",
        )
        return IsolatedDetector(spec, model, threads=threads)


def _look(machine: Machine) -> tuple[tuple[str, ...], str]:
    """Return the Corals that are there, and what keeps the first from being used."""
    devices, problems = [], []
    for one in machine.usb(USB_BEFORE_FIRMWARE, USB_AFTER_FIRMWARE):
        devices.append(f"Coral on USB ({one.ids})")
        node = _usb_node(machine, one.folder)
        if node is not None and node.exists() and not openable(node):
            problems.append(f"{machine.shown(node)} may not be opened: install the udev rule")
    cards = machine.pci(PCI)
    nodes = machine.nodes("apex_*")
    devices += [f"Coral on PCIe ({PCI})" for _ in cards]
    if cards and not nodes:
        problems.append("its driver is not loaded (no /dev/apex_0): gasket-dkms for this kernel")
    closed = [node for node in nodes if not openable(node)]
    if closed:
        problems.append(f"{machine.shown(closed[0])} may not be opened: join group apex")
    return tuple(devices), problems[0] if problems and len(problems) == len(devices) else ""


def _usb_node(machine: Machine, folder: Path) -> Path | None:
    numbers = [
        machine.text(str((folder / f).relative_to(machine.root))) for f in ("busnum", "devnum")
    ]
    if not all(number.isdigit() for number in numbers):
        return None
    bus, device = (int(number) for number in numbers)
    return machine.root / f"dev/bus/usb/{bus:03d}/{device:03d}"


def _package_version(machine: Machine) -> str:
    """Return the Debian version of libedgetpu; empty where it is not a package."""
    status = machine.text("var/lib/dpkg/status")
    package = re.search(
        r"^Package: libedgetpu1-(?:std|max)$(.*?)(?:\n\n|\Z)", status, re.MULTILINE | re.DOTALL
    )
    if package is None or "\nStatus: install ok installed" not in package.group(1):
        return ""
    version = re.search(r"^Version: (\S+)$", package.group(1), re.MULTILINE)
    return version.group(1) if version else ""


create = EdgeTpuAccelerator
