"""Inferred throttling: accelerators that report nothing, but whose inferences grew longer."""

from __future__ import annotations

import statistics
from collections import deque

BASELINE_WINDOWS = 6
CONFIRMING_WINDOWS = 3
SLOWER_BY = 1.3
"""A rise of 30 % in three windows running; windows of a steady unit differ by less than 10 %."""
RECOVERED_BELOW = 1.15


class DriftDetector:
    """Watches the median inference time of each window.

    The baseline is the median of the first windows; a new accelerator or model begins anew.
    """

    def __init__(self) -> None:
        self._subject = ""
        self._first: list[float] = []
        self._last: deque[float] = deque(maxlen=CONFIRMING_WINDOWS)
        self.inferred = False

    def window(self, subject: str, inference_ms: float | None) -> bool:
        """Take a window's median; return whether slowing down is inferred.

        Args:
            subject: what ran: accelerator, model and layout.
            inference_ms: None where nothing ran.
        """
        if subject != self._subject:
            self._subject, self._first, self.inferred = subject, [], False
            self._last.clear()
        if inference_ms is None:
            return self.inferred
        if len(self._first) < BASELINE_WINDOWS:
            self._first.append(inference_ms)
            return False
        self._last.append(inference_ms)
        baseline = statistics.median(self._first)
        if len(self._last) == CONFIRMING_WINDOWS:
            if min(self._last) > baseline * SLOWER_BY:
                self.inferred = True
            elif max(self._last) < baseline * RECOVERED_BELOW:
                self.inferred = False
        return self.inferred
