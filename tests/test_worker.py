"""A worker's way with a frame: what it hands in, what it makes of failures, when it rests."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from appliance.clock import ManualClock
from appliance.errors import (
    AcceleratorUnavailableError,
    DetectorError,
    DetectorLostError,
    FrameError,
)
from appliance.models import Labels, Vocabulary
from appliance.pipeline import Lane
from appliance.pipeline.exchange import Exchange, Pending
from appliance.pipeline.worker import MAX_CONSECUTIVE_ERRORS, Worker
from appliance.values import ClockOrigin, Detections, Frame, Observation, PixelFormat, Seen
from appliance.vision.preprocess import View
from tests.fakes.fake_detector import FakeDetector
from tests.helpers import seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from appliance.values import Pixels

PERSON = (0.25, 0.25, 0.5, 0.75, 0.9, 1)
MS = 1_000_000


class Camera:
    """A source that is never asked: the tests hand the frames in."""

    live = True
    open = close = read = None


class Bench:
    """One worker, one camera, a detector that does what it is told, and all that came out."""

    def __init__(
        self,
        script: Callable[[int], Detections] = lambda _: seen(PERSON),
        *,
        view: View = View(),  # noqa: B008 - frozen
        filters: tuple[Any, ...] = (),
        size: tuple[int, int] = (32, 32),
        clock: ManualClock | None = None,
        **options: Any,
    ) -> None:
        self.clock = clock or ManualClock()
        self.exchange: Exchange[Lane] = Exchange()
        self.results: list[Observation] = []
        self.released: list[int] = []
        self.detector = FakeDetector(script, seconds=0.03, clock=self.clock, size=size)
        self.lane = Lane(
            name="front", source=Camera(), view=view, filters=filters,  # type: ignore[arg-type]
            emit=self._emit, on_event=lambda _: None, clock=self.clock,
        )  # fmt: skip
        self.exchange.add(self.lane)
        self.worker = Worker(
            name="worker 0", detector=self.detector, vocabulary=VOCABULARY,
            score_threshold=0.5, clock=self.clock, **options,
        )  # fmt: skip
        self._seq = 0

    def _emit(self, observation: Observation, _lane: Lane) -> int:
        self.results.append(observation)
        return self._seq

    def frame(self, width: int = 64, height: int = 48, **fields: Any) -> Frame:
        number = self._seq
        self._seq += 1
        given = {"planes": (np.full((height, width, 3), (10, 20, 30), np.uint8),), **fields}
        return Frame(
            format=PixelFormat.BGR24, width=width, height=height,
            captured_ns=self.clock.monotonic_ns(), seq=100 + number, origin=ClockOrigin.SENSOR,
            release=lambda: self.released.append(number), name=f"{number}.png", **given,
        )  # fmt: skip

    def work(self, frame: Frame | None = None) -> bool:
        """Let one frame arrive and be worked on."""
        frame = frame or self.frame()
        self.clock.advance(0.002)  # the picture comes in
        number, received_ns = self.lane.ledger.capture(), self.clock.monotonic_ns()
        assert self.exchange.replace(Pending(self.lane, frame, number, received_ns)) is None
        self.clock.advance(0.005)  # it waits for a worker
        return self.worker.work_one(self.exchange, 0)

    def dropped(self) -> dict[str, int]:
        counts = self.lane.ledger.counts()
        assert counts.conserved
        assert counts.in_flight == 0
        return {reason: count for reason, count in counts.dropped.items() if count}


VOCABULARY = Vocabulary(Labels(("", "person", "bicycle", "car")))


def failing(numbers: set[int]) -> Callable[[int], Detections]:
    """A script whose inferences of these numbers fail."""

    def script(number: int) -> Detections:
        if number in numbers:
            raise DetectorError(f"inference {number} failed")
        return seen(PERSON)

    return script


# --- what is handed in


def test_a_result_says_where_it_comes_from_and_how_long_each_stage_took() -> None:
    bench = Bench()
    assert bench.work()
    (result,) = bench.results
    assert (result.camera, result.frame_seq, result.name) == ("front", 100, "0.png")
    assert (result.width, result.height, result.origin) == (64, 48, ClockOrigin.SENSOR)
    assert (result.accelerator, result.model_id, result.picture) == ("fake", "fake", None)
    assert result.times.durations_ns == (2 * MS, 5 * MS, 0, 30 * MS, 0)
    assert result.detections.boxes.tolist() == [[0.25, 0.25, 0.5, 0.75]]
    assert bench.released == [0]
    assert bench.dropped() == {}


def test_each_stage_is_timed_by_itself() -> None:
    bench = Bench()
    detector, clock = bench.detector, bench.clock
    plain_input, plain_detections = detector.input, detector.detections

    @contextmanager
    def slow_input() -> Iterator[Pixels]:
        clock.advance(0.004)
        with plain_input() as tensor:
            yield tensor

    def slow_detections(score_threshold: float) -> Detections:
        clock.advance(0.006)
        return plain_detections(score_threshold)

    detector.input = slow_input  # type: ignore[method-assign]
    detector.detections = slow_detections  # type: ignore[method-assign]
    bench.work()
    assert bench.results[0].times.durations_ns == (2 * MS, 5 * MS, 4 * MS, 30 * MS, 6 * MS)


def test_what_is_too_weak_is_left_out() -> None:
    bench = Bench(lambda _: seen(PERSON, (0, 0, 1, 1, 0.5, 3), (0, 0, 1, 1, 0.49, 2)))
    bench.work()
    assert bench.results[0].detections.label_ids.tolist() == [1, 3]


def test_boxes_are_those_of_the_whole_upright_frame() -> None:
    """Only the right half of the picture is looked at."""
    bench = Bench(view=View(crop=(0.5, 0.0, 0.5, 1.0)))
    bench.work()
    assert bench.results[0].detections.boxes[0] == pytest.approx([0.625, 0.25, 0.75, 0.75])
    assert bench.results[0].detections.scores == pytest.approx([0.9])
    assert bench.results[0].detections.label_ids.tolist() == [1]


def test_bars_of_a_letterbox_are_no_part_of_the_frame() -> None:
    bench = Bench(view=View(fit="letterbox"), size=(64, 64))
    bench.work()  # 64x48 in 64x64: bars of 8 rows above and below
    assert bench.results[0].detections.boxes[0] == pytest.approx([0.25, 1 / 6, 0.5, 5 / 6])


def test_inputs_need_not_be_square() -> None:
    bench = Bench(view=View(fit="letterbox"), size=(96, 48))
    bench.work()  # 64x48 in 96x48: bars of 16 columns left and right
    assert bench.results[0].detections.boxes[0] == pytest.approx([0.125, 0.25, 0.5, 0.75])
    bench.detector._picture = np.zeros((64, 64, 3), np.uint8)
    bench.work()  # bars of 8 rows above and below
    assert bench.results[1].detections.boxes[0] == pytest.approx([0.25, 1 / 6, 0.5, 5 / 6])


def test_each_camera_is_looked_at_in_its_own_way() -> None:
    plain = Bench()
    cropped = Bench(view=View(crop=(0.5, 0.0, 0.5, 1.0)), clock=plain.clock)
    cropped.lane.name, cropped.worker = "back", plain.worker
    plain.work()
    cropped.work()
    assert plain.results[0].detections.boxes[0] == pytest.approx([0.25, 0.25, 0.5, 0.75])
    assert cropped.results[0].detections.boxes[0] == pytest.approx([0.625, 0.25, 0.75, 0.75])


def test_a_turned_camera_gives_upright_sizes() -> None:
    bench = Bench(view=View(rotation=90))
    bench.work()
    assert (bench.results[0].width, bench.results[0].height) == (48, 64)


def test_frames_of_another_size_are_fitted_too() -> None:
    bench = Bench()
    for width, height in ((64, 48), (128, 96), (64, 48)):
        bench.work(bench.frame(width, height))
    assert [(one.width, one.height) for one in bench.results] == [(64, 48), (128, 96), (64, 48)]


def test_the_picture_that_the_detector_gets_is_the_frame() -> None:
    bench = Bench()
    bench.work()
    assert (bench.detector.picture == (30, 20, 10)).all()  # red first


def test_an_input_of_another_size_is_fitted_too() -> None:
    """The size changes when another accelerator takes over."""
    bench = Bench()
    bench.work()
    bench.detector._picture = np.zeros((16, 48, 3), np.uint8)
    bench.work()
    assert (bench.detector.picture == (30, 20, 10)).all()
    bench.detector._picture = np.zeros((32, 32, 3), np.uint8)
    bench.work()
    assert (bench.detector.picture == (30, 20, 10)).all()
    assert len(bench.results) == 3


class WantsPicture:
    wants_picture = True

    def apply(self, observation: Observation) -> Observation:
        return observation


def test_filters_get_a_picture_of_their_own() -> None:
    bench = Bench(filters=(WantsPicture(),))
    bench.work()
    bench.detector.picture[:] = 0  # the next frame
    picture = bench.results[0].picture
    assert picture is not None
    assert picture.shape == (32, 32, 3)
    assert (picture == (30, 20, 10)).all()


def test_no_frame_no_work() -> None:
    bench = Bench()
    assert not bench.worker.work_one(bench.exchange, 0)
    assert bench.worker.heartbeat.waiting_for == ""
    assert bench.detector.inferences == 0


# --- cameras that detect by themselves


def test_what_a_camera_saw_by_itself_is_handed_through() -> None:
    bench = Bench()
    boxes = np.asarray([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0, 0, 1, 1]], np.float32)
    found = Seen(
        "chip", "net", boxes, np.asarray([0.5, 0.7, 0.49], np.float32), ("car", "person", "dog")
    )
    assert bench.work(bench.frame(seen=found))
    (result,) = bench.results
    assert (result.accelerator, result.model_id) == ("chip", "net")
    assert (result.camera, result.frame_seq, result.name) == ("front", 100, "0.png")
    assert (result.width, result.height, result.origin) == (64, 48, ClockOrigin.SENSOR)
    assert result.detections.label_ids.tolist() == [1, 3]
    assert result.detections.scores == pytest.approx([0.7, 0.5])
    assert result.detections.boxes[1] == pytest.approx([0, 0, 0.5, 0.5])
    assert result.times.durations_ns == (2 * MS, 5 * MS, 0, 0, 0)
    assert bench.detector.inferences == 0
    assert bench.released == [0]


# --- failures


def test_a_failed_inference_costs_its_frame_only() -> None:
    bench = Bench(failing({1}))
    for _ in range(3):
        assert bench.work()
        assert bench.worker.heartbeat.waiting_for == ""  # a sign of life, failed or not
    assert [one.frame_seq for one in bench.results] == [100, 102]
    assert bench.dropped() == {"detector_error": 1}
    assert bench.released == [0, 1, 2]


def test_a_frame_that_cannot_be_resized_costs_itself_only() -> None:
    bench = Bench()

    def refuse() -> AbstractContextManager[Pixels]:
        raise FrameError("no picture")

    plain = bench.detector.input
    bench.detector.input = refuse  # type: ignore[method-assign, assignment]
    for _ in range(2 * MAX_CONSECUTIVE_ERRORS):  # many of them are no reason to give up
        assert bench.work()
    bench.detector.input = plain  # type: ignore[method-assign]
    assert bench.work()
    assert bench.dropped() == {"unusable": 20}
    assert len(bench.results) == 1
    assert len(bench.released) == 21


def test_errors_apart_in_time_are_no_reason_to_give_up() -> None:
    """Nine of ten inferences fail, for long: each that succeeds is a new beginning."""
    successes = set(range(9, 200, 10))
    bench = Bench(failing(set(range(200)) - successes))
    for _ in range(200):
        bench.work()
    assert len(bench.results) == 20
    assert bench.dropped() == {"detector_error": 180}


def test_ten_errors_in_a_row_end_the_worker() -> None:
    bench = Bench(failing(set(range(1, 100))))
    for _ in range(MAX_CONSECUTIVE_ERRORS):
        bench.work()
    with pytest.raises(DetectorError, match="inference 10 failed"):
        bench.work()
    assert bench.dropped() == {"detector_error": 10}
    assert len(bench.released) == 11


def test_a_worker_that_dies_keeps_no_frame_of_a_camera_that_goes_on() -> None:
    """At a reload its successor goes on with the same camera, whose results come in order."""

    def script(number: int) -> Detections:
        if not number:
            raise AcceleratorUnavailableError("neither it nor another")
        return seen(PERSON)

    bench = Bench(script)
    with pytest.raises(AcceleratorUnavailableError):
        bench.work()
    assert bench.dropped() == {"detector_error": 1}
    assert bench.lane.ledger.counts().in_flight == 0
    assert bench.work()
    assert [one.frame_seq for one in bench.results] == [101]


def test_a_lost_accelerator_counts_as_an_error_like_others() -> None:
    def script(number: int) -> Detections:
        raise DetectorLostError("unplugged")

    bench = Bench(script)
    for _ in range(9):
        assert bench.work()
    assert bench.dropped() == {"detector_error": 9}


# --- signs of life, and rest


def test_an_inference_is_a_declared_wait_and_the_worker_is_busy_meanwhile() -> None:
    bench = Bench()
    infer, told = bench.detector.infer, []

    def look() -> None:
        told.append((bench.worker.busy, bench.worker.heartbeat.waiting_for))
        bench.clock.advance(29.9)  # the first frame: nothing is known yet
        told.append((bench.worker.busy, bench.worker.heartbeat.waiting_for))
        bench.clock.advance(0.2)
        told.append((bench.worker.busy, bench.worker.heartbeat.waiting_for))
        infer()

    bench.detector.infer = look  # type: ignore[method-assign]
    assert not bench.worker.busy
    bench.work()
    assert told == [(True, "the inference"), (True, "the inference"), (False, "")]
    assert not bench.worker.busy
    assert bench.worker.heartbeat.name == "worker 0"


@pytest.mark.parametrize(("took", "bound"), [(0.03, 10.0), (0.99, 10.0), (2.0, 20.0), (5.0, 30.0)])
def test_how_long_a_frame_may_take_is_learnt_from_the_longest(took: float, bound: float) -> None:
    """Ten seconds at least, on slow boards ten times what a frame took, half a minute at most."""
    bench = Bench()
    bench.detector._seconds = took
    bench.work()
    bench.detector._seconds = 0.0
    bench.work()  # a quick one is no reason to expect all to be quick
    told = []

    def look() -> None:
        bench.clock.advance(bound - 0.1)
        told.append(bench.worker.heartbeat.waiting_for)
        bench.clock.advance(0.2)
        told.append(bench.worker.heartbeat.waiting_for)

    bench.detector.infer = look  # type: ignore[method-assign]
    bench.work()
    assert told == ["the inference", ""]


def test_a_worker_that_may_not_work_takes_nothing_and_looks_again_every_half_second() -> None:
    asked: list[float] = []
    stop = threading.Event()

    def never() -> bool:
        asked.append(bench.clock.monotonic_ns() / 1e9)
        return False

    bench = Bench(may_work=never)
    waits: list[str] = []

    def wait(event: threading.Event, seconds: float) -> bool:
        bench.clock.advance(seconds)
        waits.append(bench.worker.heartbeat.waiting_for)
        if len(waits) == 4:
            event.set()
        return event.is_set()

    bench.clock.wait = wait  # type: ignore[method-assign]
    bench.exchange.replace(Pending(bench.lane, bench.frame(), 0, 0))
    bench.worker.run(bench.exchange, stop)
    assert np.diff(asked) == pytest.approx([0.5] * 3)
    assert waits == ["a frame"] * 4
    assert bench.exchange.take(0) is not None
    assert bench.detector.inferences == 0


def test_waiting_for_a_frame_is_a_declared_wait_with_time_to_spare() -> None:
    stop, told = threading.Event(), list[str]()

    def look() -> bool:
        bench.clock.advance(8.4)
        told.append(bench.worker.heartbeat.waiting_for)
        bench.clock.advance(0.2)
        told.append(bench.worker.heartbeat.waiting_for)
        stop.set()
        return False

    bench = Bench(may_work=look)
    bench.worker.run(bench.exchange, stop)
    assert told == ["a frame", ""]


def test_a_worker_works_until_it_is_stopped_and_closes_its_detector() -> None:
    bench, stop = Bench(), threading.Event()
    told = []

    def script(number: int) -> Detections:
        if number == 2:
            stop.set()
        else:
            bench.exchange.replace(_next(bench))
        return Detections.empty()

    def close() -> None:
        told.append(bench.worker.heartbeat.waiting_for)
        bench.clock.advance(4.9)
        told.append(bench.worker.heartbeat.waiting_for)
        bench.clock.advance(0.2)
        told.append(bench.worker.heartbeat.waiting_for)
        bench.detector.closed = True

    bench.detector._script = script
    bench.detector.close = close  # type: ignore[method-assign]
    bench.exchange.replace(_next(bench))
    bench.worker.run(bench.exchange, stop)
    assert len(bench.results) == 3
    assert bench.detector.closed
    assert told == ["the accelerator to close", "the accelerator to close", ""]


def test_a_worker_that_gives_up_closes_its_detector_too() -> None:
    bench = Bench(failing(set(range(100))))
    for _ in range(9):
        bench.work()
    bench.exchange.replace(_next(bench))
    with pytest.raises(DetectorError):
        bench.worker.run(bench.exchange, threading.Event())
    assert bench.detector.closed


def _next(bench: Bench) -> Pending[Lane]:
    frame = bench.frame()
    return Pending(bench.lane, frame, bench.lane.ledger.capture(), frame.captured_ns)
