"""A scripted detector: sees what it is told, takes as long as it is told, fails when told.

Not in the registry: tests and simulations hand it to the pipeline themselves.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from appliance.clock import ManualClock
from appliance.errors import DetectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.clock import Clock
    from appliance.values import Detections, Pixels


class FakeDetector:
    """Runs a script instead of a model.

    Args:
        script: from the number of the inference (0, 1, ...) to what it sees; may raise
            DetectorError.
        seconds: how long an inference takes; needs a ManualClock.
        clock: advanced by ``seconds`` for each inference.
        size: width, height of the input.
    """

    accelerator = "fake"
    model_id = "fake"
    degraded = ""

    def __init__(
        self,
        script: Callable[[int], Detections],
        *,
        seconds: float = 0.0,
        clock: Clock | None = None,
        size: tuple[int, int] = (300, 300),
    ) -> None:
        self._script = script
        self._seconds = seconds
        self._clock = clock
        self.input_size = size
        self._picture: Pixels = np.zeros((size[1], size[0], 3), np.uint8)
        self.inferences = 0
        self.closed = False

    @contextmanager
    def input(self) -> Iterator[Pixels]:
        """Yield the picture, which stays readable as ``picture``."""
        yield self._picture

    @property
    def picture(self) -> Pixels:
        """Return the last picture that was loaded."""
        return self._picture

    def infer(self) -> None:
        """Let time pass."""
        if self.closed:
            raise DetectorError("the fake detector is closed")
        if isinstance(self._clock, ManualClock):
            self._clock.advance(self._seconds)
        self.inferences += 1

    def detections(self, score_threshold: float) -> Detections:
        """Return what the script says."""
        seen = self._script(self.inferences - 1)
        return seen.where(seen.scores >= score_threshold)

    def close(self) -> None:
        """Remember having been closed."""
        self.closed = True
