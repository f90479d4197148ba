"""The pipeline's threads: they start, their ends are noticed, and stopping is bounded."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from appliance.clock import SystemClock
from appliance.errors import DetectorError, StalledError
from appliance.models import Labels, Vocabulary
from appliance.pipeline import Lane, Pipeline
from appliance.pipeline.exchange import Exchange, Pending
from appliance.pipeline.heartbeat import Heartbeat
from appliance.pipeline.worker import Worker
from appliance.values import Frame, PixelFormat
from appliance.vision.preprocess import View
from tests.fakes.fake_detector import FakeDetector
from tests.helpers import seen, source, wait_for, wait_until_blocked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.values import Observation

CLOCK = SystemClock()


class Part:
    """Stands for a worker or a lane: a thread's work, and its sign of life."""

    def __init__(self, name: str, run: Callable[[Exchange[Lane], threading.Event], None]) -> None:
        self.heartbeat = Heartbeat(name, CLOCK)
        self.run = run


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Set at the test's end, so that parts that hang on it end too."""
    event = threading.Event()
    yield event
    event.set()


def lane(emitted: list[Observation], number: int = 0, frames: int = 30) -> Lane:
    def emit(observation: Observation, _lane: Lane) -> int:
        emitted.append(observation)
        return len(emitted)

    options = {"frames": frames, "rate": "file"}
    return Lane(
        name=f"camera {number}",
        source=source("synthetic", CLOCK, width=64, height=48, options=options),
        view=View(), filters=(), emit=emit, on_event=lambda _: None, clock=CLOCK,
    )  # fmt: skip


def worker(name: str) -> Worker:
    detector = FakeDetector(lambda _: seen(), size=(32, 32))
    vocabulary = Vocabulary(Labels(("", "person")))
    return Worker(
        name=name, detector=detector, vocabulary=vocabulary, score_threshold=0.5, clock=CLOCK
    )


def pipeline(*workers: Any, lanes: tuple[Any, ...] = (), **options: Any) -> Pipeline:
    return Pipeline(lanes, workers, **options)


def test_files_are_worked_off_and_every_frame_is_booked() -> None:
    emitted: list[Observation] = []
    changes: list[str] = []
    lanes = (lane(emitted), lane(emitted, 1, frames=20))
    running = pipeline(
        worker("w0"), worker("w1"), lanes=lanes,
        on_change=lambda: changes.append(threading.current_thread().name),
    )  # fmt: skip
    assert not running.finished()
    running.start()
    wait_for(running.finished)
    running.check()
    running.stop()
    assert [one.ledger.counts().processed for one in lanes] == [30, 20]
    for number, count in ((0, 30), (1, 20)):
        mine = [one.frame_seq for one in emitted if one.camera == f"camera {number}"]
        assert mine == list(range(count))
    assert sorted(changes) == ["capture camera 0", "capture camera 1", "w0", "w1"]


def test_not_finished_while_a_frame_is_on_its_way() -> None:
    one = lane([])
    running = pipeline(lanes=(one,))
    one.ended.set()
    assert running.finished()
    number = one.ledger.capture()
    assert not running.finished()
    one.ledger.drop(number, "corrupt")
    assert running.finished()


def test_one_camera_that_goes_on_is_not_the_end() -> None:
    one, other = lane([]), lane([], 1)
    running = pipeline(lanes=(one, other))
    one.ended.set()
    assert not running.finished()


def test_what_ended_a_thread_is_raised_and_told() -> None:
    changed = threading.Event()

    def fail(*_: object) -> None:
        raise DetectorError("ten errors in a row")

    running = pipeline(Part("w0", fail), on_change=changed.set)
    running.check()
    running.start()
    assert changed.wait(10)
    with pytest.raises(DetectorError, match="ten errors in a row"):
        running.check()
    running.stop()


