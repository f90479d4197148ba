"""One camera's way: what is lost and found again, what is left out and why, and the books."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from appliance.clock import ManualClock
from appliance.errors import (
    FrameError,
    MediaError,
    NotInferredError,
    SourceLostError,
    SourceUnavailableError,
)
from appliance.pipeline import CameraEvent, Lane
from appliance.pipeline.exchange import Exchange, Pending
from appliance.pipeline.lane import STALL_SECONDS
from appliance.pipeline.pace import Pace
from appliance.values import (
    ClockOrigin,
    Detections,
    Frame,
    Observation,
    PixelFormat,
    Seen,
    StageTimes,
)
from appliance.vision.motion import MotionGate
from appliance.vision.preprocess import View
from tests.helpers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class ScriptedSource:
    """A source that does what its list says: a frame, an error to raise, or None for its end.

    Attributes:
        released: numbers of the frames whose buffers were handed back.
        opened, closed: how often.
        refusals: errors that ``open`` raises, one each time, while there are some.
    """

    def __init__(
        self, clock: ManualClock, script: Iterable[str | Exception], *, live: bool = True
    ) -> None:
        self.live = live
        self.released: list[int] = []
        self.opened = self.closed = 0
        self.refusals: list[Exception] = []
        self._clock = clock
        self._script = iter(script)
        self._seq = -1

    def open(self) -> None:
        self.opened += 1
        if self.refusals:
            raise self.refusals.pop(0)

    def read(self) -> Frame | None:
        self._clock.advance(0.01)
        step = next(self._script, None)
        if isinstance(step, Exception):
            raise step
        if step is None:
            return None
        self._seq += 1
        return self.picture(step)

    def picture(self, kind: str = "frame") -> Frame:
        seq = self._seq
        grey = {"dark": 0, "bright": 200}.get(kind, 100)
        seen = Seen("chip", "m", np.zeros((0, 4), np.float32), np.zeros(0, np.float32), ())
        return Frame(
            (np.full((36, 64, 3), grey, np.uint8),),
            PixelFormat.BGR24,
            64,
            36,
            captured_ns=self._clock.monotonic_ns(),
            seq=seq,
            release=lambda: self.released.append(seq),
            seen=seen if kind == "seen" else None,
        )

    def close(self) -> None:
        self.closed += 1


@dataclass
class Setting:
    """A lane with all that it touches."""

    clock: ManualClock
    source: ScriptedSource
    lane: Lane
    exchange: Exchange[Lane]
    pace: Pace
    events: list[CameraEvent]
    emitted: list[Observation]
    emitters: list[Lane]
    stop: threading.Event = field(default_factory=threading.Event)

    def capture(self) -> bool:
        return self.lane.capture_one(self.exchange, self.stop)

    def run(self) -> None:
        self.lane.run(self.exchange, self.stop)

    def take(self) -> Pending[Lane]:
        taken = self.exchange.take(0)
        assert taken is not None
        return taken

    def finish(self, pending: Pending[Lane]) -> None:
        """Do what a worker does with a frame that went well."""
        pending.frame.release()
        now_ns = self.clock.monotonic_ns()
        times = StageTimes(
            pending.frame.captured_ns, pending.received_ns, now_ns, now_ns, now_ns, now_ns
        )
        observation = Observation(
            "front", pending.frame.seq, 64, 36, ClockOrigin.READ, Detections.empty(), times
        )
        self.lane.submit(pending, observation)

    def dropped(self) -> dict[str, int]:
        counts = self.lane.ledger.counts()
        assert counts.conserved
        return {reason: count for reason, count in counts.dropped.items() if count}


def setting(*script: str | Exception, live: bool = True, **options: Any) -> Setting:
    clock = ManualClock()
    source = ScriptedSource(clock, script, live=live)
    pace, events, emitted = Pace(), list[CameraEvent](), list[Observation]()
    emitters: list[Lane] = []
    fields = {"filters": (), "on_event": events.append, **options}

    def emit(observation: Observation, lane: Lane) -> int:
        emitted.append(observation)
        emitters.append(lane)
        return 100 + len(emitted)

    lane = Lane(
        name="front", source=source, view=View(), emit=emit,
        clock=clock, pace=pace.lane(), **fields,
    )  # fmt: skip
    return Setting(clock, source, lane, Exchange((lane,)), pace, events, emitted, emitters)


GONE = SourceLostError("unplugged")


# --- lost and found again


def frames_for(seconds: float) -> list[str | Exception]:
    """So many frames, at a hundred a second."""
    return ["frame"] * (round(seconds * 100) + 1)


def test_a_loss_that_is_over_says_nothing_of_how_long_the_next_one_takes() -> None:
    """Eight losses with half a minute between: none is waited for longer than the first."""
    scene = setting(*[*frames_for(30), GONE] * 8, *frames_for(1))
    scene.run()
    back = [event.seconds for event in scene.events if event.kind == "camera_back"]
    assert len(back) == 8
    assert max(back) <= 0.5 + 0.02
    assert min(back) >= 0.25


def test_losses_with_less_than_half_a_minute_between_are_waited_for_longer() -> None:
    scene = setting(*[*frames_for(29.9), GONE] * 4, "frame")
    waits: list[float] = []

    def wait(event: threading.Event, seconds: float) -> bool:
        waits.append(seconds)
        scene.clock.advance(seconds)
        return event.is_set()

    scene.clock.wait = wait  # type: ignore[method-assign]
    scene.run()
    for seconds, longest in zip(waits, [0.5, 1, 2, 4], strict=True):
        assert longest / 2 <= seconds <= longest


def alerts_of_ten_minutes(script: list[str | Exception]) -> tuple[Setting, list[float]]:
    """Run a source that does this again and again; return when something was told, in seconds."""
    moments: list[float] = []

    def note(_: CameraEvent) -> None:
        moments.append(scene.clock.monotonic_ns() / 1e9)

    def again() -> Iterator[str | Exception]:
        while scene.clock.monotonic_ns() - began < 600 * 10**9:
            yield from script
        scene.stop.set()
        yield GONE

    scene = setting(on_event=note)
    began = scene.clock.monotonic_ns()
    scene.source._script = again()
    scene.run()
    return scene, [one - began / 1e9 for one in moments]


def test_a_source_that_ends_after_each_frame_is_lost_once_and_not_back() -> None:
    """As the address of a single picture does: it opens, gives one, and closes."""
    scene, moments = alerts_of_ten_minutes(["frame", GONE])
    assert len(moments) == 1
    assert scene.lane.lost_reason == "unplugged"
    assert scene.source.opened <= 600 / 15 + 10  # half of the longest wait, and the short ones


@pytest.mark.parametrize("seconds", [0.5, 0.99, 1.01, 2, 5, 20, 29.9])
def test_a_source_that_flaps_is_told_of_once(seconds: float) -> None:
    scene, moments = alerts_of_ten_minutes([*frames_for(seconds), GONE])
    assert len(moments) in {1, 3}  # lost; or lost, back, and lost for good
    assert scene.lane.lost_reason == "unplugged"


@pytest.mark.parametrize("seconds", [30.1, 45])
def test_one_that_holds_for_half_a_minute_is_told_of_each_time(seconds: float) -> None:
    _, moments = alerts_of_ten_minutes([*frames_for(seconds), GONE])
    assert len(moments) > 20
    assert all(sum(one <= other < one + 60 for other in moments) <= 4 for one in moments)


def test_a_camera_that_flapped_is_back_after_half_a_minute() -> None:
    script = [*frames_for(5), GONE, *frames_for(5), GONE, *frames_for(30), GONE, *frames_for(1)]
    scene = setting(*script)
    scene.run()
    assert [event.kind for event in scene.events] == ["camera_lost", "camera_back"] * 3
    assert scene.events[3].seconds <= 1.02  # until the frames came that went on


def test_a_camera_is_back_when_its_frames_have_come_for_a_second() -> None:
    scene = setting("frame", GONE, *frames_for(0.9))
    scene.run()
    assert [event.kind for event in scene.events] == ["camera_lost"]
    assert scene.lane.lost_reason == "unplugged"
    scene = setting("frame", GONE, *frames_for(1))
    scene.run()
    assert [event.kind for event in scene.events] == ["camera_lost", "camera_back"]
    assert scene.lane.lost_reason == ""


def test_a_slow_camera_is_back_with_its_second_frame() -> None:
    scene = setting("frame", GONE, "frame", "frame")
    read = scene.source.read

    def slow() -> Frame | None:
        scene.clock.advance(5)
        return read()

    scene.source.read = slow  # type: ignore[method-assign]
    scene.run()
    _, back = scene.events
    assert back.kind == "camera_back"
    assert 5.25 <= back.seconds <= 5.52  # gone until the first frame, not until it was believed


def test_a_camera_that_stays_away_is_tried_less_and_less_often() -> None:
    waits = []
    for failures in range(1, 12):
        scene = setting("frame", GONE, *frames_for(31))
        assert scene.capture()
        scene.source.refusals = [SourceUnavailableError("not there")] * failures
        scene.run()
        (back,) = [event.seconds for event in scene.events if event.kind == "camera_back"]
        waits.append(back)
    longest = [min(0.5 * 2**n, 30.0) for n in range(12)]
    for failures, waited in enumerate(waits, start=1):
        # as many waits as failures to open, and the one of the loss; half of each is chance
        most = sum(longest[: failures + 1])
        assert most / 2 <= waited <= most + 0.05


def test_a_long_loss_is_told_to_the_millisecond() -> None:
    scene = setting("frame", GONE, *frames_for(1))

    def wait(event: threading.Event, seconds: float) -> bool:
        scene.clock.advance(2_000_000)  # three weeks
        return event.is_set()

    scene.clock.wait = wait  # type: ignore[method-assign]
    scene.run()
    assert scene.events[1].seconds == 2_000_000.01  # and a frame's time


def test_a_loss_is_told_once_and_so_is_the_return() -> None:
    scene = setting("frame", GONE, *frames_for(3))
    scene.run()
    lost, back = scene.events
    assert lost == CameraEvent("front", "camera_lost", reason="unplugged")
    assert (back.camera, back.kind, back.reason) == ("front", "camera_back", "")
    assert 0.25 <= back.seconds <= 0.52
    assert back.seconds == round(back.seconds, 3)
    assert scene.lane.lost_reason == ""
    assert scene.source.opened == 2
    assert scene.source.closed == 2  # after the loss, and at the end


def test_the_first_reason_is_the_one_that_is_told() -> None:
    seen: list[tuple[str, str]] = []

    def note(event: CameraEvent) -> None:
        seen.append((event.kind, scene.lane.lost_reason))

    scene = setting(*frames_for(1), GONE, on_event=note)
    scene.source.refusals = [SourceUnavailableError("busy"), SourceUnavailableError("not there")]
    scene.run()
    assert seen == [("camera_lost", "busy"), ("camera_back", ""), ("camera_lost", "unplugged")]


def test_while_it_is_away_the_lane_says_why_and_waits_openly() -> None:
    scene = setting()
    scene.source.refusals = [SourceUnavailableError("not there")]
    said = []

    def wait(event: threading.Event, seconds: float) -> bool:
        said.append((scene.lane.lost_reason, scene.lane.heartbeat.waiting_for, seconds))
        scene.clock.advance(seconds - 0.001)  # the declared wait lasts as long as the wait
        assert scene.lane.heartbeat.waiting_for == "the camera to come back"
        return event.is_set()

    scene.clock.wait = wait  # type: ignore[method-assign]
    scene.run()
    ((reason, waiting_for, seconds),) = said
    assert (reason, waiting_for) == ("not there", "the camera to come back")
    assert 0.25 <= seconds <= 0.5


def test_what_cannot_be_cured_ends_the_lane_and_closes_the_source() -> None:
    scene = setting("frame", MediaError("no video"))
    with pytest.raises(MediaError, match="no video"):
        scene.run()
    assert scene.source.closed == 1
    assert scene.events == []
    assert not scene.lane.heartbeat.ended
    assert not scene.lane.ended.is_set()


def test_a_file_that_never_gave_a_frame_ends_the_lane() -> None:
    scene = setting(live=False)
    scene.source.refusals = [SourceUnavailableError("not there")]
    with pytest.raises(SourceUnavailableError):
        scene.run()


def test_a_stream_that_gave_frames_is_opened_again() -> None:
    scene = setting("frame", GONE, live=False)
    with taking(scene):
        scene.run()
    assert [event.kind for event in scene.events] == ["camera_lost"]
    assert scene.source.opened == 2


@contextmanager
def taking(scene: Setting) -> Iterator[None]:
    """Take and finish every frame meanwhile, for a lane that waits for workers."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            if pending := scene.exchange.take(0.05):
                scene.finish(pending)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def test_stopping_ends_the_wait_for_a_camera() -> None:
    def stop(_: CameraEvent) -> None:
        scene.stop.set()

    scene = setting(on_event=stop)
    scene.source.refusals = [SourceUnavailableError("not there")] * 100
    scene.run()
    assert scene.source.opened == 1
    assert not scene.lane.ended.is_set()
    assert not scene.lane.heartbeat.ended


