"""Where each object is and how fast it goes: one constant-velocity Kalman filter a track.

Both axes share one covariance of three numbers, in units of the object's height, so that one set
of constants serves near and far objects (a box's error and a body's acceleration both scale with
its size on the picture). All tracks are rows of one array; time is in seconds, for the rate of
looks changes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]

MEASURED = 0.0025
"""Variance of a measured centre, squared heights: 5 % of the height, as SSD boxes wobble."""
ACCELERATION = 0.35
"""Spectral density of the acceleration, squared heights per cubed second."""
FIRST_SPEED = 1.0
"""Variance of the speed of an object seen once: about a height a second, as people walk."""
SIZE_GAIN = 0.3
"""Share of a new size that is taken: sizes wobble, and change slowly."""
COLUMNS = 9
X, Y, W, H, VX, VY, P00, P01, P11 = range(COLUMNS)
BOX, SPEED = slice(X, H + 1), slice(VX, VY + 1)


def born(boxes: Rows) -> Rows:
    """Return rows for objects seen once; boxes are (n, 4) of centre x, y, width, height."""
    rows = np.zeros((len(boxes), COLUMNS))
    rows[:, BOX] = boxes
    rows[:, P00] = MEASURED
    rows[:, P11] = FIRST_SPEED
    return rows


def predict(rows: Rows, seconds: float) -> None:
    """Move every row on by ``seconds``, in place."""
    rows[:, : Y + 1] += rows[:, SPEED] * seconds
    speed = rows[:, P11]
    rows[:, P00] += seconds * (2 * rows[:, P01] + seconds * speed) + ACCELERATION * seconds**3 / 3
    rows[:, P01] += seconds * speed + ACCELERATION * seconds**2 / 2
    rows[:, P11] += ACCELERATION * seconds


def correct(rows: Rows, boxes: Rows) -> Rows:
    """Return the rows after each was measured at the box beside it; ``rows`` is used up."""
    variance, covariance = rows[:, P00], rows[:, P01]
    total = variance + MEASURED
    gain, speed_gain = variance / total, covariance / total
    off = boxes - rows[:, BOX]
    rows[:, SPEED] += speed_gain[:, None] * off[:, :2]
    off[:, :2] *= gain[:, None]
    off[:, 2:] *= SIZE_GAIN
    rows[:, BOX] += off
    rows[:, P11] -= speed_gain * covariance
    rows[:, P00 : P01 + 1] *= (1 - gain)[:, None]
    return rows
