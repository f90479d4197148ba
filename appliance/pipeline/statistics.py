"""Rates and stage percentiles over a stated window: counts over time, never averages of 1/dt."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance.clock import NS_PER_MS, NS_PER_SECOND
from appliance.values import StageTimes

if TYPE_CHECKING:
    from appliance.clock import Clock
    from appliance.values import Observation

CAPACITY = 8192
"""Frames of one window whose times are kept; later ones replace the oldest (counts go on)."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Distribution of a duration over a window, milliseconds."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Window:
    """What happened between two instants.

    Attributes:
        seconds: length of the window.
        frames: results handed to the sinks in it.
        first_seq, last_seq: message numbers of the first and last of them, None without any.
        captured: frames captured in it.
        gated: of these, frames in which nothing moved, left out.
        inference_seconds: time spent inferring, all workers together.
        stages: distribution of each stage, and of ``publish`` where something was written.
        latency: distribution of capture to hand-off; None without results.
    """

    seconds: float
    frames: int
    first_seq: int | None
    last_seq: int | None
    captured: int
    gated: int
    inference_seconds: float
    stages: dict[str, Spread]
    latency: Spread | None

    @property
    def end_to_end_fps(self) -> float | None:
        """Return results a second; None when nothing ran."""
        return self.frames / self.seconds if self.frames and self.seconds > 0 else None

    @property
    def camera_fps(self) -> float | None:
        """Return captured frames a second; None when nothing came."""
        return self.captured / self.seconds if self.captured and self.seconds > 0 else None

    @property
    def gated_fps(self) -> float:
        """Return frames a second that the motion gate left out."""
        return self.gated / self.seconds if self.seconds > 0 else 0.0

    def inference_only_fps(self, workers: int) -> float | None:
        """Return what the detector alone would sustain with ``workers`` in parallel."""
        if not self.frames or self.inference_seconds <= 0:
            return None
        return workers * self.frames / self.inference_seconds

    def efficiency(self, workers: int) -> float | None:
        """Return end-to-end over the slower of camera and detector (live sources).

        None while the motion gate left frames out: too few remain to say.
        """
        rates = (self.end_to_end_fps, self.camera_fps, self.inference_only_fps(workers))
        end_to_end, camera, inference = rates
        if end_to_end is None or camera is None or inference is None or self.gated:
            return None
        return end_to_end / min(camera, inference)


class WindowStatistics:
    """Collects one camera's window. Thread-safe.

    Args:
        clock: the appliance's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._times = np.zeros((CAPACITY, len(StageTimes.NAMES)), np.int64)
        self._latency = np.zeros(CAPACITY, np.int64)
        self._publish = np.zeros(CAPACITY, np.int64)
        self._reset(clock.monotonic_ns())

    def _reset(self, now_ns: int) -> None:
        self._start_ns = now_ns
        self._frames = 0
        self._captured = 0
        self._gated = 0
        self._published = 0
        self._inference_ns = 0
        self._first_seq: int | None = None
        self._last_seq: int | None = None

    def captured(self) -> None:
        """Count a captured frame."""
        with self._lock:
            self._captured += 1

    def gated(self) -> None:
        """Count a captured frame in which nothing moved."""
        with self._lock:
            self._gated += 1

    def processed(self, observation: Observation, message_seq: int | None) -> None:
        """Count a result, and the number of its message; None where none was wanted."""
        with self._lock:
            row = self._frames % CAPACITY
            self._times[row] = observation.times.durations_ns
            self._latency[row] = observation.times.latency_ns
            self._inference_ns += observation.times.inferred_ns - observation.times.preprocessed_ns
            self._frames += 1
            if self._first_seq is None:
                self._first_seq = message_seq
            if message_seq is not None:
                self._last_seq = message_seq

    def published(self, duration_ns: int) -> None:
        """Count a message that was written ``duration_ns`` after its hand-off."""
        with self._lock:
            self._publish[self._published % CAPACITY] = duration_ns
            self._published += 1

    def roll(self) -> Window:
        """Return the window that ends now, and begin the next.

        The time is taken while nothing can be counted: no frame is in a window that ended before
        it did.
        """
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            kept = min(self._frames, CAPACITY)
            stages = {
                name: spread(self._times[:kept, column])
                for column, name in enumerate(StageTimes.NAMES)
                if kept
            }
            written = min(self._published, CAPACITY)
            if written:
                stages["publish"] = spread(self._publish[:written])
            window = Window(
                seconds=(now_ns - self._start_ns) / NS_PER_SECOND,
                frames=self._frames,
                first_seq=self._first_seq,
                last_seq=self._last_seq,
                captured=self._captured,
                gated=self._gated,
                inference_seconds=self._inference_ns / NS_PER_SECOND,
                stages=stages,
                latency=spread(self._latency[:kept]) if kept else None,
            )
            self._reset(now_ns)
            return window


def spread(durations_ns: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Spread:
    """Return the distribution of durations (n >= 1), nanoseconds to milliseconds."""
    p50, p95, p99, top = np.percentile(durations_ns, (50, 95, 99, 100)) / NS_PER_MS
    mean = durations_ns.mean() / NS_PER_MS
    return Spread(*(round(float(value), 6) for value in (mean, p50, p95, p99, top)))
