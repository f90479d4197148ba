"""From the picture to the runtime's input tensor, for engines that want one of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from appliance.values import Pixels

_SIGN = np.uint8(0x80)


class InputTensor:
    """An input tensor made once and filled for each picture.

    Args:
        model: the engine's description of it: width, height, kind, layout, scale, offset, and
            order of the colours.

    Attributes:
        array: (1, height, width, 3) or (1, 3, height, width), uint8, int8 holding pixel - 128,
            or float32 holding pixel * scale + offset.
    """

    def __init__(self, model: Mapping[str, Any]) -> None:
        height, width = model["height"], model["width"]
        planar = model["layout"] == "nchw"
        shape = (1, 3, height, width) if planar else (1, height, width, 3)
        self._kind = np.dtype(model["kind"])
        self.array: NDArray[Any] = np.zeros(shape, self._kind)
        self._view = self.array[0].transpose(1, 2, 0) if planar else self.array[0]
        self._scale = np.asarray(model["scale"], np.float32)
        self._offset = np.asarray(model["offset"], np.float32)
        self._step = -1 if model["order"] == "bgr" else 1

    def fill(self, picture: Pixels) -> NDArray[Any]:
        """Write ``picture``, uint8 RGB (height, width, 3); return the tensor."""
        ordered = picture[:, :, :: self._step]
        if self._kind == np.uint8:
            self._view[:] = ordered
        elif self._kind == np.int8:
            np.bitwise_xor(ordered, _SIGN, out=self._view.view(np.uint8))  # less 128
        else:
            np.multiply(ordered, self._scale, out=self._view)
            self._view += self._offset
        return self.array


class EngineError(Exception):
    """An engine's refusal; ``kind`` is what the other end makes of it (see isolation.child)."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
