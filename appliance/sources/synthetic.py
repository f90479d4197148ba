"""The synthetic camera: a moving scene with known boxes and a timecode; it can misbehave.

Source of frames for demo, bench and tests. With ``rate = "live"`` it behaves as a camera:
frames come at fixed instants and are lost when nobody takes them. With ``rate = "file"`` it
delivers as fast as they are taken.
"""

from __future__ import annotations

import mmap
import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import numpy as np

from appliance.clock import NS_PER_SECOND
from appliance.errors import FrameError, SourceLostError
from appliance.sources.pictures import timecode
from appliance.sources.pictures.scene import Scene, TrueBox
from appliance.values import ClockOrigin, Frame, PixelFormat, Pixels

if TYPE_CHECKING:
    from appliance.sources import SourceRequest

SPARE_BUFFERS = 1
"""Kept for the next frame. Of those made because workers were late, nothing stays."""


class Mishap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scripted fault."""

    at_frame: Annotated[int, msgspec.Meta(ge=0, description="Frame number it happens at.")]
    kind: Annotated[
        Literal["stall", "vanish", "corrupt", "duplicate", "resize"],
        msgspec.Meta(description="What happens."),
    ]
    seconds: Annotated[float, msgspec.Meta(ge=0, description="How long a stall lasts.")] = 1.0
    frames: Annotated[int, msgspec.Meta(ge=1, description="How many frames it affects.")] = 1


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the synthetic camera."""

    seed: Annotated[int, msgspec.Meta(description="Chooses background and paths.")] = 5
    frames: Annotated[int, msgspec.Meta(ge=0, description="End after so many; 0 for never.")] = 0
    rate: Annotated[
        Literal["live", "file"],
        msgspec.Meta(description="live keeps the camera's fps; file waits for the pipeline."),
    ] = "live"
    script: Annotated[
        tuple[Mishap, ...], msgspec.Meta(description="Faults to act out, for tests.")
    ] = ()


class SyntheticSource:
    """The synthetic camera: a moving scene with known boxes and a timecode; it can misbehave."""

    def __init__(self, request: SourceRequest) -> None:
        options: Options = request.options
        self._camera = request.camera
        self._options = options
        self._clock = request.clock
        self.live = options.rate == "live"
        self._scene: Scene | None = None
        self._stopped = threading.Event()
        self._start_ns = 0
        self._seq = 0
        self._slot = 0
        self._last: Frame | None = None
        self._spare: deque[Pixels] = deque(maxlen=SPARE_BUFFERS)
        self._vanished: set[int] = set()
        self._keeps_last = any(mishap.kind == "duplicate" for mishap in options.script)
        self.truth: tuple[TrueBox, ...] = ()

    def open(self) -> None:
        """Prepare the scene; never fails."""
        if self._scene is None:
            self._scene = Scene(self._camera.width, self._camera.height, self._options.seed)
        self._start_ns = self._clock.monotonic_ns()
        self._slot = 0

    def read(self) -> Frame | None:
        """Return the next frame at its instant, or act out the script."""
        options = self._options
        if self._scene is None:
            raise SourceLostError("the synthetic camera is closed")
        if options.frames and self._seq >= options.frames:
            return None
        captured_ns = self._await_instant()
        seq = self._seq
        for mishap in options.script:
            if mishap.at_frame <= seq < mishap.at_frame + mishap.frames:
                early = self._act(mishap, seq)
                if early is not None:
                    return early
        self._seq += 1
        self._last = self._render(captured_ns, seq)
        return self._last

    def close(self) -> None:
        """Forget the scene's clock; the frame numbers go on."""
        self._scene = None

    def _await_instant(self) -> int:
        """Wait for the next frame's instant (live), and return when the light fell."""
        if not self.live:
            return self._clock.monotonic_ns()
        period_ns = NS_PER_SECOND / self._camera.fps
        now_ns = self._clock.monotonic_ns()
        missed = int((now_ns - self._start_ns) // period_ns)
        self._slot = max(self._slot + 1, missed)
        due_ns = self._start_ns + round(self._slot * period_ns)
        self._clock.wait(self._stopped, (due_ns - now_ns) / NS_PER_SECOND)
        return max(due_ns, self._start_ns)

    def _render(self, captured_ns: int, seq: int, shrink: int = 1) -> Frame:
        camera = self._camera
        try:
            pixels = self._spare.popleft()
        except IndexError:
            pixels = _buffer(camera.width, camera.height)
        if self._scene is None:
            raise SourceLostError("the synthetic camera is closed")
        moment = seq / camera.fps if not self.live else self._slot / camera.fps
        self.truth = self._scene.render(moment, pixels)
        if shrink > 1:
            pixels = np.ascontiguousarray(pixels[::shrink, ::shrink])
        timecode.draw(pixels, captured_ns, seq)
        if shrink > 1 or self._keeps_last:
            return _frame(pixels, captured_ns, seq)
        return replace(_frame(pixels, captured_ns, seq), release=lambda: self._spare.append(pixels))

    def _act(self, mishap: Mishap, seq: int) -> Frame | None:
        if mishap.kind == "stall":
            self._clock.wait(self._stopped, mishap.seconds)
        elif mishap.kind == "vanish" and mishap.at_frame not in self._vanished:
            self._vanished.add(mishap.at_frame)
            raise SourceLostError("the synthetic camera vanished, as its script says")
        elif mishap.kind == "corrupt":
            self._seq += 1
            raise FrameError(f"frame {seq}: truncated, as its script says")
        elif mishap.kind == "duplicate" and self._last is not None:
            self._seq += 1
            return _frame(self._last.planes[0], self._last.captured_ns, seq)
        elif mishap.kind == "resize":
            self._seq += 1
            return self._render(self._clock.monotonic_ns(), seq, shrink=2)
        return None


def _buffer(width: int, height: int) -> Pixels:
    """Return a picture in pages of its own, which are the system's again once it is dropped."""
    pages = mmap.mmap(-1, width * height * 3, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, np.uint8).reshape(height, width, 3)


def _frame(pixels: Pixels, captured_ns: int, seq: int) -> Frame:
    height, width = pixels.shape[:2]
    return Frame(
        planes=(pixels,),
        format=PixelFormat.BGR24,
        width=width,
        height=height,
        captured_ns=captured_ns,
        seq=seq,
        origin=ClockOrigin.SENSOR,
    )


def create(request: SourceRequest) -> SyntheticSource:
    return SyntheticSource(request)
