"""Keeps what is not ours to do out of the hot path: collection of garbage, OpenCV's threads.

Both are settings of the process, so only those who own it (daemon, bench) call this.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc

import cv2


def keep_quiet() -> None:
    """Let workers run undisturbed; to be called when all is wired, and after each rewiring.

    Python's collector stops looking by itself, in the middle of a frame; ``sweep`` is called by
    housekeeping instead. What lives by now is set aside, so that a sweep looks at little.
    OpenCV resizes on the worker's own thread: its pool would compete with the other workers.
    """
    cv2.setNumThreads(1)
    gc.unfreeze()  # of an earlier wiring
    gc.collect()
    gc.freeze()
    gc.disable()


def sweep() -> None:
    """Collect what became garbage since; under a millisecond, for there is little."""
    gc.collect()


def give_back_memory() -> None:
    """Return to the system what the C library keeps of what was freed; after something large.

    malloc_trim(3) is glibc's; elsewhere nothing is done.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