def test_the_first_of_several_failures_is_raised(gate: threading.Event) -> None:
    ended: list[int] = []

    def fail(*_: object) -> None:
        raise ZeroDivisionError("first")

    def fail_later(*_: object) -> None:
        gate.wait(10)
        raise ValueError("second")

    running = pipeline(Part("w0", fail), Part("w1", fail_later), on_change=lambda: ended.append(1))
    running.start()
    wait_for(lambda: len(ended) == 1)
    gate.set()
    wait_for(lambda: len(ended) == 2)
    with pytest.raises(ZeroDivisionError, match="first"):
        running.check()
    running.stop()


def test_a_thread_that_exits_the_interpreter_counts_as_a_failure_too() -> None:
    def leave(*_: object) -> None:
        raise SystemExit(3)

    changed = threading.Event()
    running = pipeline(Part("w0", leave), on_change=changed.set)
    running.start()
    assert changed.wait(10)
    with pytest.raises(SystemExit):
        running.check()
    running.stop()


def test_stopping_ends_threads_that_listen() -> None:
    ended: list[str] = []

    def listen(_: object, stop: threading.Event) -> None:
        stop.wait(30)
        ended.append(threading.current_thread().name)

    running = pipeline(Part("w0", listen), lanes=())
    running.start()
    running.stop()
    assert ended == ["w0"]


def test_a_pipeline_that_never_started_can_be_stopped() -> None:
    pipeline(Part("w0", lambda *_: None)).stop()


def test_frames_that_nobody_took_are_released_and_booked() -> None:
    one, released = lane([]), list[int]()
    running = pipeline(lanes=(one,))
    number = one.ledger.capture()
    pixels = np.zeros((2, 2, 3), np.uint8)
    frame = Frame((pixels,), PixelFormat.BGR24, 2, 2, 0, 0, release=lambda: released.append(1))
    running.exchange.replace(Pending(one, frame, number, 0))
    one.ledger.capture()  # and one that hangs in a worker
    running.stop()
    counts = one.ledger.counts()
    assert counts.dropped["shutdown"] == 2
    assert counts.in_flight == 0
    assert released == [1]
    assert running.exchange.take(0) is None