def test_the_end_of_a_source_is_the_end_of_its_lane() -> None:
    scene = setting("frame", "frame")
    scene.run()
    assert scene.lane.ended.is_set()
    assert scene.lane.heartbeat.ended
    assert scene.source.opened == 1
    assert scene.source.closed == 1
    assert scene.lane.ledger.counts().captured == 2


def test_a_lane_that_was_stopped_opens_nothing() -> None:
    scene = setting("frame")
    scene.stop.set()
    scene.run()
    assert scene.source.opened == 0
    assert scene.source.closed == 1


# --- waits that are declared, so that nobody takes them for a hang


@pytest.mark.parametrize(("open_seconds", "declared"), [(None, STALL_SECONDS), (40.0, 40.0)])
def test_opening_is_given_the_time_it_needs(open_seconds: float | None, declared: float) -> None:
    scene = setting()
    if open_seconds:
        scene.source.open_seconds = open_seconds  # type: ignore[attr-defined]
        scene = again(scene)
    heart, told = scene.lane.heartbeat, []

    def look() -> None:
        scene.clock.advance(declared - 0.1)
        told.append(heart.waiting_for)
        scene.clock.advance(0.2)
        told.append(heart.waiting_for)

    scene.source.open = look  # type: ignore[method-assign]
    scene.run()
    assert told == ["opening the camera", ""]


