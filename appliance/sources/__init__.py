"""Sources of frames: one protocol, one file a kind.

A source is written ``kind`` or ``kind:target``; addresses (``rtsp://...``) name their kind by
their scheme. Constructors touch no device; ``open`` does, and vendor modules are imported there.

A kind is found because its module lies here (``appliance.extensions.kinds``). The module has

* ``Options``: a struct, whose defaults and sentences document ``[camera.options]``;
* ``create(request)``: returns the source, unopened;
* ``SCHEMES``, if other words than its name mean it in ``scheme:...``; ``TAKES_ADDRESSES = True``,
  if what it wants of ``scheme://...`` is all of it;
* ``DETECTS = True``, if its frames carry detections already and need no detector of ours.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from appliance.config.addresses import fault_of, without_secrets
from appliance.config.options import convert, module_of
from appliance.errors import ConfigError
from appliance.extensions import kinds
from appliance.vision.preprocess import View, reduction_for

if TYPE_CHECKING:
    from appliance.clock import Clock
    from appliance.config import CameraSettings
    from appliance.values import Frame


class Source(Protocol):
    """Delivers frames from one camera, file or stream. Used by one thread at a time.

    Attributes:
        live: True drops old frames when the pipeline is slower; False waits for it.
    """

    live: bool

    def open(self) -> None:
        """Open the device.

        Raises:
            SourceUnavailableError: not there, not permitted, or busy (retryable).
            MediaError: a file that cannot be used.
        """

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end; blocks at most a few seconds.

        Raises:
            FrameError: this frame is unusable; the next may be fine.
            SourceLostError: the camera is gone; close and open again.
        """

    def close(self) -> None:
        """Release the device; safe to call twice, or before ``open``."""


@runtime_checkable
class SlowToOpen(Protocol):
    """A source whose ``open`` may take long (it loads a network into the sensor).

    Attributes:
        open_seconds: the longest it may take.
    """

    open_seconds: float


@runtime_checkable
class RepeatsPictures(Protocol):
    """A source whose pictures may be alike, to the bit, and yet be new: an encoder repeats them.

    Attributes:
        repeats_seconds: the longest that is sound: two key-frame intervals.
    """

    repeats_seconds: float


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """What a source is made from.

    Attributes:
        target: what follows the kind: a device, path or address; may be empty.
        camera: the camera's settings.
        options: the kind's own options, an instance of its ``Options`` struct.
        input_width, input_height: the model's input in pixels, for whatever can scale.
        clock: the appliance's clock.
    """

    target: str
    camera: CameraSettings
    options: Any
    input_width: int
    input_height: int
    clock: Clock

    def reduction(self, width: int, height: int) -> int:
        """Return by how much a frame of that size may be decoded smaller: the model sees no less.

        Nor does anybody else: where pictures leave the unit, they stay as large as is wished.
        """
        view, pictures = view_of(self.camera), self.camera.pictures
        by = reduction_for(view, width, height, self.input_width, self.input_height)
        while pictures.enabled and by > 1 and max(width, height) < by * pictures.longest_side:
            by //= 2
        return by


def view_of(camera: CameraSettings) -> View:
    """Return how a camera looks at the world."""
    return View(
        rotation=camera.rotation,
        flip_horizontal=camera.flip_horizontal,
        flip_vertical=camera.flip_vertical,
        crop=camera.crop,
        fit=camera.fit,
    )


ROOM = "appliance.sources"


def create_source(camera: CameraSettings, *, input_size: tuple[int, int], clock: Clock) -> Source:
    """Return the (unopened) source of ``camera``.

    Args:
        camera: its settings.
        input_size: width, height of the model's input.
        clock: stamps the frames.

    Raises:
        ConfigError: unknown kind or wrong options, all faults listed.
    """
    kind, target = parse_source(camera)
    options = _options(camera, kind)
    _refuse_view(camera, kind)
    request = SourceRequest(target, camera, options, *input_size, clock)
    source: Source = _module(kind).create(request)
    return source


def check_source(camera: CameraSettings) -> None:
    """Raise ConfigError unless the camera's source and options make sense."""
    kind, _ = parse_source(camera)
    _options(camera, kind)
    _refuse_view(camera, kind)


def parse_source(camera: CameraSettings) -> tuple[str, str]:
    """Return kind and target of the camera's source.

    Raises:
        ConfigError: no such kind, or an address that is unclear.
    """
    given, separator, rest = camera.source.partition(":")
    scheme = given.lower()
    text = scheme + separator + rest
    shown = without_secrets(text)
    fault = fault_of(text)
    if fault:
        raise ConfigError(
            "the configuration cannot be used:",
            faults=(f"camera[{camera.name}].source: {shown}: {fault}",),
        )
    places = kinds(ROOM)
    if scheme in places:
        return scheme, rest
    for kind in places if separator else ():
        with contextlib.suppress(ConfigError):  # another package's, broken: it has no say here
            module = _module(kind)
            if scheme in getattr(module, "SCHEMES", ()):
                is_address = getattr(module, "TAKES_ADDRESSES", False) and rest.startswith("//")
                return kind, text if is_address else rest
    raise ConfigError(
        "the configuration cannot be used:",
        faults=(
            (
                f"camera[{camera.name}].source: got {shown!r}, expected one of "
                f"{', '.join(places)} or an rtsp:// or http:// address; "
                "a file is written video:/path/to/file"
            ),
        ),
    )


def detects(kind: str) -> bool:
    """Say whether there is a kind of this name whose frames carry detections already."""
    return kind in kinds(ROOM) and bool(getattr(_module(kind), "DETECTS", False))


def _module(kind: str) -> Any:
    return module_of(kind, kinds(ROOM), "source")


def _refuse_view(camera: CameraSettings, kind: str) -> None:
    """A camera that detects by itself has looked before we could turn or cut its picture."""
    plain = (0, False, False, (0.0, 0.0, 1.0, 1.0))
    given = (camera.rotation, camera.flip_horizontal, camera.flip_vertical, camera.crop)
    if camera.mask and detects(kind):
        raise ConfigError(
            "the configuration cannot be used:",
            faults=(
                (
                    f"camera[{camera.name}].mask: does not work with {kind}, whose chip has seen "
                    "the pixels before we could blank them; use a camera that does not detect"
                ),
            ),
        )
    if given != plain and detects(kind):
        raise ConfigError(
            "the configuration cannot be used:",
            faults=(
                (
                    f"camera[{camera.name}]: rotation, flip and crop do not work with {kind}, "
                    "which detects in its own picture; turn the camera"
                ),
            ),
        )


def _options(camera: CameraSettings, kind: str) -> Any:
    return convert(camera.options, _module(kind).Options, f"camera[{camera.name}].options")
