"""The detector that does nothing, for units all of whose cameras detect by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.errors import DetectorError
from appliance.values import Detections

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from appliance.values import Pixels


class PassThroughDetector:
    """Refuses pictures: frames that carry detections never reach it.

    Args:
        accelerator: what the cameras' frames run on.
        model_id: of the model that names the labels.
        input_size: of that model.
    """

    degraded = ""

    def __init__(self, accelerator: str, model_id: str, input_size: tuple[int, int]) -> None:
        self.accelerator = accelerator
        self.model_id = model_id
        self.input_size = input_size

    def input(self) -> AbstractContextManager[Pixels]:
        raise DetectorError(f"accelerator {self.accelerator}: this frame carries no detections")

    def infer(self) -> None:
        """Do nothing."""

    def detections(self, score_threshold: float) -> Detections:  # noqa: ARG002 - the protocol's
        return Detections.empty()

    def close(self) -> None:
        """Do nothing."""
