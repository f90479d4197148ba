"""Follows HailoRT 4.23's Python API as picamera2's helper uses it; FAKE_HAILO makes it fail."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

CLASSES = 90
SHAPE = (300, 300, 3)


class HailoRTError(Exception):
    pass


class FormatType:
    UINT8 = "UINT8"
    FLOAT32 = "FLOAT32"


class HailoSchedulingAlgorithm:
    ROUND_ROBIN = "ROUND_ROBIN"


class _Parameters:
    scheduling_algorithm = None


class VDevice:
    def __init__(self, parameters: _Parameters) -> None:
        assert parameters.scheduling_algorithm == HailoSchedulingAlgorithm.ROUND_ROBIN
        told = os.environ.get("FAKE_HAILO", "")
        if told == "driver":
            raise HailoRTError(
                "HAILO_INVALID_DRIVER_VERSION(76): Driver version (4.21.0) is different from "
                "library version (4.23.0)"
            )
        if told == "busy":
            raise HailoRTError("HAILO_OUT_OF_PHYSICAL_DEVICES(74)")
        self.released = False

    @staticmethod
    def create_params() -> _Parameters:
        return _Parameters()

    def create_infer_model(self, path: str) -> _InferModel:
        with open(path, "rb") as file:
            if file.read(4) != b"\x01HEF":
                raise HailoRTError("HAILO_INVALID_HEF(26)")
        return _InferModel()

    def release(self) -> None:
        self.released = True


class _Stream:
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.format: str | None = None

    def set_format_type(self, value: str) -> None:
        self.format = value


class _InferModel:
    def __init__(self) -> None:
        self._input = _Stream(SHAPE)
        self._output = _Stream((CLASSES * (1 + 20 * 5),))
        self.output_names = ["ssd_mobilenet_v1/nms1"]
        self.batch = 0

    def set_batch_size(self, size: int) -> None:
        self.batch = size

    def input(self) -> _Stream:
        return self._input

    def output(self, name: str = "") -> _Stream:
        assert name in {"", *self.output_names}
        return self._output

    def configure(self) -> _Configured:
        assert self.batch == 1
        assert self._input.format == FormatType.UINT8
        assert self._output.format == FormatType.FLOAT32
        return _Configured(self)


class _Buffer:
    def __init__(self, value: Any = None) -> None:
        self.value = value

    def set_buffer(self, value: Any) -> None:
        assert value.dtype == np.uint8
        assert value.shape == SHAPE
        assert value.flags["C_CONTIGUOUS"]
        self.value = value

    def get_buffer(self) -> Any:
        return self.value


class _Bindings:
    def __init__(self) -> None:
        self._input, self._output = _Buffer(), _Buffer()

    def input(self) -> _Buffer:
        return self._input

    def output(self, name: str = "") -> _Buffer:
        return self._output


class _Completion:
    exception: Exception | None = None


class _Job:
    def wait(self, timeout_ms: int) -> None:
        assert timeout_ms > 0


class _Configured:
    def __init__(self, model: _InferModel) -> None:
        self._model = model

    def create_bindings(self, output_buffers: dict[str, Any]) -> _Bindings:
        assert set(output_buffers) == set(self._model.output_names)
        return _Bindings()

    def wait_for_async_ready(self, timeout_ms: int) -> None:
        assert timeout_ms > 0

    def run_async(self, bindings: list[_Bindings], callback: Any) -> _Job:
        found = [np.empty((0, 5), np.float32) for _ in range(CLASSES)]
        grey = float(bindings[0].input().value[0, 0, 0])
        if grey:  # ymin, xmin, ymax, xmax, score
            found[0] = np.array([[0.1, 0.2, 0.5, 0.4, 0.75]], np.float32)
            found[16] = np.array([[0.3, 0.1, 0.9, 0.6, 0.9], [0.0, 0.0, 0.2, 0.2, 0.4]], np.float32)
        bindings[0].output().value = found
        done = _Completion()
        if os.environ.get("FAKE_HAILO") == "lost":
            done.exception = HailoRTError("HAILO_COMMUNICATION_CLOSED(62)")
        callback(completion_info=done)
        return _Job()
