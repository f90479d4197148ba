"""Making and closing picamera2's cameras so that nothing is left behind.

Read in picamera2 0.3.36 and 0.3.38: a constructor that fails keeps a pipe open, and in 0.3.36 its
entry in the table of cameras; a job that timed out stays in the queue of jobs, and ``stop`` waits
behind it for ever.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Any

log = logging.getLogger(__name__)


def make_camera(library: Any, number: int) -> Any:
    """Return ``Picamera2(number)``; a failure is passed on, and leaves nothing behind."""
    camera = library.Picamera2.__new__(library.Picamera2)
    try:
        camera.__init__(number)
    except BaseException:
        with contextlib.suppress(Exception):
            camera.close()
        _free(camera)
        raise
    return camera


def shut(camera: Any, name: str) -> None:
    """Stop and close a camera, also one that hangs; what it complains of is logged.

    Args:
        camera: of ``make_camera``.
        name: for the log.
    """
    # First of all the jobs that wait for a frame: stop() would queue behind them. Not in
    # picamera2 before 0.3.20.
    for step in ("cancel_all_and_flush", "stop", "close"):
        act = getattr(camera, step, None)
        if act is None:
            continue
        try:
            act()
        except Exception as error:  # noqa: BLE001 - the next steps matter more
            log.warning("camera %s: %s failed: %r", name, step, error)
    _free(camera)


def _free(camera: Any) -> None:
    """Give back what ``close`` leaves where it ends early: its table entry and its pipe."""
    manager = getattr(camera, "_cm", None)
    known = getattr(manager, "cameras", {})
    for number in [number for number, one in list(known.items()) if one is camera]:
        # Also ends the thread that reads libcamera's queue, if this was the only camera.
        with contextlib.suppress(Exception):
            manager.cleanup(number)  # type: ignore[union-attr]
    reading = getattr(camera, "notifymeread", None)
    if reading is not None and not reading.closed:
        reading.close()
        with contextlib.suppress(OSError):
            os.close(camera.notifyme_w)