def again(scene: Setting) -> Setting:
    """The same with a lane made anew, which asks the source how long it needs."""
    scene.lane = Lane(
        name="front", source=scene.source, view=View(), filters=(),
        emit=lambda *_: 0, on_event=scene.events.append, clock=scene.clock,
    )  # fmt: skip
    scene.exchange.add(scene.lane)
    return scene


def test_reading_is_a_declared_wait() -> None:
    scene = setting("frame")
    read, told = scene.source.read, []

    def slow() -> Frame | None:
        scene.clock.advance(STALL_SECONDS - 0.1)
        told.append(scene.lane.heartbeat.waiting_for)
        scene.clock.advance(0.2)
        told.append(scene.lane.heartbeat.waiting_for)
        return read()

    scene.source.read = slow  # type: ignore[method-assign]
    assert scene.capture()
    assert told == ["a frame", ""]


def test_each_frame_is_a_sign_of_life_whatever_becomes_of_it() -> None:
    scene = setting("frame", FrameError("broken"), "frame", "frame")
    scene.pace.target_fps = 0.1  # the first is worked on, the others are not
    told = []
    for _ in range(4):
        scene.capture()
        told.append(scene.lane.heartbeat.waiting_for)
    assert told == [""] * 4
    assert scene.dropped() == {"corrupt": 1, "governed": 2}


