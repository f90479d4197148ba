"""Raspberry Pi cameras through picamera2: the ISP scales to the model's size for nothing.

The low-resolution stream comes at the model's input size (YUV420, which every Pi can make) and is
what the model sees; the main stream stays at the configured size for snapshots. Needs the
system's ``python3-picamera2``; imported when opened.

Written to the API of picamera2 0.3.38; what is real in its tests: docs/sources.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from appliance.errors import ApplianceError, SourceLostError, SourceUnavailableError
from appliance.sources.camera import colours, rows
from appliance.sources.camera.manager import QUEUE_READERS
from appliance.sources.camera.picamera2 import make_camera, shut
from appliance.sources.camera.stamps import StampVerifier
from appliance.values import BT601_LIMITED, ClockOrigin, Frame, PixelFormat, Pixels

if TYPE_CHECKING:
    from appliance.sources import SourceRequest

_BUFFERS = 4
_FORMATS = {
    "RGB888": PixelFormat.BGR24,
    "XRGB8888": PixelFormat.BGR24,
    "BGR888": PixelFormat.RGB24,
    "XBGR8888": PixelFormat.RGB24,
    "YUV420": PixelFormat.I420,
    "NV12": PixelFormat.NV12,
}
"""libcamera names little-endian words: RGB888 lies in memory as B, G, R. A camera may not have what
was asked for; picamera2 takes then what is nearest."""
_PLANAR = frozenset({PixelFormat.I420, PixelFormat.NV12})
_ALIGNMENT = 2
_USB_HINT = 'for a USB camera set source = "v4l2:/dev/video0" (its own device)'


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a Raspberry Pi camera."""

    lores: Annotated[
        bool, msgspec.Meta(description="Let the ISP scale to the model's size; else the CPU does.")
    ] = True
    frame_timeout_seconds: Annotated[
        float, msgspec.Meta(gt=0, le=10, description="No frame for this long means lost.")
    ] = 2.0


