"""Pictures as they come from cameras."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

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

    def with_planes(self, planes: tuple[Pixels, ...]) -> Frame:
        """Return the frame with other pixels, which are its own."""
        return replace(self, planes=planes, release=_nothing)

    def kept(self) -> Frame:
        """Return the frame with pixels of its own, which stay what they are after ``release``."""
        if self.release is _nothing:
            return self
        return self.with_planes(tuple(np.array(plane) for plane in self.planes))

    @property
    def decoded_size(self) -> tuple[int, int]:
        """Return width and height of what is in the planes."""
        return reduced(self.width, self.height, self.reduction)


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG that may leave the unit.

    Attributes:
        jpeg: its bytes.
        width, height: pixels.
        captured_ns: of its frame, CLOCK_MONOTONIC.
        sha256: of the bytes, hexadecimal.
    """

    jpeg: bytes
    width: int
    height: int
    captured_ns: int
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", hashlib.sha256(self.jpeg).hexdigest())


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
