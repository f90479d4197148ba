"""RKNN Lite2's end in the child; imports nothing that is not for every Python from 3.10."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.accelerators.process.tensors import EngineError
from appliance.board.machine import module_version

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.values import Pixels

PACKAGE = "rknn-toolkit-lite2"


class RknnEngine:
    """Runs in the child."""

    def open(self, model: dict[str, Any], threads: int, options: dict[str, Any]) -> dict[str, Any]:
        """Load the model into the NPU; every call of the API returns 0 for success."""
        from rknnlite.api import RKNNLite  # noqa: PLC0415 - vendor code, only here

        del threads
        self._rknn = RKNNLite()
        if self._rknn.load_rknn(model["path"]) != 0:
            raise EngineError("model", "RKNN cannot read it")  # it reads whatever is there
        cores = options["cores"]
        name = f"NPU_CORE_{cores}"
        if cores and not hasattr(RKNNLite, name):
            raise EngineError("unavailable", f"this RKNN Lite2 knows no cores {cores.lower()}")
        mask = {"core_mask": getattr(RKNNLite, name)} if cores else {}
        if self._rknn.init_runtime(**mask) != 0:
            raise EngineError(
                "unavailable",
                "the NPU or the model cannot be opened: librknnrt.so of the converter's version "
                "or later, driver RKNPU 0.9 or later, groups video and render?",
            )
        self._tensor = np.zeros((1, model["height"], model["width"], 3), np.uint8)
        values = self._run()
        if len(values) != len(model["outputs"]):
            raise EngineError("model", f"gives {len(values)} outputs, expected 2")
        return {
            "outputs": [
                (name, value.dtype.name, value.shape)
                for name, value in zip(model["outputs"], values, strict=True)
            ],
            "runtime": f"RKNN Lite2 {module_version('rknnlite', PACKAGE)}",
            "placement": "RKNPU",
        }

    def infer(self, picture: Pixels, outputs: list[NDArray[Any]]) -> None:
        self._tensor[0] = picture
        for place, value in zip(outputs, self._run(), strict=True):
            np.copyto(place, value)

    def close(self) -> None:
        """Free the NPU."""
        self._rknn.release()

    def _run(self) -> list[NDArray[Any]]:
        values = self._rknn.inference(inputs=[self._tensor])
        if values is None:
            raise EngineError("lost", "RKNN gave no result")
        return [np.asarray(value) for value in values]
