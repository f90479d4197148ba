"""Hailo-8, 8L and 10H through HailoRT's Python API.

Sources: picamera2's Hailo helper (the calls, HailoRT 4.x and 5.x), hailo-ai/hailort-drivers (ids
and nodes). One output of the NMS-by-class kind: a list over the classes of (n, 5) float32
ymin, xmin, ymax, xmax, score. Driver, library and firmware must be of one version.

Not run on hardware by us: contract-tested with a stand-in for ``hailo_platform``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.accelerators import About, Finding, Options, Target, found
from appliance.accelerators.isolated import EngineSpec, IsolatedDetector
from appliance.accelerators.machine import Machine, module_version, openable
from appliance.accelerators.side import side_interpreter
from appliance.accelerators.tensors import EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.models import Model
    from appliance.values import Pixels

_CHIPS = {
    "1e60:2864": ("Hailo-8 or 8L", "hailo-all"),
    "1e60:45c4": ("Hailo-10H", "hailo-h10-all"),
    "1e60:43a2": ("Hailo-15L", "hailo-h10-all"),
}
MAX_ROWS = 200
"""Detections read from one picture; the zoo's SSDs give at most 20 of a class."""
READY_MS = 10_000
"""As picamera2 waits for the device's queue."""


class HailoAccelerator:
    """See the module's description."""

    name = "hailo"
    target = Target("hailo", frozenset({"hef"}), compiled=True)
    max_detectors = 1
    about = About(
        title="Hailo-8, Hailo-8L (AI Kit, AI HAT+), Hailo-10H (AI HAT+ 2)",
        found_by="PCI 1e60:2864 (8, 8L), 45c4 (10H); /dev/hailo0 or /dev/h1x-0",
        install="apt install dkms hailo-all (8, 8L) or hailo-h10-all (10H), never both",
        status="contract",
        note="stand-in for hailo_platform in CI",
    )

    def __init__(self, options: Options) -> None:
        self._side = side_interpreter(options, self.name)

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
        elif self._side.problem:
            problem = self._side.problem
        if problem:
            detail = f"{devices[0]} is there but {problem}"
            return Finding(self.name, found=False, detail=detail, devices=devices)
        runtime = f"HailoRT {version or self._side.path}"
        return found(self.name, f"{title}, {runtime}", devices, f"{runtime} {self._side.version}")

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in a child process."""
        spec = EngineSpec(
            accelerator=self.name,
            module=__name__,
            engine="HailoEngine",
            interpreter=self._side.path,
            promises="Hailo",
            lost_hint="hailortcli fw-control identify says whether the chip still answers",
        )
        return IsolatedDetector(spec, model, threads=threads)


class HailoEngine:
    """Runs in the child."""

    def open(self, model: dict[str, Any], threads: int, options: dict[str, Any]) -> dict[str, Any]:
        """Configure the network on the chip."""
        import hailo_platform as hailo  # noqa: PLC0415 - vendor code, only here

        del threads, options
        parameters = hailo.VDevice.create_params()
        parameters.scheduling_algorithm = hailo.HailoSchedulingAlgorithm.ROUND_ROBIN
        try:
            self._device = hailo.VDevice(parameters)
        except Exception as error:  # its exceptions share no public base class
            raise EngineError("unavailable", _explained(error)) from error
        try:
            network = self._device.create_infer_model(model["path"])
        except Exception as error:
            raise EngineError("model", f"HailoRT refuses it: {error}") from error
        network.set_batch_size(1)
        network.input().set_format_type(hailo.FormatType.UINT8)
        network.output().set_format_type(hailo.FormatType.FLOAT32)
        expected = (model["height"], model["width"], 3)
        if tuple(network.input().shape) != expected:
            got = tuple(network.input().shape)
            raise EngineError("model", f"input is {got}, the manifest says {expected}")
        self._network = network
        self._configured = network.configure()
        shapes = ((1, MAX_ROWS, 4), (1, MAX_ROWS), (1, MAX_ROWS), (1,))
        version = module_version("hailo_platform", "hailort")
        return {
            "outputs": [(n, "float32", s) for n, s in zip(model["outputs"], shapes, strict=True)],
            "runtime": f"HailoRT {version}",
            "placement": "Hailo",
        }

    def infer(self, picture: Pixels, outputs: list[NDArray[Any]]) -> None:
        """Run one picture and flatten the lists by class into boxes, classes, scores, count."""
        buffers = {
            name: np.empty(self._network.output(name).shape, np.float32)
            for name in self._network.output_names
        }
        bindings = self._configured.create_bindings(output_buffers=buffers)
        bindings.input().set_buffer(np.ascontiguousarray(picture))
        self._configured.wait_for_async_ready(timeout_ms=READY_MS)
        failures: list[Exception] = []

        def done(completion_info: Any) -> None:
            if completion_info.exception:
                failures.append(completion_info.exception)

        self._configured.run_async([bindings], done).wait(READY_MS)
        if failures:
            raise EngineError("lost", f"HailoRT: {failures[0]}")
        flatten_by_class(bindings.output().get_buffer(), outputs)

    def close(self) -> None:
        """Release the chip for others."""
        del self._configured
        self._device.release()


def flatten_by_class(by_class: list[NDArray[Any]], outputs: list[NDArray[Any]]) -> None:
    """Write HAILO_NMS_BY_CLASS, (n, 5) for each class, as the four post-processed outputs."""
    boxes, classes, scores, count = outputs
    rows = [(row, number) for number, found in enumerate(by_class) for row in np.asarray(found)]
    rows.sort(key=lambda pair: -float(pair[0][4]))
    kept = rows[:MAX_ROWS]
    for index, (row, number) in enumerate(kept):
        boxes[0, index] = row[:4]
        classes[0, index] = number
        scores[0, index] = row[4]
    count[0] = len(kept)


def _explained(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "HAILO_INVALID_DRIVER_VERSION" in text or "is different from library version" in text:
        return (
            f"{text}: driver, library and firmware must be of one version; reinstall them together "
            "and reboot"
        )
    if "HAILO_DEVICE_IN_USE" in text or "HAILO_OUT_OF_PHYSICAL_DEVICES" in text:
        return f"{text}: another program holds the chip"
    return text
