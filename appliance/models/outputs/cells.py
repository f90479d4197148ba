"""The cells that a head without anchors sees with: one row for each place of each stride."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.values import Floats

THREE = (8, 16, 32)
"""Strides in pixels of most such heads; those with more see smaller or larger things too."""
FOUR = (8, 16, 32, 64)
FOUR_FINE = (4, 8, 16, 32)
_LARGEST_SHARE = 2.0
"""Above it a centre cannot be a share of the picture: even a box half outside ends at 1.5."""


def count(size: tuple[int, int], strides: tuple[int, ...]) -> int:
    """Return how many cells a picture of ``size``, width and height, has."""
    width, height = size
    return sum(-(-width // stride) * -(-height // stride) for stride in strides)


@lru_cache(maxsize=16)
def cells(size: tuple[int, int], strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return column and row of each cell, (n, 2), and its stride, (n, 1); strides in their order.

    A cell's row of the output follows its place: line by line, as every exporter flattens.
    """
    places, sides = [], []
    for stride in strides:
        rows, columns = np.indices((-(-size[1] // stride), -(-size[0] // stride)), np.float32)
        places.append(np.stack([columns.reshape(-1), rows.reshape(-1)], axis=1))
        sides.append(np.full((rows.size, 1), stride, np.float32))
    return np.concatenate(places), np.concatenate(sides)


def corners(middle: Floats, extent: Floats) -> Floats:
    """Return xyxy of boxes by their middle, (n, 2), and width and height, (n, 2)."""
    half = extent / 2
    return np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)


def in_pixels(centres: NDArray[Any]) -> bool:
    """Say whether centres of all cells are pixels of the input, not shares of it.

    Exporters differ: ultralytics' ONNX has pixels, its TensorFlow Lite shares, and what was
    converted from ONNX pixels again. The cells' centres cover the whole picture, so that most of
    them lie beyond 2 pixels, and none of them beyond 2 pictures.
    """
    return bool(2 * np.count_nonzero(centres > _LARGEST_SHARE) > centres.size)


def shares(boxes: Floats, size: tuple[int, int]) -> Floats:
    """Return boxes (n, 4) of pixels as shares of a picture of ``size``, width and height."""
    width, height = size
    sides: Floats = np.asarray([width, height, width, height], np.float32)
    return boxes / sides
