"""Which frames' detections are published, as the camera's settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from appliance.clock import NS_PER_SECOND

if TYPE_CHECKING:
    from appliance.values import Observation

Detections = Literal["every", "changed", "off"] | float


class Policy:
    """Of one camera. Not thread-safe.

    Args:
        detections: see ``[[camera]] detections``.
        follows: objects are followed, so that it is known when there are others.
    """

    def __init__(self, detections: Detections, *, follows: bool) -> None:
        self._detections = detections
        self._follows = follows
        self._labels: list[int] | None = None
        self._due_ns: int | None = None

    def wants(self, seen: Observation) -> bool:
        """Say whether a frame's detections are published."""
        if self._detections == "every":
            return True
        if self._detections == "off":
            return False
        if self._detections == "changed":
            return seen.happened.changed if self._follows else self._has_changed(seen)
        return self._is_due(seen.times.captured_ns, float(self._detections))

    def _has_changed(self, seen: Observation) -> bool:
        labels = sorted(seen.detections.label_ids.tolist())
        before, self._labels = self._labels, labels
        return labels != before

    def _is_due(self, now_ns: int, rate: float) -> bool:
        """Keep the pace: a frame late by a little does not put off the next."""
        period_ns = round(NS_PER_SECOND / rate)
        if self._due_ns is None or now_ns - self._due_ns > period_ns:
            self._due_ns = now_ns
        if now_ns < self._due_ns:
            return False
        self._due_ns += period_ns
        return True
