"""JeVois-A33: a smart camera that detects by itself, over its serial-over-USB port.

Source: jevois/jevois, doc/UserCli.dox (version 1.23). Every processed picture is one frame here,
between ``MARK START`` and ``MARK STOP``; nothing between them means that nothing was seen. The
frame has no pixels of its own (they leave by the camera's UVC side): its picture is black.
Messages flow only while the camera streams: something opens its video, or ``mapping`` is set.

``serstyle``, ``serstamp`` and ``sermark`` belong to the camera's module (Module.H), which every
change of the mapping makes anew (Engine.C, setFormatInternal), a host that opens the video
included: they are set after ``setmapping2``, and again while no mark comes.

Contract-tested over a pseudo-terminal; not run on hardware in this repository's tests.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
import time
import tty
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

from appliance.errors import SourceLostError, SourceUnavailableError
from appliance.legacy.jevois_lines import MARKS, JeVoisObject, parse_line, parse_mark
from appliance.values import ClockOrigin, Frame, PixelFormat, Seen

if TYPE_CHECKING:
    from appliance.sources import SourceRequest

SILENCE_SECONDS = 5.0
"""No mark for this long means lost: the slowest published rate (Tiny YOLO) is 2.2 a second."""
AGAIN_SECONDS = 1.0
"""How long without a mark until the camera is told again what we want to hear."""
_START, _STOP = MARKS
_OF_THE_MODULE = ("setpar serstyle Detail", "setpar serstamp None", "setpar sermark Both")
_CHUNK = 4096


DETECTS = True


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a JeVois camera."""

    mapping: Annotated[
        str,
        msgspec.Meta(
            description="Video mapping to stream without a host that looks, e.g. "
            "YUYV 640 480 20.0 JeVois DarknetYOLO; empty where something opens its video."
        ),
    ] = ""
    model: Annotated[
        str, msgspec.Meta(description="How messages call the network that runs in the camera.")
    ] = "jevois"


class JeVoisSource:
    """JeVois-A33: a smart camera that detects by itself, over its serial-over-USB port."""

    live = True

    def __init__(self, request: SourceRequest) -> None:
        self._port = request.target or "/dev/ttyACM0"
        self._options: Options = request.options
        self._clock = request.clock
        width, height = request.camera.width, request.camera.height
        self._size = (width, height)
        self._picture = np.zeros((height, width, 3), np.uint8)
        self._descriptor: int | None = None
        self._rest = b""
        self._seq = 0

    def open(self) -> None:
        """Open the port and ask for marked messages in detail.

        Raises:
            SourceUnavailableError: no such port, not permitted, or not a serial port.
        """
        try:
            self._descriptor = os.open(self._port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            tty.setraw(self._descriptor)
            self._say("setpar serout USB")  # the engine's own: it outlives its modules
            if self._options.mapping:
                self._say(f"setmapping2 {self._options.mapping}", *_OF_THE_MODULE, "streamon")
            else:
                self._say(*_OF_THE_MODULE)
        except (OSError, termios.error) as error:
            self.close()
            raise SourceUnavailableError(
                f"camera {self._port}: cannot be opened: {error}",
                hint="is it plugged in, and are you in group dialout?",
            ) from error

    def read(self) -> Frame | None:
        """Return what the camera says of its next picture.

        Raises:
            SourceLostError: no marks for a while, or the port is gone.
        """
        deadline = time.monotonic() + SILENCE_SECONDS
        self._wait_for_start(deadline)
        captured_ns = self._clock.monotonic_ns()
        width, height = self._size
        found = []
        while (line := self._line(deadline)) is None or parse_mark(line) != _STOP:
            if line is None:
                raise self._silent()
            one = parse_line(line)
            if one is not None:
                found.append(one)
        seq, self._seq = self._seq, self._seq + 1
        return Frame(
            planes=(self._picture,),
            format=PixelFormat.BGR24,
            width=width,
            height=height,
            captured_ns=captured_ns,
            seq=seq,
            origin=ClockOrigin.READ,
            seen=self._seen(found),
        )

    def close(self) -> None:
        """Stop the stream that we started, and release the port."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if self._options.mapping:
            with contextlib.suppress(OSError):  # a camera that is gone has stopped as well
                os.write(descriptor, b"streamoff\n")
        os.close(descriptor)
        self._rest = b""

    def _seen(self, found: list[JeVoisObject]) -> Seen:
        return Seen(
            accelerator="jevois",
            model_id=self._options.model,
            boxes=np.asarray([one.box for one in found], np.float32).reshape(-1, 4),
            scores=np.asarray([one.score for one in found], np.float32),
            names=tuple(one.label for one in found),
        )

    def _wait_for_start(self, deadline: float) -> None:
        again = time.monotonic() + AGAIN_SECONDS
        while (line := self._line(min(deadline, again))) is None or parse_mark(line) != _START:
            now = time.monotonic()
            if now >= deadline:
                raise self._silent()
            if now >= again:  # a module made anew speaks, but puts no marks
                again = now + AGAIN_SECONDS
                with contextlib.suppress(OSError):  # reading tells what became of the port
                    self._say(*_OF_THE_MODULE)

    def _say(self, *lines: str) -> None:
        assert self._descriptor is not None  # noqa: S101 - open, or reading
        os.write(self._descriptor, "".join(f"{line}\n" for line in lines).encode())

    def _silent(self) -> SourceLostError:
        return SourceLostError(
            f"camera {self._port}: says nothing",
            hint="it speaks only while it streams: open its video, or set mapping",
        )

    def _line(self, deadline: float) -> str | None:
        """Return the next line without its end, or None if none comes in time."""
        while b"\n" not in self._rest:
            if self._descriptor is None:
                raise SourceLostError(f"camera {self._port}: is closed")
            left = deadline - time.monotonic()
            ready = select.select([self._descriptor], [], [], max(left, 0))[0]
            if not ready:
                return None
            try:
                chunk = os.read(self._descriptor, _CHUNK)
            except OSError as error:
                raise SourceLostError(f"camera {self._port}: is gone: {error.strerror}") from error
            if not chunk:
                raise SourceLostError(f"camera {self._port}: is gone")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "replace").strip()


def create(request: SourceRequest) -> JeVoisSource:
    """Return a JeVois camera."""
    return JeVoisSource(request)
