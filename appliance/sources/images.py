"""One picture or a folder of pictures (JPEG, PNG, and what else OpenCV reads), in name order."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cv2
import msgspec
import numpy as np

from appliance.errors import FrameError, MediaError
from appliance.sources.pictures import jpeg
from appliance.values import Frame, PixelFormat, Pixels

if TYPE_CHECKING:
    from appliance.clock import Clock
    from appliance.sources import SourceRequest

log = logging.getLogger(__name__)

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".avif", ".jp2"}
)

_NAMED = 5
"""Of the pictures that were skipped."""


SCHEMES = ("image",)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a source of pictures."""

    loop: Annotated[bool, msgspec.Meta(description="Start again at the end.")] = False


class ImagesSource:
    """A damaged picture costs one frame, not the run."""

    live = False

    def __init__(self, request: SourceRequest) -> None:
        self._target = Path(request.target)
        self._loop: bool = request.options.loop
        self._clock = request.clock
        self._files: list[Path] = []
        self._next = 0
        self._seq = 0
        self._skipped: list[str] = []
        self._told: list[str] = []

    def open(self) -> None:
        """List the files.

        Raises:
            MediaError: no such path, or a folder without pictures.
        """
        self._files = list_images(self._target)
        self._next = 0
        self._skipped = []

    def read(self) -> Frame | None:
        """Return the next picture, or None after the last."""
        if self._next >= len(self._files):
            self._tell_skipped()
            if not self._loop or not self._files:
                return None
            self._next = 0
        path = self._files[self._next]
        self._next += 1
        self._seq += 1
        try:
            return read_image(path, self._clock, self._seq - 1)
        except FrameError:
            self._skipped.append(path.name)
            raise

    def _tell_skipped(self) -> None:
        """Say, after each round, which pictures could not be read, if they are others now."""
        skipped, self._skipped = self._skipped, []
        if not skipped or skipped == self._told:
            return
        self._told = skipped
        names = ", ".join(skipped[:_NAMED]) + (", ..." if len(skipped) > _NAMED else "")
        log.warning(
            "images %s: %d of %d pictures cannot be read and were skipped: %s",
            self._target,
            len(skipped),
            len(self._files),
            names,
        )

    def close(self) -> None:
        """Forget the list."""
        self._files = []


def list_images(target: Path) -> list[Path]:
    """Return the picture ``target``, or the pictures in the folder ``target``, by name.

    Raises:
        MediaError: there is nothing.
    """
    if target.is_dir():
        found = sorted(path for path in target.iterdir() if path.suffix.lower() in SUFFIXES)
        if not found:
            raise MediaError(
                f"{target}: holds no pictures", hint=f"looked for {', '.join(sorted(SUFFIXES))}"
            )
        return found
    if not target.is_file():
        raise MediaError(f"{target}: no such picture or folder")
    return [target]


def read_image(path: Path, clock: Clock, seq: int) -> Frame:
    """Read and decode one picture, stamped when reading began.

    Raises:
        FrameError: unreadable, truncated or not a picture.
    """
    captured_ns = clock.monotonic_ns()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FrameError(f"{path}: cannot be read: {error.strerror}") from error
    pixels = _decode(content, str(path))
    height, width = pixels.shape[:2]
    return Frame(
        planes=(pixels,),
        format=PixelFormat.BGR24,
        width=width,
        height=height,
        captured_ns=captured_ns,
        seq=seq,
        name=str(path),
    )


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Return a picture as EXIF says that it has to be seen; OpenCV does it for other formats."""
    if orientation > 4:
        pixels = pixels.transpose(1, 0, 2)
    down = -1 if orientation in {3, 4, 7, 8} else 1
    across = -1 if orientation in {2, 3, 6, 7} else 1
    return np.ascontiguousarray(pixels[::down, ::across])


def _decode(content: bytes, name: str) -> Pixels:
    if content[:2] == b"\xff\xd8":
        return upright(jpeg.decode(content, name), jpeg.orientation(content))
    if not content:
        raise FrameError(f"{name}: is empty")
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise FrameError(f"{name}: damaged picture: {error}") from error
    if pixels is None:
        raise FrameError(f"{name}: is not a picture that can be read, or is damaged")
    return np.asarray(pixels, np.uint8)


def create(request: SourceRequest) -> ImagesSource:
    return ImagesSource(request)


__all__ = ["ImagesSource", "MediaError", "Options", "create", "list_images", "read_image"]
