"""Whichever camera is there: picamera2, libcamera, then USB and other V4L2 cameras.

Looked for anew at each opening, so a camera plugged in later is found, and another one takes the
place of one that broke.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from appliance.errors import SourceLostError, SourceUnavailableError
from appliance.sources import Source, SourceRequest, create_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.values import Frame

log = logging.getLogger(__name__)

NO_CAMERAS = frozenset(
    {
        "bcm2835-codec",
        "bcm2835-isp",
        "bcm2835_codec",
        "bcm2835_isp",
        "pispbe",
        "rp1-cfe",
        "rpi-hevc-dec",
        "rpivid",
        "unicam",
    }
)
"""Drivers of a Raspberry Pi whose V4L2 nodes are codecs, image processors or raw sensor lanes
(Linux 6.12, drivers/media/platform and drivers/staging); libcamera drives those."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No options: they belong to a kind of camera, so name the kind to give any."""


class AutoSource:
    """Whichever camera is there: picamera2, libcamera, then USB and other V4L2 cameras.

    Args:
        candidates: makes the sources to try, with their names, best first.
    """

    live = True

    def __init__(self, candidates: Callable[[], Iterator[tuple[str, Source]]]) -> None:
        self._candidates = candidates
        self._source: Source | None = None

    def open(self) -> None:
        """Open the first camera that opens.

        Raises:
            SourceUnavailableError: none does; says why of each.
        """
        reasons = []
        for name, source in self._candidates():
            try:
                source.open()
            except SourceUnavailableError as error:
                source.close()
                reasons.append(error.message)
            except Exception as error:  # noqa: BLE001 - a vendor's broken library is no camera
                source.close()
                reasons.append(f"camera {name}: {error!r}")
            else:
                log.info("camera found: %s", name)
                self._source = source
                return
        raise SourceUnavailableError(
            f"no camera found: {'; '.join(reasons)}",
            hint="plug one in; camera.source names one that is not found by itself",
        )

    def read(self) -> Frame | None:
        """Return the next frame of the camera that was found."""
        if self._source is None:
            raise SourceLostError("camera auto: is closed")
        return self._source.read()

    def close(self) -> None:
        """Release the camera."""
        source, self._source = self._source, None
        if source is not None:
            source.close()


def v4l2_devices(root: Path) -> list[str]:
    """Return the V4L2 nodes that can be cameras, by number.

    Args:
        root: normally ``/``; its sys/class/video4linux is read.
    """
    found = []
    for node in (root / "sys/class/video4linux").glob("video*"):
        number = node.name.removeprefix("video")
        try:
            index = (node / "index").read_text().strip()
        except OSError:
            continue
        driver = node / "device/driver"
        name = driver.resolve().name if driver.exists() else ""
        # Further nodes of one device carry metadata, not pictures.
        if number.isdigit() and index == "0" and name not in NO_CAMERAS:
            found.append(int(number))
    return [f"/dev/video{number}" for number in sorted(found)]


def create(request: SourceRequest) -> AutoSource:
    """Return a source that looks for a camera."""

    def candidates() -> Iterator[tuple[str, Source]]:
        devices = v4l2_devices(Path("/")) or ["/dev/video0"]
        for name in ("picamera2", "libcamera", *(f"v4l2:{device}" for device in devices)):
            camera = msgspec.structs.replace(request.camera, source=name)
            size = (request.input_width, request.input_height)
            yield name, create_source(camera, input_size=size, clock=request.clock)

    return AutoSource(candidates)