# --- what is left out, and why


def test_the_newest_live_frame_replaces_the_one_that_waits() -> None:
    scene = setting("frame", "frame", "frame")
    assert all(scene.capture() for _ in range(3))
    assert scene.dropped() == {"superseded": 2}
    assert scene.source.released == [0, 1]
    assert scene.take().frame.seq == 2


def test_a_frame_that_comes_after_the_end_is_booked_as_such() -> None:
    scene = setting("frame")
    scene.exchange.close()
    assert scene.capture()
    assert scene.dropped() == {"shutdown": 1}
    assert scene.source.released == [0]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(FrameError("x"), "corrupt"), (NotInferredError("x"), "not_inferred")],
)
def test_a_frame_that_cannot_be_used_is_booked_and_the_next_is_read(
    error: Exception, reason: str
) -> None:
    scene = setting(error, "frame")
    assert scene.capture()
    assert scene.dropped() == {reason: 1}
    assert scene.capture()
    assert scene.take().number == 1
    window = scene.lane.statistics.roll()
    assert window.captured == 2


def test_frames_beyond_the_pace_are_booked_and_released() -> None:
    scene = setting(*["frame"] * 100)
    scene.pace.target_fps = 10.0  # the source gives a hundred
    for _ in range(100):
        scene.capture()
        if (pending := scene.exchange.take(0)) is not None:
            scene.finish(pending)
    dropped = scene.dropped()
    assert set(dropped) == {"governed"}
    assert dropped["governed"] == pytest.approx(90, abs=2)
    assert len(scene.source.released) == 100


