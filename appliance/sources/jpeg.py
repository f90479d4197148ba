"""Strict JPEG decoding: a truncated picture is an error, never a half-grey frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import simplejpeg

from appliance.errors import FrameError

if TYPE_CHECKING:
    from appliance.values import Pixels


def decode(content: bytes | memoryview, name: str) -> Pixels:
    """Return a JPEG as uint8 BGR (height, width, 3).

    Raises:
        FrameError: not a JPEG, truncated, or damaged where the decoder can tell.
    """
    try:
        picture = simplejpeg.decode_jpeg(content, colorspace="BGR", strict=True)
    except (ValueError, OverflowError, MemoryError) as error:
        raise FrameError(f"{name}: damaged JPEG: {error}") from error
    return np.asarray(picture, np.uint8)
