"""Reading sysfs: a file that is not there is None, one that is there and unreadable raises."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO})
_SENSOR_OFF = frozenset({errno.EAGAIN, errno.EINVAL, errno.ENODATA})
"""What a thermal zone answers whose sensor is switched off now (Jetson's rails)."""


def read_text(path: Path) -> str | None:
    """Return the text without the line end; None where there is no such file.

    Raises:
        OSError: it is there and cannot be read.
    """
    try:
        return path.read_text("ascii", errors="replace").strip()
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def read_number(path: Path) -> int | None:
    """Return the whole number in a file; None where there is no such file, or its sensor is off.

    Raises:
        OSError: it is there and cannot be read.
        ValueError: it holds no number.
    """
    try:
        text = read_text(path)
    except OSError as error:
        if error.errno in _SENSOR_OFF:
            return None
        raise
    if text is None:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"{path.name}: no number: {text[:20]!r}") from error


def explain(path: Path, error: Exception) -> str:
    """Return one line that names the file and what is wrong with it."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"{path.parent.name}/{path.name}: {reason}"