def test_frames_in_which_nothing_moved_are_left_out() -> None:
    scene = setting(
        "dark", "dark", "bright", "bright", gate=MotionGate(View(), 0.01, keepalive_seconds=60)
    )
    taken = []
    for _ in range(4):
        scene.capture()
        if (pending := scene.exchange.take(0)) is not None:
            taken.append(pending.frame.seq)
            scene.finish(pending)
    assert taken == [0, 2]
    assert scene.dropped() == {"gated": 2}
    window = scene.lane.statistics.roll()
    assert (window.captured, window.gated) == (4, 2)
    assert sorted(scene.source.released) == [0, 1, 2, 3]


def test_a_failed_inference_lets_the_next_frame_through_the_gate() -> None:
    scene = setting("dark", "dark", "dark", gate=MotionGate(View(), 0.01, keepalive_seconds=60))
    scene.capture()
    pending = scene.take()
    pending.frame.release()
    scene.lane.fail(pending, "detector_error")
    scene.capture()
    scene.finish(scene.take())
    scene.capture()
    assert scene.dropped() == {"detector_error": 1, "gated": 1}


def test_a_frame_that_the_pace_refused_was_not_looked_at() -> None:
    """What moved in it must still count as new in the next one."""
    scene = setting("dark", "bright", "bright", gate=MotionGate(View(), 0.01, keepalive_seconds=60))
    scene.pace.target_fps = 0.1
    scene.capture()
    scene.finish(scene.take())
    scene.capture()
    scene.pace.target_fps = None
    scene.capture()
    assert scene.dropped() == {"governed": 1}
    assert scene.take().frame.seq == 2


def test_what_a_camera_saw_by_itself_passes_the_gate() -> None:
    scene = setting("seen", "seen", "seen", gate=MotionGate(View(), 0.01, keepalive_seconds=60))
    for _ in range(3):
        scene.capture()
        scene.finish(scene.take())
    assert scene.dropped() == {}


# --- what is left behind for whoever asks whether results are coming


def test_results_and_what_is_as_good_are_noted() -> None:
    scene = setting("dark", "dark", "dark", gate=MotionGate(View(), 0.01, keepalive_seconds=60))
    progress = scene.lane.progress
    scene.capture()
    scene.capture()  # nothing moved, but the first one is not answered yet
    moments = [progress.result_ns]
    scene.finish(scene.take())
    moments.append(progress.result_ns)
    scene.clock.advance(1)
    scene.capture()
    moments.append(progress.result_ns)
    assert moments == [None, scene.emitted[0].times.done_ns, scene.clock.monotonic_ns()]