class Picamera2Source:
    """Raspberry Pi cameras through picamera2: the ISP scales to the model's size for nothing."""

    live = True

    def __init__(self, request: SourceRequest) -> None:
        self._request = request
        self._options: Options = request.options
        self._clock = request.clock
        self._stamps = StampVerifier(request.clock, ClockOrigin.SENSOR)
        self._camera: Any = None
        self._stream = "main"
        self._size = (0, 0)
        self._stride = 0
        self._bytes_a_pixel = 3
        self._format = PixelFormat.BGR24
        self._colours = BT601_LIMITED
        self._seq = 0

    def open(self) -> None:
        """Configure and start the camera.

        Raises:
            SourceUnavailableError: no picamera2, no camera, or used by another program.
        """
        number = self._number()
        library = self._import()
        QUEUE_READERS.enter(self, "picamera2")
        try:
            self._find(library, number)
            self._camera = make_camera(library, number)
            self._configure(self._camera)
            self._camera.start()
        except BaseException as error:
            self.close()
            # Anything else that the library raises here: it has no errors of its own.
            if isinstance(error, ApplianceError) or not isinstance(error, Exception):
                raise
            raise SourceUnavailableError(
                f"camera picamera2:{number}: cannot be started: {_said(error)}",
                hint=f"another program may use it; {_USB_HINT}",
            ) from error

    def read(self) -> Frame | None:
        """Return the next frame; its buffer goes back to the camera when it is released.

        Raises:
            SourceLostError: no frame within the time-out.
        """
        if self._camera is None:
            raise SourceLostError("camera picamera2: is closed")
        read_ns = self._clock.monotonic_ns()
        try:
            request = self._camera.capture_request(wait=self._options.frame_timeout_seconds)
        except Exception as error:
            raise SourceLostError(
                "camera picamera2: stopped delivering", hint="loose cable, or the sensor hangs"
            ) from error
        seq, self._seq = self._seq, self._seq + 1
        try:
            stamp = request.get_metadata().get("SensorTimestamp")
            captured_ns, origin = self._stamps.stamp(stamp, read_ns)
            width, height = self._size
            return Frame(
                planes=self._planes(request),
                format=self._format,
                width=width,
                height=height,
                captured_ns=captured_ns,
                seq=seq,
                origin=origin,
                release=request.release,
                colours=self._colours,
            )
        except BaseException:
            request.release()
            raise

    def close(self) -> None:
        """Stop and release the camera, also one that hangs."""
        camera, self._camera = self._camera, None
        if camera is not None:
            shut(camera, f"picamera2:{self._request.target or '0'}")
        QUEUE_READERS.leave(self)

    def _planes(self, request: Any) -> tuple[Pixels, ...]:
        """Return the stream's picture without the padding of its rows.

        From the whole buffer: picamera2's own arrays leave I420's padding in, and up to 0.3.36 do
        not know NV12.
        """
        width, height = self._size
        memory = np.asarray(request.make_buffer(self._stream), np.uint8).reshape(-1)
        if self._format is PixelFormat.I420:
            return rows.i420(memory, width=width, height=height, stride=self._stride)
        if self._format is PixelFormat.NV12:
            return rows.nv12(memory, width=width, height=height, stride=self._stride)
        picture = rows.interleaved(
            memory,
            width=width,
            height=height,
            stride=self._stride,
            bytes_a_pixel=self._bytes_a_pixel,
        )
        return (picture,)

    def _configure(self, camera: Any) -> None:
        settings = self._request.camera
        controls: dict[str, Any] = {"FrameRate": settings.fps}
        given = settings.controls
        if given.exposure_microseconds is not None:
            controls["ExposureTime"] = given.exposure_microseconds
        if given.gain is not None:
            controls["AnalogueGain"] = given.gain
        if given.focus is not None:
            controls |= {"AfMode": 0, "LensPosition": given.focus}
        main = {"size": (settings.width, settings.height), "format": "RGB888"}
        full_view = settings.crop == (0.0, 0.0, 1.0, 1.0) and settings.fit == "stretch"
        lores = None
        if self._options.lores and full_view:
            lores = {"size": self._lores_size(), "format": "YUV420"}
        configuration = camera.create_video_configuration(
            main=main,
            lores=lores,
            controls=controls,
            buffer_count=_BUFFERS,
            # Not the default: that is Rec. 709 from 1280x720 up, also for the small stream.
            colour_space=colours.wanted(import_module("libcamera")),
        )
        camera.configure(configuration)
        self._stream = "lores" if lores else "main"
        got = camera.camera_configuration()[self._stream]
        if got["format"] not in _FORMATS:
            raise SourceUnavailableError(
                f"camera picamera2: gives {got['format']}, expected one of {', '.join(_FORMATS)}",
                hint=_USB_HINT,
            )
        self._format = _FORMATS[got["format"]]
        self._size = tuple(got["size"])
        self._stride = got["stride"]
        self._bytes_a_pixel = 4 if got["format"].startswith("X") else 3
        if self._format in _PLANAR:
            stream = camera.stream_map[self._stream]
            self._colours = colours.read_as("camera picamera2", stream.configuration.color_space)

    def _lores_size(self) -> tuple[int, int]:
        """Return the model's size, turned if the camera lies on its side, never above main."""
        width, height = self._request.input_width, self._request.input_height
        if self._request.camera.rotation in (90, 270):
            width, height = height, width
        width = min(width, self._request.camera.width)
        height = min(height, self._request.camera.height)
        return width // _ALIGNMENT * _ALIGNMENT, height // _ALIGNMENT * _ALIGNMENT

    @staticmethod
    def _find(library: Any, number: int) -> None:
        cameras = library.Picamera2.global_camera_info()
        if number >= len(cameras):
            raise SourceUnavailableError(
                f"camera picamera2:{number}: is not there; {len(cameras)} found",
                hint="check the ribbon cable; `rpicam-hello --list-cameras` lists cameras",
            )

    def _number(self) -> int:
        target = self._request.target or "0"
        if not target.isdigit():
            raise SourceUnavailableError(
                f"camera picamera2:{target}: expected the camera's number", hint="picamera2:0"
            )
        return int(target)

    @staticmethod
    def _import() -> Any:
        try:
            return import_module("picamera2")
        except Exception as error:  # of a library for another numpy: ValueError
            raise SourceUnavailableError(
                f"camera picamera2: the library is not usable: {error}",
                hint="apt install python3-picamera2, in an environment with system packages",
            ) from error


def _said(error: Exception) -> str:
    """Return the words of an error and of what caused it: the library wraps its own."""
    cause = f": {error.__cause__}" if error.__cause__ else ""
    return f"{error}{cause}" if str(error) else f"{error!r}{cause}"


def create(request: SourceRequest) -> Picamera2Source:
    """Return a Raspberry Pi camera."""
    return Picamera2Source(request)
