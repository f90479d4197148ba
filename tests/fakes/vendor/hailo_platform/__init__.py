"""Follows HailoRT 4.23's Python API: pyhailort.py, src/infer_model_api.cpp, infer_model.cpp.

As there: exceptions and texts come from ExceptionWrapper.create_exception_from_status; buffers are
checked by their size in bytes when they are run (``validate_bindings``), and the binding of 4.23,
built with pybind11 2.10.1, takes the size of numpy 2's arrays for 0; ``output()`` without a name is
for one output only; a HEF knows the chips it was compiled for and the order of its outputs.

FAKE_HAILO makes it fail, FAKE_HAILO_CHIP is the chip that is there, FAKE_HAILO_PYBIND11 the version
that the binding was built with (2.13.6 as in HailoRT 5.1.1). Its HEFs are the magic and JSON.
"""

from __future__ import annotations

import enum
import json
import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

CLASSES = 90
SHAPE = (300, 300, 3)
RUNS_ON = {"HAILO8": {"HAILO8", "HAILO8L"}, "HAILO8L": {"HAILO8L"}, "HAILO10H": {"HAILO10H"}}
"""Which HEFs a chip runs (hef.cpp, HefConfigurator: a Hailo-8 takes those of an 8L)."""


class HailoRTException(Exception):  # noqa: N818 - the vendor's name
    pass


class HailoRTInvalidOperationException(HailoRTException):
    pass


class HailoRTNotFoundException(HailoRTException):
    pass


class HailoRTInvalidHEFException(HailoRTException):
    pass


class HailoRTHEFNotCompatibleWithDevice(HailoRTException):
    pass


class HailoCommunicationClosedException(HailoRTException):
    pass


def _status(code: int, name: str) -> HailoRTException:
    return HailoRTException(f"libhailort failed with error: {code} ({name})")


class FormatType(enum.Enum):
    UINT8 = 1
    FLOAT32 = 3


class FormatOrder(enum.Enum):
    NHWC = 1
    HAILO_NMS = 15
    HAILO_NMS_BY_CLASS = 22
    HAILO_NMS_BY_SCORE = 23


class HailoSchedulingAlgorithm(enum.Enum):
    NONE = 0
    ROUND_ROBIN = 1


class DeviceArchitectureTypes(enum.IntEnum):
    HAILO8 = 1
    HAILO8L = 2
    HAILO10H = 6

    def __str__(self) -> str:
        return self.name


class _Parameters:
    scheduling_algorithm: HailoSchedulingAlgorithm | None = None


def _chip() -> str:
    return os.environ.get("FAKE_HAILO_CHIP", "HAILO8")


def _nbytes(array: Any) -> int:
    """What ``py::array::nbytes`` gives in the binding."""
    built_with = os.environ.get("FAKE_HAILO_PYBIND11", "2.13.6").split(".")
    knows_numpy_2 = [int(part) for part in built_with] >= [2, 12, 0]
    numpy_2 = int(np.__version__.partition(".")[0]) >= 2
    return 0 if numpy_2 and not knows_numpy_2 else int(array.nbytes)


class VDevice:
    def __init__(self, parameters: _Parameters) -> None:
        assert parameters.scheduling_algorithm is HailoSchedulingAlgorithm.ROUND_ROBIN
        told = os.environ.get("FAKE_HAILO", "")
        if told == "driver":
            raise _status(76, "HAILO_INVALID_DRIVER_VERSION")
        if told == "busy":
            raise _status(74, "HAILO_OUT_OF_PHYSICAL_DEVICES")
        self.released = False

    @staticmethod
    def create_params() -> _Parameters:
        return _Parameters()

    def get_physical_devices(self) -> list[SimpleNamespace]:
        board = SimpleNamespace(device_architecture=DeviceArchitectureTypes[_chip()])
        return [SimpleNamespace(control=SimpleNamespace(identify=lambda: board))]

    def create_infer_model(self, path: str) -> _InferModel:
        content = Path(path).read_bytes()
        if not content.startswith(b"\x01HEF"):
            raise HailoRTInvalidHEFException("Invalid HEF. See hailort.log for more information")
        return _InferModel(json.loads(content[4:] or b"{}"))

    def release(self) -> None:
        self.released = True


