"""A program that opens and closes a network camera again and again; a test reads its figures.

In a process of its own: what it looks for ends processes. Prints one JSON line a round.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import FrameError, SourceLostError
from tests.helpers import open_descriptors, source

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.sources import Source

OPTIONS = {"read_timeout_seconds": 3.0, "open_timeout_seconds": 10.0}
"""A machine with much else to do may take long to open: that is not what is looked for."""


def resident_bytes() -> int:
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4096


def burn(stop: threading.Event) -> None:
    """Take Python's lock and the processor, as the rest of the appliance does."""
    while not stop.is_set():
        sum(range(20_000))
        stop.wait(0.002)


def read_some(one: Source, count: int) -> None:
    while count:
        with contextlib.suppress(FrameError):
            frame = one.read()
            assert frame is not None
            frame.release()
            count -= 1


def open_and_close(address: str, _: random.Random) -> float:
    one = source(address, options=OPTIONS)
    one.open()
    try:
        read_some(one, 2)
    finally:
        one.close()
    return 0.0


def closed_by_another(address: str, chance: random.Random) -> float:
    """Return how long the owner read on after another thread had closed the camera."""
    one = source(address, options=OPTIONS)
    one.open()
    closed: list[float] = []

    def close() -> None:
        threading.Event().wait(chance.random() * 0.2)
        closed.append(time.monotonic())
        one.close()

    other = threading.Thread(target=close)
    other.start()
    with contextlib.suppress(SourceLostError):
        while True:
            with contextlib.suppress(FrameError):
                frame = one.read()
                if frame is None:
                    break
                frame.release()
    ended = time.monotonic()
    other.join()
    one.close()
    return ended - closed[0]


def repeat(
    what: Callable[[str, random.Random], float],
    address: str,
    times: int,
    seed: int,
    longest: list[float],
) -> None:
    chance = random.Random(seed)  # noqa: S311 - moments
    longest.extend(what(address, chance) for _ in range(times))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--times", type=int, required=True, help="in each thread and round")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--closed-by-another", action="store_true")
    given = parser.parse_args()
    stop = threading.Event()
    burner = threading.Thread(target=burn, args=(stop,))
    burner.start()
    what = closed_by_another if given.closed_by_another else open_and_close
    try:
        for number in range(given.rounds):
            longest: list[float] = []
            threads = [
                threading.Thread(
                    target=repeat,
                    args=(what, given.address, given.times, number * 100 + index, longest),
                )
                for index in range(given.threads)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            figures = {
                "done": len(longest),
                "resident": resident_bytes(),
                "descriptors": open_descriptors(),
                "threads": threading.active_count(),
                "longest": max(longest, default=0.0),
            }
            print(json.dumps(figures), flush=True)  # noqa: T201 - what it is for
    finally:
        stop.set()
        burner.join()


if __name__ == "__main__":
    main()
