"""The colour space that our conversion of YUV pictures reads: BT.601, limited range."""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger(__name__)


def wanted(library: Any) -> Any:
    """Return libcamera's name for what the conversion reads (preprocess: OpenCV's YUV2RGB)."""
    return library.ColorSpace.Smpte170m()


def tell_others(camera: str, got: Any) -> None:
    """Say it where a camera gives YUV of another colour space than the one asked for.

    Its pictures are still read as BT.601: a few levels off, with most boxes where they were.
    """
    encoding = getattr(getattr(got, "ycbcrEncoding", None), "name", "unknown")
    extent = getattr(getattr(got, "range", None), "name", "unknown")
    if (encoding, extent) != ("Rec601", "Limited"):
        log.warning(
            "%s: colours come as %s, range %s, and are read as Rec601, range Limited: "
            "they are somewhat off",
            camera,
            encoding,
            extent,
        )
