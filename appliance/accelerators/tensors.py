"""From the picture to the runtime's input tensor, for engines that want one of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from appliance.values import Pixels


class InputTensor:
    """An input tensor made once and filled for each picture.

    Args:
        model: the engine's description of it: width, height, kind, layout, scale, offset.

    Attributes:
        array: (1, height, width, 3) or (1, 3, height, width), uint8 or float32 holding
            pixel * scale + offset.
    """

    def __init__(self, model: Mapping[str, Any]) -> None:
        height, width = model["height"], model["width"]
        planar = model["layout"] == "nchw"
        shape = (1, 3, height, width) if planar else (1, height, width, 3)
        self._whole = model["kind"] == "uint8"
        self.array: NDArray[Any] = np.zeros(shape, np.uint8 if self._whole else np.float32)
        self._view = self.array[0].transpose(1, 2, 0) if planar else self.array[0]
        self._scale = np.float32(model["scale"])
        self._offset = np.float32(model["offset"])

    def fill(self, picture: Pixels) -> NDArray[Any]:
        """Write ``picture``, uint8 RGB (height, width, 3); return the tensor."""
        if self._whole:
            self._view[:] = picture
        else:
            np.multiply(picture, self._scale, out=self._view)
            self._view += self._offset
        return self.array


class EngineError(Exception):
    """An engine's refusal; ``kind`` is what the other end makes of it (see isolation.child)."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