class _Stream:
    def __init__(self, shape: tuple[int, ...], order: FormatOrder) -> None:
        self.shape = list(shape)
        self.format = SimpleNamespace(order=order, type=FormatType.UINT8)

    def set_format_type(self, value: FormatType) -> None:
        self.format.type = value

    @property
    def frame_size(self) -> int:
        return math.prod(self.shape) * (4 if self.format.type is FormatType.FLOAT32 else 1)


class _InferModel:
    def __init__(self, hef: dict[str, Any]) -> None:
        self._compiled_for = hef.get("compiled_for", "HAILO8L")
        order = FormatOrder[hef.get("order", "HAILO_NMS_BY_CLASS")]
        self._input = _Stream(SHAPE, FormatOrder.NHWC)
        self.output_names = hef.get("outputs", ["ssd_mobilenet_v1/nms1"])
        shape = (CLASSES * (1 + 20 * 5),)
        self._outputs = {name: _Stream(shape, order) for name in self.output_names}
        self.batch = 0

    def set_batch_size(self, size: int) -> None:
        self.batch = size

    def input(self) -> _Stream:
        return self._input

    def output(self, name: str = "") -> _Stream:
        if not name and len(self._outputs) == 1:
            name = self.output_names[0]
        if name not in self._outputs:
            raise HailoRTNotFoundException("Item not found. See hailort.log for more information")
        return self._outputs[name]

    def configure(self) -> _Configured:
        if self._compiled_for not in RUNS_ON[_chip()]:
            raise HailoRTHEFNotCompatibleWithDevice(
                "HEF file is not compatible with device. See hailort.log for more information"
            )
        return _Configured(self)


class _Buffer:
    def __init__(self, stream: _Stream) -> None:
        self.stream = stream
        self.value: Any = None
        self.size: int | None = None

    def set_buffer(self, value: Any) -> None:
        if not value.flags.c_contiguous:
            raise HailoRTException("Buffer must be C_CONTIGUOUS")
        self.value, self.size = value, _nbytes(value)

    def get_buffer(self) -> Any:
        return self.value


class _Bindings:
    def __init__(self, model: _InferModel) -> None:
        self._names = model.output_names
        self._input = _Buffer(model.input())
        self._outputs = {name: _Buffer(model.output(name)) for name in self._names}

    def input(self) -> _Buffer:
        return self._input

    def output(self, name: str = "") -> _Buffer:
        if not name and len(self._names) == 1:
            name = self._names[0]
        return self._outputs[name]

    def validate(self) -> None:
        for one in (self._input, *self._outputs.values()):
            if one.size != one.stream.frame_size:  # "buffer size 0 is different than expected"
                raise HailoRTInvalidOperationException(
                    "Invalid operation. See hailort.log for more information"
                )


class _Completion:
    exception: Exception | None = None


class _Job:
    def wait(self, timeout_ms: int) -> None:
        assert timeout_ms > 0


class _Configured:
    def __init__(self, model: _InferModel) -> None:
        self._model = model

    def create_bindings(self, output_buffers: dict[str, Any]) -> _Bindings:
        bindings = _Bindings(self._model)
        for name, buffer in output_buffers.items():
            bindings.output(name).set_buffer(buffer)
        return bindings

    def wait_for_async_ready(self, timeout_ms: int) -> None:
        assert timeout_ms > 0

    def run_async(self, bindings: list[_Bindings], callback: Any) -> _Job:
        (one,) = bindings
        one.validate()
        found = [np.empty((0, 5), np.float32) for _ in range(CLASSES)]
        grey = float(one.input().value[0, 0, 0])
        if grey:  # ymin, xmin, ymax, xmax, score
            found[0] = np.array([[0.1, 0.2, 0.5, 0.4, 0.75]], np.float32)
            found[16] = np.array([[0.3, 0.1, 0.9, 0.6, 0.9], [0.0, 0.0, 0.2, 0.2, 0.4]], np.float32)
        one.output().value = found
        done = _Completion()
        if os.environ.get("FAKE_HAILO") == "lost" and grey:
            done.exception = HailoCommunicationClosedException(
                "Communication closed failure. Check server-client connection"
            )
        callback(completion_info=done)
        return _Job()
