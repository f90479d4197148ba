"""A machine-readable timecode in the picture, so that latency can be checked from outside.

A block of black and white cells at the bottom left carries the capture time and the frame's
number, with a checksum. It is large enough to survive the resize to a 300x300 model input.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from appliance.values import Pixels

COLUMNS = 16
ROWS = 5
CELL_SHARE = 1 / 40
"""Side of a cell as a share of the picture's width (and height): 7.5 pixels of 300."""
_TIME_BITS = 44  # microseconds: wraps after 203 days
_SEQ_BITS = 20
_CRC_BITS = 16
_CONTRAST = 60


@dataclass(frozen=True, slots=True)
class Timecode:
    """What a picture says of itself: capture time (CLOCK_MONOTONIC, to 1 µs) and number."""

    captured_us: int
    seq: int


def draw(picture: Pixels, captured_ns: int, seq: int) -> None:
    """Draw the timecode into ``picture``, uint8 (height, width, 3), bottom left."""
    height, width = picture.shape[:2]
    x1, y0 = round(width * CELL_SHARE * COLUMNS), height - round(height * CELL_SHARE * ROWS)
    cells = _encode(captured_ns // 1000, seq)
    block = cv2.resize(cells, (x1, height - y0), interpolation=cv2.INTER_NEAREST)
    picture[y0:, :x1] = block[..., None]


def read(picture: Pixels) -> Timecode | None:
    """Return the timecode in ``picture`` (height, width, 3), or None where none is readable."""
    height, width = picture.shape[:2]
    columns = ((np.arange(COLUMNS) + 0.5) * width * CELL_SHARE).astype(int)
    rows = (height - (ROWS - np.arange(ROWS) - 0.5) * height * CELL_SHARE).astype(int)
    grey = picture[rows][:, columns].mean(axis=2)
    if grey.max() - grey.min() < _CONTRAST:
        return None
    bits = (grey > (grey.max() + grey.min()) / 2).astype(np.uint8).ravel()
    value = int.from_bytes(np.packbits(bits).tobytes(), "big")
    crc = value & ((1 << _CRC_BITS) - 1)
    seq = (value >> _CRC_BITS) & ((1 << _SEQ_BITS) - 1)
    captured_us = value >> (_CRC_BITS + _SEQ_BITS)
    return Timecode(captured_us, seq) if crc == _checksum(captured_us, seq) else None


def _encode(captured_us: int, seq: int) -> Pixels:
    captured_us %= 1 << _TIME_BITS
    seq %= 1 << _SEQ_BITS
    value = (captured_us << _SEQ_BITS | seq) << _CRC_BITS | _checksum(captured_us, seq)
    content = np.frombuffer(value.to_bytes(COLUMNS * ROWS // 8, "big"), np.uint8)
    return (np.unpackbits(content) * np.uint8(255)).reshape(ROWS, COLUMNS)


def _checksum(captured_us: int, seq: int) -> int:
    return binascii.crc_hqx(f"{captured_us}/{seq}".encode(), 0)
