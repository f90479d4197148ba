"""Value types that flow through the pipeline: frozen, validated where they are made."""

from __future__ import annotations

import enum
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Callable

Pixels: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int32]


class PixelFormat(enum.Enum):
    """Memory layout of a picture; the value is its name in messages and errors."""

    BGR24 = "bgr24"
    """(height, width, 3), blue first: OpenCV's order."""
    RGB24 = "rgb24"
    """(height, width, 3), red first."""
    I420 = "i420"
    """Y (height, width), then U and V of half the height and width, rounded up."""
    NV12 = "nv12"
    """Y (height, width), then U and V by turns: half the height and width, rounded up, by 2."""


class Matrix(enum.Enum):
    """How Y, U and V were made of red, green and blue; the value is its name in messages."""

    BT601 = "bt601"
    BT709 = "bt709"
    BT2020 = "bt2020"


@dataclass(frozen=True, slots=True)
class Colours:
    """What the numbers of an I420 or NV12 picture mean.

    Attributes:
        matrix: which weights of the colours.
        full_range: 0..255 are used; else 16..235 of Y and 16..240 of U and V.
    """

    matrix: Matrix
    full_range: bool


BT601_LIMITED = Colours(Matrix.BT601, full_range=False)
"""What cameras give unless they say otherwise."""


class ClockOrigin(enum.Enum):
    """What ``captured_ns`` of a frame marks."""

    SENSOR = "sensor"
    """Stamped by the sensor's driver stack: start of the frame's readout."""
    DRIVER = "driver"
    """Stamped by the kernel driver when the frame began to arrive."""
    ARRIVAL = "arrival"
    """Stamped by us when the frame's last byte was here: camera and network are not measured."""
    READ = "read"
    """Stamped by us when we began to read: everything before is not measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a camera that detects by itself saw in a frame (IMX500, JeVois).

    Attributes:
        accelerator: name of what ran the network.
        model_id: of the network.
        boxes: float32 (n, 4), xmin, ymin, xmax, ymax in 0..1 of the frame.
        scores: float32 (n,), 0..1; 1 where the camera gives none.
        names: label of each.
    """

    accelerator: str
    model_id: str
    boxes: Floats
    scores: Floats
    names: tuple[str, ...]


def _nothing() -> None:
    """Release nothing: the frame owns its pixels."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured picture.

    Attributes:
        planes: uint8, shaped as ``format`` says; rows may be strided, the last axis not. They may
            be views of memory that is another picture after ``release``.
        format: layout of ``planes``.
        width, height: size in pixels of the picture that the camera took.
        captured_ns: CLOCK_MONOTONIC nanoseconds of ``origin``.
        seq: number of the frame at its camera; gaps are frames that were dropped.
        origin: what ``captured_ns`` marks.
        release: hands the buffer back to the driver; called exactly once, by the pipeline.
        name: where the picture came from (a file's path), empty for cameras.
        seen: what the camera itself detected; None for cameras that only take pictures.
        colours: what the planes of I420 and NV12 mean; says nothing of other formats.
        reduction: a decoder that was asked for less gave one pixel for so many of the camera's, in
            each direction. A whole number, as decoders have it, so that the planes' size is known.

    Raises:
        FrameError: the planes do not have the shapes or types that the format needs.
    """

    planes: tuple[Pixels, ...]
    format: PixelFormat
    width: int
    height: int
    captured_ns: int
    seq: int
    origin: ClockOrigin = ClockOrigin.READ
    release: Callable[[], None] = _nothing
    name: str = ""
    seen: Seen | None = None
    colours: Colours = BT601_LIMITED
    reduction: int = 1

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0 or self.reduction <= 0:
            raise FrameError(f"frame {self.seq}: no picture is {self.width}x{self.height}")
        for plane in self.planes:
            if not isinstance(plane, np.ndarray) or plane.dtype != np.uint8:
                got = getattr(plane, "dtype", type(plane).__name__)
                raise FrameError(f"frame {self.seq}: planes must be uint8, got {got}")
        shapes = tuple(plane.shape for plane in self.planes)
        wanted = plane_shapes(self.format, *self.decoded_size)
        if shapes != wanted:
            part = f" / {self.reduction}" if self.reduction > 1 else ""
            raise FrameError(
                f"frame {self.seq}: {self.format.value} of {self.width}x{self.height}{part} must "
                f"have planes of {wanted}, got {shapes}"
            )
        if any(plane.strides[-1] != 1 and plane.shape[-1] > 1 for plane in self.planes):
            raise FrameError(f"frame {self.seq}: the bytes of a row must follow each other")

    @property
    def decoded_size(self) -> tuple[int, int]:
        """Return width and height of what is in the planes."""
        return reduced(self.width, self.height, self.reduction)


def reduced(width: int, height: int, reduction: int) -> tuple[int, int]:
    """Return the size of a picture of which a pixel stands for ``reduction`` each way."""
    return -(-width // reduction), -(-height // reduction)


def plane_shapes(pixel_format: PixelFormat, width: int, height: int) -> tuple[tuple[int, ...], ...]:
    """Return the array shape of each plane of a picture of that format and size."""
    half = ((height + 1) // 2, (width + 1) // 2)
    if pixel_format is PixelFormat.I420:
        return (height, width), half, half
    if pixel_format is PixelFormat.NV12:
        return (height, width), (*half, 2)
    return ((height, width, 3),)


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
        )
