"""What to measure, and what one round of it gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.bench.alone import Alone
    from appliance.config import Settings
    from appliance.pipeline import Counts
    from appliance.selection import Selection
    from appliance.values import StageTimes


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """What to measure.

    Attributes:
        settings: model, accelerator, cameras; MQTT where messages shall really be published.
        frames: results to measure, all rounds and cameras together.
        preload: keep the frames in memory.
        rate: frames a second of a live source, or None for back-pressure.
    """

    settings: Settings
    frames: int
    preload: bool
    rate: float | None


@dataclass(frozen=True, slots=True)
class Round:
    """One round of the pipeline, and the detectors alone right before or after it.

    Attributes:
        selection: what ran: accelerator, model and layout.
        size: width, height of the frames, upright.
        end_to_end_fps: results a second of all cameras together.
        camera_fps: frames a second that live cameras delivered together; None for others.
        slowest_fps: results a second of the camera that got fewest.
        alone: the detectors alone, in the same layout.
        times: of every result but the first ones, all cameras together.
        publish_ms: median from hand-off to written; None where nothing was published.
        counts: of each camera.
        cpu_seconds: used by the pipeline, child processes included.
        memory_mib: peak in this round, the ring of frames in memory included.
    """

    selection: Selection
    size: tuple[int, int]
    end_to_end_fps: float
    camera_fps: float | None
    slowest_fps: float
    alone: Alone
    times: list[StageTimes]
    publish_ms: float | None
    counts: tuple[Counts, ...]
    cpu_seconds: float
    memory_mib: float

    @property
    def processed(self) -> int:
        """Return how many results there were."""
        return sum(one.processed for one in self.counts)

    @property
    def efficiency(self) -> float:
        """Return end to end over what camera and detector allow (see docs/performance.md)."""
        if self.camera_fps is None:
            return self.end_to_end_fps / self.alone.fps
        return self.end_to_end_fps / min(self.camera_fps, self.alone.fps)

    @property
    def cpu_ratio(self) -> float:
        """Return processor time of a frame over that of an invoke alone."""
        return self.cpu_seconds / self.processed / self.alone.cpu_seconds
