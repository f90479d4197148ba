"""A network camera opened and closed for a long time, and closed by whoever wants to."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.helpers import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rtsp.camera import Server

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Round:
    done: int
    resident: int
    descriptors: int
    threads: int
    longest: float


def endure(address: str, rounds: int, times: int, *more: str) -> list[Round]:
    """Run the program in a process of its own, four threads at a time."""
    command = [sys.executable, "-m", "tests.rtsp.endurance", address]
    numbers = ["--rounds", str(rounds), "--times", str(times), "--threads", "4"]
    done = subprocess.run(
        [*command, *numbers, *more], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = [Round(**json.loads(line)) for line in done.stdout.splitlines()]
    # A thread that an error ended has not done its part.
    assert [each.done for each in found] == [times * 4] * rounds, done.stderr[-4000:]
    return found


def assert_flat(rounds: list[Round], megabytes: int) -> None:
    """Compare the last round with the first, which fills caches and pools."""
    first, last = rounds[0], rounds[-1]
    assert last.descriptors <= first.descriptors + 2, rounds
    assert last.threads <= first.threads, rounds
    assert last.resident - first.resident < megabytes * MEBIBYTE, rounds


def test_opening_and_closing_again_and_again_leaks_nothing(
    serve_camera: Callable[..., Server],
) -> None:
    camera = serve_camera(fps=60)
    assert_flat(endure(camera.address(), 4, 1), 20)


def test_a_close_from_another_thread_ends_the_reading_and_crashes_nothing(
    serve_camera: Callable[..., Server],
) -> None:
    camera = serve_camera(fps=60)
    rounds = endure(camera.address(), 2, 3, "--closed-by-another")
    assert max(each.longest for each in rounds) < 4.0  # the time-out of a read, and a second


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("codec", ["h264", "h265", "mjpeg"])
def test_a_thousand_openings_leak_nothing(serve_camera: Callable[..., Server], codec: str) -> None:
    camera = serve_camera(codec, fps=60)
    assert_flat(endure(camera.address(), 5, 50), 20)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_closings_from_another_thread_crash_nothing(
    serve_camera: Callable[..., Server],
) -> None:
    camera = serve_camera(fps=60)
    rounds = endure(camera.address(), 5, 10, "--closed-by-another")
    assert max(each.longest for each in rounds) < 4.0
    assert_flat(rounds, 20)
