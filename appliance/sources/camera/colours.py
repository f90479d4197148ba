"""The colour space of a camera's YUV pictures, in libcamera's words and in ours."""

from __future__ import annotations

import logging
from typing import Any

from appliance.values import BT601_LIMITED, Colours, Matrix

log = logging.getLogger(__name__)

_MATRICES = {"Rec601": Matrix.BT601, "Rec709": Matrix.BT709, "Rec2020": Matrix.BT2020}
_FULL_RANGE = {"Limited": False, "Full": True}


def wanted(library: Any) -> Any:
    """Return libcamera's name for what is converted fastest: BT.601, limited range."""
    return library.ColorSpace.Smpte170m()


def read_as(camera: str, got: Any) -> Colours:
    """Return what a camera's answer means; it may give another colour space than was asked for.

    Where it is none that we know, that is said once, and the pictures are read as BT.601: a few
    levels off, with most boxes where they were.
    """
    encoding = getattr(getattr(got, "ycbcrEncoding", None), "name", "unknown")
    extent = getattr(getattr(got, "range", None), "name", "unknown")
    if encoding in _MATRICES and extent in _FULL_RANGE:
        return Colours(_MATRICES[encoding], full_range=_FULL_RANGE[extent])
    log.warning(
        "%s: colours come as %s, range %s, which is not known here; they are read as Rec601, "
        "range Limited: they may be somewhat off",
        camera,
        encoding,
        extent,
    )
    return BT601_LIMITED