def test_a_camera_that_is_away_can_give_no_results() -> None:
    opened: list[int | None] = []

    def note(_: CameraEvent) -> None:
        opened.append(scene.lane.progress.opened_ns)

    scene = setting("frame", GONE, *frames_for(1), on_event=note)
    scene.run()
    lost, back = opened
    assert lost is None
    assert back is not None
    assert back == scene.lane.progress.opened_ns


@pytest.mark.parametrize(("live", "told"), [(True, 1), (False, 0)])
def test_the_same_picture_for_too_long_is_told_of_live_cameras(live: bool, told: int) -> None:
    changes: list[bool] = []

    def note() -> None:
        changes.append(scene.lane.picture.frozen)

    scene = setting(*["frame"] * 200, live=live, frozen_seconds=lambda: 1.0, on_change=note)
    for _ in range(150):
        scene.capture()
        if (pending := scene.exchange.take(0)) is not None:
            scene.finish(pending)
    assert changes == [True] * told
    assert scene.lane.picture.frozen is bool(told)


def test_a_camera_that_was_opened_again_is_not_frozen() -> None:
    scene = setting(*["frame"] * 150, GONE, "frame", frozen_seconds=lambda: 1.0)
    scene.run()
    assert not scene.lane.picture.frozen


def test_pictures_are_not_compared_unless_asked() -> None:
    scene = setting(*["frame"] * 1000)
    assert scene.lane.period_seconds == 0
    for _ in range(1000):
        scene.capture()
    assert not scene.lane.picture.frozen


# --- what goes on over a reload


def test_a_camera_lost_before_a_reload_is_back_after_it_and_not_lost_twice() -> None:
    old = setting(GONE)
    old.run()
    assert [event.kind for event in old.events] == ["camera_lost"]
    other = SourceLostError("not there either")
    new = setting(other, *frames_for(1.5), before=old.lane)
    assert new.lane.lost_reason == "unplugged"
    new.run()
    assert [event.kind for event in new.events] == ["camera_back"]
    assert new.lane.lost_reason == ""


def test_why_a_camera_is_still_lost_after_a_reload_is_the_new_reason() -> None:
    old = setting(GONE)
    old.run()
    new = setting(SourceLostError("another address"), before=old.lane)
    new.run()
    assert new.events == []
    assert new.lane.lost_reason == "another address"


def test_numbers_of_frames_and_books_go_on() -> None:
    old = setting("frame", "frame", "frame")
    old.run()
    new = setting("frame", "frame", before=old.lane)
    new.capture()
    pending = new.exchange.take(0)
    assert pending is not None
    assert pending.frame.seq == 3
    assert new.lane.next_seq == 4
    assert new.lane.ledger.counts().captured == 4


def test_what_came_before_a_reload_is_in_the_window_that_ends_after_it() -> None:
    old = setting("frame", "frame", "frame")
    old.run()
    new = setting("frame", before=old.lane)
    new.capture()
    assert new.lane.statistics.roll().captured == new.lane.ledger.counts().captured == 4


# --- sources that can wait


def test_a_file_waits_for_its_turn_and_loses_nothing() -> None:
    scene = setting("frame", "frame", "frame", live=False)
    scene.pace.target_fps = 2.0
    moments = []
    for _ in range(3):
        assert scene.capture()
        moments.append(scene.clock.monotonic_ns() / 1e9)
        scene.finish(scene.take())
    gaps = np.diff(moments)
    assert gaps == pytest.approx([0.5, 0.5], abs=0.02)
    assert scene.dropped() == {}


def test_a_long_turn_is_waited_for_in_steps_of_which_each_is_declared() -> None:
    """So that a pace that quickens, or the end, is noticed meanwhile."""
    scene = setting("frame", "frame", live=False)
    scene.pace.target_fps = 0.1
    scene.capture()
    scene.finish(scene.take())
    steps = []

    def wait(event: threading.Event, seconds: float) -> bool:
        steps.append((scene.lane.heartbeat.waiting_for, seconds))
        scene.clock.advance(seconds)
        if len(steps) == 4:
            scene.stop.set()
        return event.is_set()

    scene.clock.wait = wait  # type: ignore[method-assign]
    scene.capture()
    assert steps == [("its turn", 0.5)] * 4


