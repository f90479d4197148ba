"""What was seen in a frame, and how long each stage took."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from appliance.values.happened import NOTHING, Happened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.values.pictures import ClockOrigin, Floats, Frame, Ints, Pixels


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Boundaries between the stages of one frame, CLOCK_MONOTONIC nanoseconds.

    Neighbouring stages share a boundary, so the stages add up to the latency exactly.

    Raises:
        ValueError: the boundaries are not in order.
    """

    captured_ns: int
    received_ns: int
    taken_ns: int
    preprocessed_ns: int
    inferred_ns: int
    done_ns: int

    NAMES = ("capture", "queue", "preprocess", "inference", "postprocess")

    def __post_init__(self) -> None:
        stamps = self.boundaries
        if any(later < earlier for earlier, later in itertools.pairwise(stamps)):
            raise ValueError(f"stage boundaries must not go back: {stamps}")

    @property
    def boundaries(self) -> tuple[int, int, int, int, int, int]:
        """Return the six boundaries in order."""
        return (
            self.captured_ns,
            self.received_ns,
            self.taken_ns,
            self.preprocessed_ns,
            self.inferred_ns,
            self.done_ns,
        )

    def until(self, done_ns: int) -> StageTimes:
        """Return the same boundaries with another end."""
        return StageTimes(*self.boundaries[:-1], done_ns)

    @property
    def durations_ns(self) -> tuple[int, ...]:
        """Return the duration of each stage of ``NAMES``, nanoseconds."""
        stamps = self.boundaries
        return tuple(b - a for a, b in itertools.pairwise(stamps))

    @property
    def latency_ns(self) -> int:
        """Return capture to hand-off, nanoseconds: the sum of all stages."""
        return self.done_ns - self.captured_ns


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector saw in one frame, best first.

    Attributes:
        boxes: float32 (n, 4), xmin, ymin, xmax, ymax in 0..1 of the source frame, top left origin.
        scores: float32 (n,), 0..1.
        label_ids: int32 (n,); the COCO category id (1..90) for COCO models.
        rejected: how many rows ``of`` refused (not finite, empty, score out of range).
    """

    boxes: Floats
    scores: Floats
    label_ids: Ints
    rejected: int = 0

    def __post_init__(self) -> None:
        n = len(self.scores)
        for name, array, shape, kind in (
            ("boxes", self.boxes, (n, 4), np.float32),
            ("scores", self.scores, (n,), np.float32),
            ("label_ids", self.label_ids, (n,), np.int32),
        ):
            if array.shape != shape or array.dtype != kind:
                raise ValueError(
                    f"{name} must be {np.dtype(kind).name} {shape}, "
                    f"got {array.dtype.name} {array.shape}"
                )

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls) -> Self:
        """Return no detections (an inference ran and saw nothing)."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))

    @classmethod
    def of(cls, boxes: Floats, scores: Floats, label_ids: Ints) -> Self:
        """Clip boxes to the frame, drop and count rows that mean nothing, sort by score."""
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        scores = np.asarray(scores, np.float32)
        clipped = np.minimum(np.maximum(boxes, 0), 1)
        sides = clipped[:, 2:] - clipped[:, :2]
        keep = (sides > 0).all(axis=1) & np.isfinite(boxes).all(axis=1)
        keep &= (scores >= 0) & (scores <= 1)
        order = np.argsort(-scores, kind="stable")
        order = order[keep[order]]
        return cls(
            clipped[order],
            scores[order],
            np.asarray(label_ids, np.int32)[order],
            rejected=int(len(scores) - len(order)),
        )

    def where(self, keep: NDArray[np.bool_]) -> Self:
        """Return the rows where ``keep`` (bool, (n,)) is true."""
        return type(self)(
            self.boxes[keep], self.scores[keep], self.label_ids[keep], rejected=self.rejected
        )


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One processed frame on its way through filters and sinks.

    Attributes:
        camera: name of the camera.
        frame_seq: number of the frame at its camera.
        width, height: size in pixels of the frame as it stands upright (after rotation).
        origin: what ``times.captured_ns`` marks.
        detections: what was seen; empty only because inference ran and saw nothing.
        times: stage boundaries; ``done_ns`` is final once the filters ran.
        name: the file a picture came from, empty for cameras.
        picture: uint8 RGB (h, w, 3) as the model saw it, for filters that want it, else None.
        accelerator: what the model ran on.
        model_id: the model that ran.
        happened: what it means for the objects before the camera.
        frame: the frame, with pixels of its own, where pictures of it may be wanted; else None.
    """

    camera: str
    frame_seq: int
    width: int
    height: int
    origin: ClockOrigin
    detections: Detections
    times: StageTimes
    name: str = ""
    picture: Pixels | None = None
    accelerator: str = ""
    model_id: str = ""
    happened: Happened = NOTHING
    frame: Frame | None = None

    def finished(self, done_ns: int) -> Observation:
        """Return it as it is handed on at ``done_ns``; spelt out, for ``replace`` is slow."""
        return Observation(
            self.camera,
            self.frame_seq,
            self.width,
            self.height,
            self.origin,
            self.detections,
            self.times.until(done_ns),
            self.name,
            self.picture,
            self.accelerator,
            self.model_id,
            self.happened,
            self.frame,
        )
