"""Cameras through libcamera's own Python binding, for systems without picamera2.

One viewfinder stream in a format whose rows we can read; buffers are mapped once and re-queued
when the pipeline releases the frame. Needs the system's ``python3-libcamera``.

Read in libcamera's Python binding (src/py, 0.4 and Raspberry Pi's 0.7); what is real in its tests:
docs/sources.md.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from appliance.errors import ApplianceError, FrameError, SourceLostError, SourceUnavailableError
from appliance.sources.camera import colours
from appliance.sources.camera.manager import QUEUE_READERS
from appliance.sources.camera.session import FORMATS, CameraSession
from appliance.sources.camera.stamps import StampVerifier
from appliance.values import BT601_LIMITED, ClockOrigin, Frame

if TYPE_CHECKING:
    from appliance.sources import SourceRequest

log = logging.getLogger(__name__)

_MICROSECONDS = 1_000_000
_MANUAL = 1
"""Of ExposureTimeMode and AnalogueGainMode, which libcamera 0.5 brought."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a libcamera camera."""

    frame_timeout_seconds: Annotated[
        float, msgspec.Meta(gt=0, le=10, description="No frame for this long means lost.")
    ] = 2.0


class LibcameraSource:
    """Cameras through libcamera's own Python binding, for systems without picamera2."""

    live = True

    def __init__(self, request: SourceRequest) -> None:
        self._request = request
        self._options: Options = request.options
        self._clock = request.clock
        self._stamps = StampVerifier(request.clock, ClockOrigin.SENSOR)
        self._session: CameraSession | None = None
        self._colours = BT601_LIMITED
        self._seq = 0

    def open(self) -> None:
        """Acquire, configure and start the camera.

        Raises:
            SourceUnavailableError: no binding, no such camera, or it refuses to start.
        """
        try:
            library = import_module("libcamera")
        except Exception as error:  # of a binding for another system: also SystemError
            raise SourceUnavailableError(
                f"camera libcamera: the binding is not usable: {error}",
                hint="apt install python3-libcamera, in an environment with system packages",
            ) from error
        QUEUE_READERS.enter(self, "libcamera")
        name = f"libcamera:{self._request.target or '0'}"
        try:
            manager = library.CameraManager.singleton()
            camera = self._find(manager.cameras)
            name = camera.id
            self._session = CameraSession(library, manager, camera)
            self._session.acquire()
            configuration, config = self._configuration(library, camera)
            self._session.start(configuration, config, self._controls(library, camera))
        except BaseException as error:
            self.close()
            # Anything else that the binding raises here: it has no errors of its own.
            if isinstance(error, ApplianceError) or not isinstance(error, Exception):
                raise
            raise SourceUnavailableError(
                f"camera {name}: cannot be started: {str(error) or repr(error)}",
                hint="another program uses it?",
            ) from error

    def read(self) -> Frame | None:
        """Return the oldest completed frame, waiting for one up to the time-out."""
        session = self._session
        if session is None:
            raise SourceLostError("camera libcamera: is closed")
        read_ns = self._clock.monotonic_ns()
        try:
            request = session.next(self._options.frame_timeout_seconds, self._clock)
        except (RuntimeError, OSError) as error:
            raise SourceLostError(f"camera libcamera: cannot be read: {error}") from error
        if request is None:
            raise SourceLostError(
                "camera libcamera: stopped delivering", hint="loose cable, or the sensor hangs"
            )
        seq, self._seq = self._seq, self._seq + 1
        if str(request.status).rpartition(".")[2] != "Complete":
            status = request.status  # before it is reset
            session.reuse(request)
            raise FrameError(f"frame {seq} of libcamera: {status}")
        try:
            planes, stamp = session.picture(request)
            captured_ns, origin = self._stamps.stamp(stamp, read_ns)
            return Frame(
                planes=planes,
                format=session.format,
                width=session.width,
                height=session.height,
                captured_ns=captured_ns,
                seq=seq,
                origin=origin,
                release=lambda: session.reuse(request),
                colours=self._colours,
            )
        except BaseException:
            session.reuse(request)
            raise

    def close(self) -> None:
        """Stop and release the camera and its buffers."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
        QUEUE_READERS.leave(self)

    def _find(self, cameras: list[Any]) -> Any:
        target = self._request.target or "0"
        if target.isdigit() and int(target) < len(cameras):
            return cameras[int(target)]
        named = [camera for camera in cameras if camera.id == target]
        if named:
            return named[0]
        found = ", ".join(camera.id for camera in cameras) or "none"
        raise SourceUnavailableError(
            f"camera libcamera:{target}: is not there; found: {found}",
            hint="check the cable; `cam --list` lists cameras",
        )

    def _configuration(self, library: Any, camera: Any) -> tuple[Any, Any]:
        """Return a configuration the camera accepts, and its one stream's."""
        settings = self._request.camera
        configuration = camera.generate_configuration([library.StreamRole.Viewfinder])
        if configuration is None:
            raise SourceUnavailableError(f"camera {camera.id}: has no stream of pictures")
        config = configuration.at(0)
        config.size = library.Size(settings.width, settings.height)
        config.pixel_format = library.PixelFormat("RGB888")
        _validate(library, configuration, camera)
        if str(config.pixel_format) not in FORMATS:
            raise SourceUnavailableError(
                f"camera {camera.id}: offers only {config.pixel_format}, expected one of "
                f"{', '.join(FORMATS)}",
                hint='for a USB camera set source = "v4l2:/dev/video0" (its own device)',
            )
        if str(config.pixel_format) == "NV12":
            config.color_space = colours.wanted(library)
            _validate(library, configuration, camera)
            self._colours = colours.read_as(f"camera {camera.id}", config.color_space)
        return configuration, config

    def _controls(self, library: Any, camera: Any) -> dict[Any, Any]:
        """Return what to start the camera with.

        Raises:
            SourceUnavailableError: something is set that the camera cannot do.
        """
        settings, given = self._request.camera, self._request.camera.controls
        offered = {control.name for control in camera.controls}
        wanted: dict[str, Any] = {}
        if given.exposure_microseconds is not None:
            wanted["ExposureTime"] = given.exposure_microseconds
        if given.gain is not None:
            wanted["AnalogueGain"] = given.gain
        if given.focus is not None:
            wanted |= {"AfMode": 0, "LensPosition": given.focus}
        missing = [name for name in wanted if name not in offered]
        if missing:
            raise SourceUnavailableError(
                f"camera {camera.id}: cannot set {', '.join(missing)}",
                hint="take exposure_microseconds, gain or focus out of the camera's controls",
            )
        frame_microseconds = round(_MICROSECONDS / settings.fps)
        if "FrameDurationLimits" in offered:
            wanted["FrameDurationLimits"] = (frame_microseconds, frame_microseconds)
        else:  # fps has a default, so it may not even have been asked for
            log.warning("camera %s: chooses its frame rate itself, fps is not heeded", camera.id)
        for name, mode in (
            ("ExposureTime", "ExposureTimeMode"),
            ("AnalogueGain", "AnalogueGainMode"),
        ):
            if name in wanted and mode in offered:
                wanted[mode] = _MANUAL
        return {getattr(library.controls, name): value for name, value in wanted.items()}


def _validate(library: Any, configuration: Any, camera: Any) -> None:
    if configuration.validate() == library.CameraConfiguration.Status.Invalid:
        raise SourceUnavailableError(f"camera {camera.id}: has no such picture, nor a near one")


def create(request: SourceRequest) -> LibcameraSource:
    return LibcameraSource(request)
