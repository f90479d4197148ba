"""A camera that sees grey: a source in one file, as an example that is run by the tests."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta, Struct

from appliance.values import ClockOrigin, Frame, PixelFormat

if TYPE_CHECKING:
    from appliance.sources import SourceRequest

CONTRACT = {"present": "grey"}
"""For the contract suite: a source that is there on every machine."""


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the grey camera."""

    level: Annotated[
        Annotated[int, Meta(ge=0, le=255)], Meta(description="Brightness, 0 to 255.")
    ] = 128


class GreySource:
    """Delivers grey frames at the camera's rate."""

    live = True

    def __init__(self, request: SourceRequest) -> None:
        self._camera = request.camera
        self._level = request.options.level
        self._clock = request.clock
        self._seq = 0

    def open(self) -> None:
        """Open the device; vendor libraries are imported here and nowhere else."""

    def read(self) -> Frame:
        """Wait for the next frame, a few seconds at most, and return it."""
        self._clock.wait(threading.Event(), 1 / self._camera.fps)
        shape = (self._camera.height, self._camera.width, 3)
        frame = Frame(
            planes=(np.full(shape, self._level, np.uint8),),
            format=PixelFormat.BGR24,
            width=self._camera.width,
            height=self._camera.height,
            captured_ns=self._clock.monotonic_ns(),
            seq=self._seq,
            origin=ClockOrigin.READ,
        )
        self._seq += 1
        return frame

    def close(self) -> None:
        """Release the device; safe to call twice, or before ``open``."""


create = GreySource