def test_a_thread_that_hangs_is_named(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.pipeline.pipeline.JOIN_SECONDS", 0.05)

    def hang(*_: object) -> None:
        gate.wait(30)

    one = lane([])
    one.ledger.capture()
    running = pipeline(
        Part("w1", hang), Part("w0", hang), Part("good", lambda *_: None), lanes=(one,)
    )
    one.source.read = lambda: None  # type: ignore[method-assign]
    running.start()
    hanging = [one for one in threading.enumerate() if one.name in {"w0", "w1"}]
    assert [one.daemon for one in hanging] == [True, True]  # the process can end all the same
    with pytest.raises(StalledError, match=r"^w0, w1: hangs and cannot be ended$"):
        running.stop()
    assert one.ledger.counts().dropped["shutdown"] == 1  # the books are closed all the same


def test_a_thread_in_a_declared_wait_is_left_to_end_with_the_process(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.pipeline.pipeline.JOIN_SECONDS", 0.05)

    def read(*_: object) -> None:
        part.heartbeat.wait("a frame", 60)
        gate.wait(30)

    part = Part("camera", read)
    running = pipeline(part)
    running.start()
    wait_for(lambda: part.heartbeat.waiting_for)
    running.stop()


def test_who_is_retired_is_waited_for_also_in_a_declared_wait_and_then_counts_as_a_hang(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []

    def listen(_: object, stop: threading.Event) -> None:
        stop.wait(30)
        ended.append(True)

    slow = Part("slow", listen)
    slow.heartbeat.wait("a frame", 60)
    running = pipeline(slow)
    running.start()
    running.retire((slow,))  # type: ignore[arg-type]
    assert ended
    monkeypatch.setattr("appliance.pipeline.pipeline.PATIENT_SECONDS", 0.05)

    def hang(*_: object) -> None:
        gate.wait(30)

    hung, other = Part("hung", hang), Part("another", hang)
    hung.heartbeat.wait("a frame", 60)
    stalled = pipeline(hung, other)
    stalled.start()
    with pytest.raises(StalledError, match=r"^another, hung: hangs and cannot be ended$"):
        stalled.retire((hung, other))  # type: ignore[arg-type]


def test_a_camera_goes_and_another_comes_while_the_rest_goes_on() -> None:
    emitted: list[Observation] = []
    stays, goes, comes = (lane(emitted, n, frames=100_000) for n in range(3))
    running = pipeline(worker("w0"), worker("w1"), lanes=(stays, goes))
    running.start()
    threads = {one.name: one for one in threading.enumerate()}
    wait_for(lambda: goes.ledger.counts().processed > 5)
    running.retire((goes,))
    assert running.lanes == (stays,)
    assert [one.heartbeat.name for one in running.workers] == ["w0", "w1"]
    assert not threads["capture camera 1"].is_alive()
    counts = goes.ledger.counts()
    assert counts.in_flight == 0
    assert counts.captured == counts.processed + counts.dropped["shutdown"]
    running.use((stays, comes), running.workers)
    running.start()
    before = stays.ledger.counts().processed
    wait_for(lambda: comes.ledger.counts().processed > 5)
    wait_for(lambda: stays.ledger.counts().processed > before)
    assert [one.name for one in running.heartbeats] == [
        "w0", "w1", "capture camera 0", "capture camera 2",
    ]  # fmt: skip
    assert threads["capture camera 0"].is_alive()
    assert counts == goes.ledger.counts()
    running.check()
    running.stop()
    for number in (0, 2):
        mine = [one.frame_seq for one in emitted if one.camera == f"camera {number}"]
        assert mine == list(range(len(mine)))


def test_workers_go_and_others_come_while_cameras_wait_for_them() -> None:
    emitted: list[Observation] = []
    one = lane(emitted, frames=200)
    first, second = worker("w0"), worker("w0")
    running = pipeline(first, lanes=(one,))
    running.start()
    wait_for(lambda: one.ledger.counts().processed > 5)
    running.retire((first,))
    assert running.workers == ()
    assert running.lanes == (one,)
    detector: Any = first.detector
    assert detector.closed
    running.use((one,), (second,))
    running.start()
    wait_for(running.finished)
    running.stop()
    assert [each.frame_seq for each in emitted] == list(range(200))


def test_a_frame_that_a_worker_still_holds_is_waited_for() -> None:
    one = lane([])
    running = pipeline(lanes=(one,))
    number, main = one.ledger.capture(), threading.current_thread()

    def finish() -> None:
        wait_for(lambda: one not in running.exchange._slots)
        wait_until_blocked(main)
        one.ledger.process(number)

    thread = threading.Thread(target=finish, daemon=True)
    thread.start()
    running.retire((one,))
    thread.join(10)
    counts = one.ledger.counts()
    assert (counts.processed, counts.dropped["shutdown"]) == (1, 0)


def test_a_worker_that_keeps_a_frame_of_a_retired_camera_is_a_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("appliance.pipeline.pipeline.PATIENT_SECONDS", 0.05)
    one = lane([])
    running = pipeline(lanes=(one,))
    one.ledger.capture()
    with pytest.raises(StalledError, match="a worker with a frame of camera 0"):
        running.retire((one,))


def test_what_goes_wrong_while_a_part_ends_ends_nothing_else() -> None:
    def fail(_: object, stop: threading.Event) -> None:
        stop.wait(30)
        raise OSError("the driver does not want to be closed")

    part = Part("w0", fail)
    running = pipeline(part)
    running.start()
    running.retire((part,))  # type: ignore[arg-type]
    running.check()
    running.stop()


def test_the_signs_of_life_are_those_of_all_threads() -> None:
    def work(*_: object) -> None:
        return

    running = pipeline(Part("w0", work), Part("w1", work), lanes=(lane([]),))
    assert [one.name for one in running.heartbeats] == ["w0", "w1", "capture camera 0"]
