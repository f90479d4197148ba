"""Rates and percentiles over a window, against plain arithmetic."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import NS_PER_MS, NS_PER_SECOND, ManualClock
from appliance.pipeline.statistics import CAPACITY, Window, WindowStatistics, spread
from appliance.values import ClockOrigin, Detections, Observation, StageTimes

if TYPE_CHECKING:
    from collections.abc import Sequence

STAGES = (1, 2, 3, 4, 5)
"""Milliseconds of capture, queue, preprocessing, inference and postprocessing."""


def observation(stages_ms: Sequence[float] = STAGES, start_ns: int = 7) -> Observation:
    boundaries = [start_ns]
    for duration in stages_ms:
        boundaries.append(boundaries[-1] + round(duration * NS_PER_MS))
    return Observation(
        camera="front", frame_seq=0, width=4, height=4, origin=ClockOrigin.READ,
        detections=Detections.empty(), times=StageTimes(*boundaries),
    )  # fmt: skip


class Books(WindowStatistics):
    """A window with a clock of its own."""

    def __init__(self, start_ns: int) -> None:
        self._at = ManualClock(start_ns)
        super().__init__(self._at)

    def roll_at(self, now_ns: int) -> Window:
        self._at.advance((now_ns - self._at.monotonic_ns()) / NS_PER_SECOND)
        return self.roll()


def test_a_window_is_counts_over_time() -> None:
    books = Books(2 * NS_PER_SECOND)
    for _ in range(7):
        books.captured()
    for _ in range(2):
        books.gated()
    for seq in (11, 12, 14):
        books.processed(observation(), seq)
    window = books.roll_at(4 * NS_PER_SECOND)
    assert window.seconds == 2
    assert (window.captured, window.gated, window.frames) == (7, 2, 3)
    assert (window.first_seq, window.last_seq) == (11, 14)
    assert window.inference_seconds == pytest.approx(0.012)
    assert window.camera_fps == 3.5
    assert window.end_to_end_fps == 1.5
    assert window.gated_fps == 1.0


def test_each_stage_has_its_own_distribution() -> None:
    books = Books(0)
    for factor in (1, 2, 3):
        books.processed(observation([factor * stage for stage in STAGES]), factor)
    window = books.roll_at(NS_PER_SECOND)
    means = {name: one.mean for name, one in window.stages.items()}
    assert means == {
        "capture": 2, "queue": 4, "preprocess": 6, "inference": 8, "postprocess": 10,
    }  # fmt: skip
    assert {name: one.max for name, one in window.stages.items()} == {
        name: 1.5 * mean for name, mean in means.items()
    }
    assert window.latency is not None
    assert (window.latency.mean, window.latency.p50, window.latency.max) == (30, 30, 45)


def test_a_window_without_anything_claims_nothing() -> None:
    window = Books(0).roll_at(NS_PER_SECOND)
    assert window == Window(
        seconds=1.0, frames=0, first_seq=None, last_seq=None, captured=0, gated=0,
        inference_seconds=0.0, stages={}, latency=None,
    )  # fmt: skip
    assert window.end_to_end_fps is None
    assert window.camera_fps is None
    assert window.gated_fps == 0
    assert window.inference_only_fps(1) is None
    assert window.efficiency(1) is None


def test_a_window_takes_nothing_into_the_next() -> None:
    books = Books(0)
    books.captured()
    books.gated()
    books.processed(observation(), 0)
    books.published(NS_PER_MS)
    books.roll_at(NS_PER_SECOND)
    later = books.roll_at(5 * NS_PER_SECOND)
    assert later == Books(NS_PER_SECOND).roll_at(5 * NS_PER_SECOND)
    assert later.seconds == 4


def test_the_first_number_of_a_window_may_be_zero() -> None:
    books = Books(0)
    books.processed(observation(), 0)
    books.processed(observation(), 1)
    window = books.roll_at(NS_PER_SECOND)
    assert (window.first_seq, window.last_seq) == (0, 1)


def test_what_was_written_is_a_stage_of_its_own() -> None:
    books = Books(0)
    for milliseconds in (1, 2, 6):
        books.published(milliseconds * NS_PER_MS)
    window = books.roll_at(NS_PER_SECOND)
    assert set(window.stages) == {"publish"}
    assert (window.stages["publish"].mean, window.stages["publish"].p50) == (3, 2)
    assert window.frames == 0


def test_of_very_many_the_newest_times_are_kept_and_all_are_counted() -> None:
    books = Books(0)
    old, new = observation((9, 9, 9, 9, 9)), observation()
    for seq in range(10):
        books.processed(old, seq)
        books.published(9 * NS_PER_MS)
    for seq in range(10, 10 + CAPACITY):
        books.processed(new, seq)
        books.published(NS_PER_MS)
    window = books.roll_at(NS_PER_SECOND)
    assert window.frames == CAPACITY + 10
    assert (window.first_seq, window.last_seq) == (0, CAPACITY + 9)
    assert window.latency is not None
    assert window.latency.max == 15
    assert window.stages["capture"].max == 1
    assert window.stages["publish"].max == 1
    assert window.inference_seconds == pytest.approx(0.09 + 0.004 * CAPACITY)


def test_one_more_than_there_is_room_for_replaces_the_oldest() -> None:
    books = Books(0)
    books.processed(observation((9, 9, 9, 9, 9)), 0)
    books.published(9 * NS_PER_MS)
    for seq in range(1, CAPACITY):
        books.processed(observation(), seq)
        books.published(NS_PER_MS)
    assert books.roll_at(1).stages["publish"].max == 9
    books.processed(observation((9, 9, 9, 9, 9)), 0)
    for seq in range(1, CAPACITY + 1):
        books.processed(observation(), seq)
    assert books.roll_at(2).stages["capture"].max == 1


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=200))
def test_a_spread_is_what_plain_arithmetic_says(durations_ns: list[int]) -> None:
    found = spread(np.asarray(durations_ns, np.int64))
    in_ms = sorted(one / 1e6 for one in durations_ns)

    def percentile(share: float) -> float:
        place = share * (len(in_ms) - 1)
        low, high = in_ms[int(place)], in_ms[min(int(place) + 1, len(in_ms) - 1)]
        return low + (high - low) * (place - int(place))

    assert found.mean == pytest.approx(statistics.fmean(in_ms), abs=1e-5)
    assert found.p50 == pytest.approx(statistics.median(in_ms), abs=1e-5)
    assert found.p95 == pytest.approx(percentile(0.95), abs=1e-5)
    assert found.p99 == pytest.approx(percentile(0.99), abs=1e-5)
    assert found.max == pytest.approx(in_ms[-1], abs=1e-5)


def test_a_spread_is_rounded_to_whole_nanoseconds() -> None:
    assert spread(np.asarray([1, 2, 2], np.int64)).mean == 0.000002


WINDOW = Window(
    seconds=2.0, frames=20, first_seq=0, last_seq=19, captured=40, gated=0,
    inference_seconds=0.5, stages={}, latency=None,
)  # fmt: skip


def test_the_detector_alone_would_do_so_many() -> None:
    assert WINDOW.inference_only_fps(1) == 40
    assert WINDOW.inference_only_fps(2) == 80
    assert replace(WINDOW, inference_seconds=0.0).inference_only_fps(2) is None
    assert replace(WINDOW, frames=0).inference_only_fps(2) is None


@pytest.mark.parametrize(
    ("window", "workers", "expected"),
    [
        (replace(WINDOW, inference_seconds=1.6), 1, 10 / 12.5),  # the detector is the slower
        (WINDOW, 1, 10 / 20),  # the camera is
        (replace(WINDOW, inference_seconds=1.6), 2, 10 / 20),
        (replace(WINDOW, gated=1), 1, None),  # too few remain to say
        (replace(WINDOW, captured=0), 1, None),
        (replace(WINDOW, frames=0), 1, None),
        (replace(WINDOW, inference_seconds=0), 1, None),
        (replace(WINDOW, seconds=0.0), 1, None),
    ],
)
def test_efficiency_is_held_against_the_slower_of_camera_and_detector(
    window: Window, workers: int, expected: float | None
) -> None:
    got = window.efficiency(workers)
    assert got == (None if expected is None else pytest.approx(expected))


def test_no_time_no_rates() -> None:
    window = replace(WINDOW, seconds=0.0, gated=3)
    assert window.end_to_end_fps is None
    assert window.camera_fps is None
    assert window.gated_fps == 0.0
