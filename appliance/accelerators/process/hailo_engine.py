"""HailoRT's end in the child; imports nothing that is not for every Python from 3.10.

One output of the NMS-by-class kind: a list over the classes of (n, 5) float32 ymin, xmin, ymax,
xmax, score.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.accelerators.process.tensors import EngineError
from appliance.board.machine import module_version

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.values import Pixels

_NUMPY_2_SINCE = (5, 1, 1)
"""HailoRT whose binding is built with pybind11 2.13; up to 5.1.0 it is 2.10, which takes the size
of numpy 2's arrays for 0 bytes, and its setup.py asks for numpy<2."""
_ANY_NUMPY_SINCE = (3, 13)
"""Pythons that pybind11 2.10 cannot be built for: a binding for them was built with a newer one."""
_BY_CLASS = {"HAILO_NMS_BY_CLASS", "HAILO_NMS"}
"""The order of output we can read, under today's name and that of HailoRT 4.20."""
_HEFS = {
    "HAILO8": "ssd-mobilenet-v1-hailo8 or ssd-mobilenet-v1-hailo8l",
    "HAILO8L": "ssd-mobilenet-v1-hailo8l",
}
_CURE = 'apt install python3-numpy, and accelerator.options.hailo.interpreter = "/usr/bin/python3"'
MAX_ROWS = 200
"""Detections read from one picture; the zoo's SSDs give at most 20 of a class."""
READY_MS = 10_000
"""As picamera2 waits for the device's queue."""


class HailoEngine:
    """Runs in the child."""

    def open(self, model: dict[str, Any], threads: int, options: dict[str, Any]) -> dict[str, Any]:
        """Configure the network on the chip."""
        import hailo_platform as hailo  # noqa: PLC0415 - vendor code, only here

        del threads, options
        version = module_version("hailo_platform", "hailort") or ""
        unfit = numpy_problem(version, np.__version__, sys.version_info[:2])
        if unfit:
            raise EngineError("unavailable", unfit)
        parameters = hailo.VDevice.create_params()
        parameters.scheduling_algorithm = hailo.HailoSchedulingAlgorithm.ROUND_ROBIN
        try:
            self._device = hailo.VDevice(parameters)
        except Exception as error:  # its exceptions share no public base class
            raise EngineError("unavailable", _explained(error)) from error
        try:
            network = self._device.create_infer_model(model["path"])
        except Exception as error:
            raise EngineError("model", f"HailoRT refuses it: {error}{self._advice()}") from error
        _check_outputs(network)
        network.set_batch_size(1)
        network.input().set_format_type(hailo.FormatType.UINT8)
        network.output().set_format_type(hailo.FormatType.FLOAT32)
        expected = (model["height"], model["width"], 3)
        if tuple(network.input().shape) != expected:
            got = tuple(network.input().shape)
            raise EngineError("model", f"input is {got}, the manifest says {expected}")
        self._network = network
        try:  # a HEF for another chip may be found out only here
            self._configured = network.configure()
        except Exception as error:
            raise EngineError("model", f"HailoRT refuses it: {error}{self._advice()}") from error
        self._prove_buffers(expected)
        shapes = ((1, MAX_ROWS, 4), (1, MAX_ROWS), (1, MAX_ROWS), (1,))
        return {
            "outputs": [(n, "float32", s) for n, s in zip(model["outputs"], shapes, strict=True)],
            "runtime": f"HailoRT {version}",
            "placement": "Hailo",
        }

    def _prove_buffers(self, shape: tuple[int, ...]) -> None:
        """Run an empty picture: what the binding makes of our buffers shows here, not later."""
        try:
            self._by_class(np.zeros(shape, np.uint8))
        except EngineError:
            raise
        except Exception as error:
            reason = f"the first inference is refused: {_explained(error)}"
            raise EngineError("unavailable", reason) from error

    def _advice(self) -> str:
        """Return which model fits the chip, if it says what it is."""
        try:
            chips = self._device.get_physical_devices()
            chip = str(chips[0].control.identify().device_architecture).rpartition(".")[2]
        except Exception:  # noqa: BLE001 - only advice: whatever the vendor's code raises
            return ""
        fitting = _HEFS.get(chip)
        if fitting is None:
            return f"; the chip is a {chip}: the model must be compiled for it, and ours are not"
        return f"; the chip is a {chip}: appliance models fetch {fitting}"

    def infer(self, picture: Pixels, outputs: list[NDArray[Any]]) -> None:
        """Run one picture and flatten the lists by class into boxes, classes, scores, count."""
        flatten_by_class(self._by_class(picture), outputs)

    def _by_class(self, picture: Pixels) -> list[NDArray[Any]]:
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
        found: list[NDArray[Any]] = bindings.output().get_buffer()
        return found

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


def numpy_problem(hailort: str, numpy: str, python: tuple[int, ...]) -> str:
    """Return why this HailoRT gets empty buffers from this numpy, and the cure; else nothing."""
    numbers = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", hailort)
    if numbers is None or python >= _ANY_NUMPY_SINCE or int(numpy.partition(".")[0]) < 2:
        return ""
    if tuple(int(number or 0) for number in numbers.groups()) >= _NUMPY_2_SINCE:
        return ""
    return f"HailoRT {hailort} was built for numpy 1 and takes numpy {numpy} for empty: {_CURE}"


def _check_outputs(network: Any) -> None:
    names = list(network.output_names)
    if len(names) != 1:
        raise EngineError(
            "model",
            f"has {len(names)} outputs; wanted is a HEF with NMS by class as its one output, "
            "as the model zoo's SSDs are",
        )
    order = network.output(names[0]).format.order
    name = getattr(order, "name", "") or str(order).rpartition(".")[2]
    if name not in _BY_CLASS:
        raise EngineError(
            "model", f"its output is of the order {name}; wanted is HAILO_NMS_BY_CLASS"
        )


def _explained(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "HAILO_INVALID_DRIVER_VERSION" in text:
        return (
            f"{text}: driver, library and firmware must be of one version; reinstall them together "
            "and reboot"
        )
    if "HAILO_DEVICE_IN_USE" in text or "HAILO_OUT_OF_PHYSICAL_DEVICES" in text:
        return f"{text}: another program holds the chip"
    if "Invalid operation" in text and int(np.__version__.partition(".")[0]) > 1:
        return f"{text}: was this HailoRT built for numpy 1, unlike {np.__version__}? {_CURE}"
    return text