def test_a_file_whose_slot_is_full_waits_and_ends_when_told() -> None:
    scene = setting("frame", "frame", live=False)
    assert scene.capture()
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(scene.capture()))
    thread.start()
    wait_for(lambda: scene.lane.heartbeat.waiting_for == "a free worker")
    assert scene.lane.ledger.counts().in_flight == 2
    scene.stop.set()
    scene.exchange.close()
    thread.join(10)
    assert results == [False]
    assert scene.dropped() == {"shutdown": 1}
    assert scene.source.released == [1]


def test_a_file_whose_slot_is_full_goes_on_when_it_is_taken() -> None:
    scene = setting("frame", "frame", live=False)
    assert scene.capture()
    with taking(scene):
        assert scene.capture()
    wait_for(lambda: len(scene.emitted) == 2)
    assert scene.dropped() == {}


# --- results


class Marking:
    """A filter that leaves its name in the observation's."""

    wants_picture = False

    def __init__(self, mark: str) -> None:
        self._mark = mark

    def apply(self, observation: Observation) -> Observation:
        times = observation.times
        return Observation(
            observation.camera, observation.frame_seq, observation.width, observation.height,
            observation.origin, observation.detections, times, observation.name + self._mark,
        )  # fmt: skip


class Looking(Marking):
    wants_picture = True


def test_results_go_through_the_filters_in_their_order() -> None:
    scene = setting("frame", filters=(Marking("a"), Marking("b")))
    scene.capture()
    pending = scene.take()
    scene.finish(pending)
    assert [one.name for one in scene.emitted] == ["ab"]


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [((), False), ((Marking("a"),), False), ((Marking("a"), Looking("b")), True)],
)
def test_pictures_are_kept_for_filters_that_want_them(
    filters: tuple[Marking, ...], *, wanted: bool
) -> None:
    assert setting(filters=filters).lane.wants_picture is wanted


def test_a_result_is_finished_when_the_filters_are_and_booked_with_its_number() -> None:
    scene = setting("frame")
    scene.capture()
    pending = scene.take()
    assert pending.received_ns == scene.clock.monotonic_ns()
    pending.frame.release()
    stamps = [pending.frame.captured_ns, pending.received_ns] + [pending.received_ns] * 4
    scene.clock.advance(0.25)
    observation = Observation(
        "front", 0, 64, 36, ClockOrigin.READ, Detections.empty(), StageTimes(*stamps)
    )
    scene.lane.submit(pending, observation)
    (emitted,) = scene.emitted
    assert scene.emitters == [scene.lane]
    assert emitted.times.done_ns == scene.clock.monotonic_ns()
    window = scene.lane.statistics.roll()
    assert (window.frames, window.first_seq) == (1, 101)
    assert window.latency is not None
    assert window.latency.max == 250
    counts = scene.lane.ledger.counts()
    assert (counts.processed, counts.in_flight) == (1, 0)


def test_results_leave_in_the_order_of_their_frames_and_failures_make_way() -> None:
    scene = setting("frame", "frame", "frame", "frame")
    taken = []
    for _ in range(4):
        scene.capture()
        taken.append(scene.take())
    scene.finish(taken[3])
    scene.finish(taken[1])
    assert scene.emitted == []
    scene.lane.fail(taken[0], "unusable")
    assert [one.frame_seq for one in scene.emitted] == [1]
    scene.lane.fail(taken[2], "detector_error")
    assert [one.frame_seq for one in scene.emitted] == [1, 3]
    assert scene.dropped() == {"unusable": 1, "detector_error": 1}


def test_a_lane_without_a_pace_is_not_held_back() -> None:
    scene = again(setting(*["frame"] * 5))
    for _ in range(5):
        scene.capture()
    assert scene.dropped() == {"superseded": 4}


def test_a_lane_says_what_it_is() -> None:
    scene = setting()
    assert scene.lane.name == "front"
    assert scene.lane.heartbeat.name == "capture front"
    assert scene.lane.view == View()
    assert scene.lane.gate is None
    scene.clock.advance(0.5)
    window = scene.lane.statistics.roll()
    assert window.seconds == 0.5
