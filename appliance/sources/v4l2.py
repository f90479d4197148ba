"""USB and other V4L2 cameras, through OpenCV's V4L2 backend.

MJPEG is taken undecoded and decoded strictly here, so that a truncated picture is dropped
instead of shown half grey, and no larger than the model needs it. A camera that has not the format
asked for delivers another one, which OpenCV converts; what was asked and what came is said once
where they differ. OpenCV reports the driver's buffer stamp (CLOCK_MONOTONIC) as the position in
milliseconds; it is verified at start.

Tested with the real OpenCV over a preloaded device, and with a fake capture; not run on hardware
in this repository's tests.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cv2
import msgspec
import numpy as np

from appliance.clock import NS_PER_MS
from appliance.errors import FrameError, SourceLostError, SourceUnavailableError
from appliance.sources.camera.stamps import StampVerifier
from appliance.sources.pictures import jpeg
from appliance.values import ClockOrigin, Frame, PixelFormat, Pixels

if TYPE_CHECKING:
    from appliance.sources import SourceRequest

log = logging.getLogger(__name__)

_COMPRESSED = "MJPG"
_RATE_TOLERANCE = 0.05
"""29.97 is 30."""
_MANUAL_EXPOSURE = 1  # V4L2_EXPOSURE_MANUAL
_EXPOSURE_UNIT_MICROSECONDS = 100  # V4L2_CID_EXPOSURE_ABSOLUTE counts 100 µs


SCHEMES = ("usb",)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a V4L2 camera."""

    format: Annotated[
        Literal["MJPG", "YUYV"], msgspec.Meta(description="Format asked of the camera.")
    ] = "MJPG"


@dataclass(frozen=True, slots=True)
class Mode:
    """What a camera delivers, or is asked for.

    Attributes:
        format: four characters of V4L2.
        width, height: in pixels.
        fps: frames a second; 0 if the driver does not say.
    """

    format: str
    width: int
    height: int
    fps: float

    def __str__(self) -> str:
        rate = f", {self.fps:g} FPS" if self.fps > 0 else ""
        return f"{self.format}, {self.width}x{self.height}{rate}"

    def like(self, other: Mode) -> bool:
        """Say whether it is the same to the eye."""
        rates = self.fps, other.fps
        same_rate = min(rates) <= 0 or abs(rates[0] - rates[1]) <= _RATE_TOLERANCE * max(rates)
        return same_rate and self._shape == other._shape

    @property
    def _shape(self) -> tuple[str, int, int]:
        return self.format, self.width, self.height


class V4l2Source:
    """USB and other V4L2 cameras, through OpenCV's V4L2 backend."""

    live = True

    def __init__(self, request: SourceRequest) -> None:
        self._request = request
        self._device = request.target or "/dev/video0"
        self._camera = request.camera
        self._options: Options = request.options
        self._clock = request.clock
        self._stamps = StampVerifier(request.clock, ClockOrigin.DRIVER)
        self._capture: Any = None
        self._told: Mode | None = None
        self._seq = 0

    def open(self) -> None:
        """Open and configure the camera.

        Raises:
            SourceUnavailableError: not there, not permitted, or used by another program.
        """
        check_device(Path(self._device))
        capture = cv2.VideoCapture(self._device, cv2.CAP_V4L2)
        if not capture.isOpened():
            raise SourceUnavailableError(
                f"camera {self._device}: cannot be opened",
                hint="another program may use it (fuser -v), or it is no capture device",
            )
        camera = self._camera
        asked = Mode(self._options.format, camera.width, camera.height, camera.fps)
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*asked.format))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, asked.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, asked.height)
        capture.set(cv2.CAP_PROP_FPS, asked.fps)
        given = _mode(capture)
        if given.format == _COMPRESSED:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self._set_controls(capture)
        self._tell(asked, given)
        self._capture = capture

    def _tell(self, asked: Mode, given: Mode) -> None:
        """Say what the camera made of what it was asked for, unless that was said before."""
        if given == self._told:
            return
        self._told = given
        if not given.like(asked):
            log.warning("camera %s: asked for %s; it gives %s", self._device, asked, given)

    def read(self) -> Frame | None:
        """Return the next frame; OpenCV gives up after 10 s without one."""
        if self._capture is None:
            raise SourceLostError(f"camera {self._device}: is closed")
        read_ns = self._clock.monotonic_ns()
        ok, data = self._capture.read()
        if not ok or data is None:
            raise SourceLostError(
                f"camera {self._device}: stopped delivering", hint="unplugged, or short of power?"
            )
        position_ms = float(self._capture.get(cv2.CAP_PROP_POS_MSEC))
        driver_ns = round(position_ms * NS_PER_MS) if position_ms > 0 else None
        captured_ns, origin = self._stamps.stamp(driver_ns, read_ns)
        seq, self._seq = self._seq, self._seq + 1
        pixels, (width, height), reduction = self._picture(np.asarray(data, np.uint8), seq)
        return Frame(
            planes=(pixels,),
            format=PixelFormat.BGR24,
            width=width,
            height=height,
            captured_ns=captured_ns,
            seq=seq,
            origin=origin,
            reduction=reduction,
        )

    def close(self) -> None:
        """Release the camera."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _picture(self, data: Pixels, seq: int) -> tuple[Pixels, tuple[int, int], int]:
        """Return the pixels, the size that the camera took, and by how much they are fewer."""
        if data.ndim == 3 and data.shape[2] == 3:
            return data, (data.shape[1], data.shape[0]), 1
        if data.size >= 2 and data.ravel()[0] == 0xFF and data.ravel()[1] == 0xD8:
            content, name = data.tobytes(), f"frame {seq} of {self._device}"
            size = jpeg.size_of(content, name)
            reduction = self._request.reduction(*size)
            return jpeg.decode(content, name, reduction), size, reduction
        raise FrameError(
            f"frame {seq} of {self._device}: unexpected shape {data.shape}",
            hint="OpenCV cannot convert this format; `v4l2-ctl --list-formats` shows the others",
        )

    def _set_controls(self, capture: Any) -> None:
        controls = self._camera.controls
        if controls.exposure_microseconds is not None:
            units = controls.exposure_microseconds / _EXPOSURE_UNIT_MICROSECONDS
            capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL_EXPOSURE)
            capture.set(cv2.CAP_PROP_EXPOSURE, units)
        if controls.gain is not None:
            capture.set(cv2.CAP_PROP_GAIN, controls.gain)
        if controls.focus is not None:
            capture.set(cv2.CAP_PROP_AUTOFOCUS, 0)
            capture.set(cv2.CAP_PROP_FOCUS, controls.focus)


def _mode(capture: Any) -> Mode:
    """Return what the camera settled on."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    return Mode(
        format=(code & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1").strip(),
        width=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        height=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        fps=float(capture.get(cv2.CAP_PROP_FPS)),
    )


def check_device(device: Path) -> None:
    """Raise SourceUnavailableError, with what to do, unless ``device`` can be opened by us."""
    try:
        status = device.stat()
    except OSError as error:
        raise SourceUnavailableError(
            f"camera {device}: is not there",
            hint="plug it in; `v4l2-ctl --list-devices` lists what is there",
        ) from error
    if not os.access(device, os.R_OK | os.W_OK):
        raise SourceUnavailableError(
            f"camera {device}: not permitted (owner {status.st_uid}, group {status.st_gid}, "
            f"mode {status.st_mode & 0o777:o})",
            hint="add the user to the group video: usermod -aG video USER",
        )


def create(request: SourceRequest) -> V4l2Source:
    return V4l2Source(request)
