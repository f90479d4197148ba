"""Are results coming? Sound cameras of every pace are never blamed; each fault is, in time."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from hypothesis import assume, given
from hypothesis import strategies as st

from appliance.clock import NS_PER_SECOND
from appliance.daemon.camerawatch import USUAL_INTERVALS, CameraState, CameraWatch
from appliance.pipeline import Counts
from appliance.pipeline.progress import Progress

if TYPE_CHECKING:
    from appliance.reports.problems import Problem

TICK_SECONDS = 0.5


@dataclass
class Camera:
    """A camera on paper: frames at instants, each with what became of it."""

    fps: float = 20.0
    configured_fps: float = 20.0
    expected: bool = True
    now: float = 1.0
    captured: int = 0
    processed: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    watch: CameraWatch = field(default_factory=lambda: CameraWatch("door"))
    said: list[tuple[float, tuple[Problem, ...]]] = field(default_factory=list)
    _next_frame: float = 1.0

    def __post_init__(self) -> None:
        self.progress.opened(self._ns(self.now))

    @staticmethod
    def _ns(seconds: float) -> int:
        return round(seconds * NS_PER_SECOND)

    def run(self, seconds: float, *fates: str, frozen: float = 0.0) -> None:
        """Let time pass; the frames meet the fates in turn ("" is processed, "none" never came)."""
        end, number = self.now + seconds, 0
        while self.now < end:
            tick = self.now + TICK_SECONDS
            while self._next_frame <= tick:
                self._fate(fates[number % len(fates)] if fates else "")
                number += 1
                self._next_frame += 1 / self.fps
            self.now = tick
            self.look(frozen)

    def _fate(self, fate: str) -> None:
        if fate == "none":
            return
        self.captured += 1
        if fate:
            self.dropped[fate] = self.dropped.get(fate, 0) + 1
            if fate == "gated":
                self.progress.still(self._ns(self._next_frame))
        else:
            self.processed += 1
            self.progress.result(self._ns(self._next_frame))

    def look(self, frozen: float = 0.0) -> None:
        state = CameraState(
            expected=self.expected,
            opened_ns=self.progress.opened_ns,
            result_ns=self.progress.result_ns,
            interval_seconds=self.progress.interval_seconds,
            period_seconds=1 / self.configured_fps,
            frozen_seconds=frozen,
            counts=Counts(self.captured, self.processed, 0, dict(self.dropped)),
        )
        self.said.append((self.now, self.watch.look(state, self._ns(self.now))))

    def kinds(self) -> list[str]:
        """What was said, each kind once, in order."""
        kinds = [problem.kind for _, problems in self.said for problem in problems]
        return list(dict.fromkeys(kinds))

    def last(self) -> str:
        return "; ".join(problem.text for problem in self.said[-1][1])


def first_said(camera: Camera, after: float) -> float:
    return next(now for now, problems in camera.said if problems and now > after)


@given(
    fps=st.floats(0.2, 60),
    configured=st.floats(0.2, 60),
    fates=st.lists(st.sampled_from(["", "superseded", "governed", "gated"]), max_size=8),
)
def test_a_sound_camera_is_never_blamed(fps: float, configured: float, fates: list[str]) -> None:
    # Five usual intervals without a result are a fault, if the usual one is a single frame's.
    runs = [len(list(run)) for is_dropped, run in groupby(map(bool, fates)) if is_dropped]
    assume(max(runs, default=0) < USUAL_INTERVALS - 1)
    camera = Camera(fps=fps, configured_fps=min(configured, fps * 4))
    camera.run(60 + 5 / fps, *fates, "")
    assert camera.kinds() == []


@given(fps=st.floats(1, 60), fault=st.sampled_from(["corrupt", "detector_error", "none", "lost"]))
def test_silence_is_told_within_its_limit_with_what_became_of_the_frames(
    fps: float, fault: str
) -> None:
    camera = Camera(fps=fps, configured_fps=fps)
    camera.run(30)
    began = camera.now
    fate = "superseded" if fault == "lost" else fault
    camera.run(30 + 20 / fps, fate)
    told = first_said(camera, began)
    limit = max(2.0, 10 / fps)
    assert limit - 1 / fps - 1e-6 <= told - began <= limit + 2 * TICK_SECONDS
    assert camera.kinds() == ["no_results"]  # one fault, one word
    words = {"none": "no frames come", "lost": "frames come, none is finished"}
    assert words.get(fault, f"{fault} ") in camera.last()
    camera.run(5)
    assert camera.said[-1][1] == ()
    assert camera.kinds() == ["no_results"]


def test_its_own_pace_is_the_measure() -> None:
    slow = Camera(fps=0.5, configured_fps=30)  # a result every 2 s, whatever was configured
    slow.run(60)
    assert slow.kinds() == []
    began = slow.now
    slow.run(20, "none")
    assert 8 <= first_said(slow, began) - began <= 11  # five of its intervals


def test_the_first_result_may_take_longer() -> None:
    camera = Camera()
    camera.run(9.5, "none")
    assert camera.kinds() == []
    camera.run(2, "none")
    assert camera.kinds() == ["no_results"]


def test_a_camera_slower_than_configured_may_take_ten_of_its_own_periods_at_first() -> None:
    camera = Camera(fps=0.25, configured_fps=1)
    camera.run(60, "superseded", "superseded", "")
    assert camera.kinds() == []
    never = Camera(fps=0.25, configured_fps=1)
    began = never.now
    never.run(90, "superseded")
    assert 38 <= first_said(never, began) - began <= 62


def test_a_pause_is_no_silence_and_the_time_after_it_counts_from_its_end() -> None:
    camera = Camera()
    camera.run(10)
    camera.expected = False
    camera.run(60, "governed")
    camera.expected = True
    camera.run(1.5, "none")
    assert camera.kinds() == []
    camera.run(1.5, "none")
    assert camera.kinds() == ["no_results"]


def test_a_process_that_stood_still_blames_nobody() -> None:
    camera = Camera()
    camera.run(10)
    camera.now += 40
    camera._next_frame += 40
    camera.look()
    camera.run(5)
    assert camera.kinds() == []


@given(
    failed=st.integers(
        2, 9
    ),  # one in ten is the border itself: a window holds a little more or less
    kind=st.sampled_from(["corrupt", "unusable", "detector_error"]),
    fps=st.floats(5, 30),
)
def test_a_share_that_fails_is_told_with_its_size(failed: int, kind: str, fps: float) -> None:
    camera = Camera(fps=fps, configured_fps=fps)
    camera.run(10)
    began = camera.now
    camera.run(30, *([kind] * failed), *([""] * (10 - failed)))
    assert camera.kinds() == ["failing"]
    if failed >= 3:  # one in ten takes the whole window to tell
        assert first_said(camera, began) - began <= 5
    share = int(camera.last().split("%")[0].rsplit(" ", 1)[1])
    assert abs(share - 10 * failed) <= 8  # the window does not end with a whole ten
    assert kind in camera.last()
    camera.run(12)
    assert camera.said[-1][1] == ()


def test_a_few_bad_frames_are_no_fault() -> None:
    camera = Camera()
    camera.run(10)
    camera.run(60, "corrupt", *([""] * 24))  # one in 25: a webcam on a long cable
    assert camera.kinds() == []


def test_what_the_governor_and_the_gate_leave_out_does_not_fail() -> None:
    camera = Camera()
    camera.run(60, "governed", "gated", "not_inferred", "superseded", "")
    assert camera.kinds() == []


def test_a_frozen_picture_is_told_although_results_come() -> None:
    camera = Camera()
    camera.run(10)
    camera.run(1, frozen=5.0)
    assert camera.kinds() == ["frozen"]
    assert "more than 5 s" in camera.last()


def test_the_gate_hides_no_missing_result() -> None:
    camera = Camera()
    camera.run(10)
    camera.progress.admitted(camera._ns(camera.now))  # let through, and never finished
    camera.run(5, "gated")
    assert camera.kinds() == ["no_results"]


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=40))
def test_the_usual_interval_is_the_middle_one_of_the_last_sixteen(stamps: list[int]) -> None:
    stamps = sorted(stamps)
    progress = Progress()
    progress.opened(0)
    for stamp in stamps:
        progress.result(stamp)
    gaps = sorted(later - earlier for earlier, later in pairwise(stamps[-16:]))
    if not gaps:
        assert progress.interval_seconds is None
        return
    middle = (gaps[(len(gaps) - 1) // 2] + gaps[len(gaps) // 2]) / 2
    assert progress.interval_seconds is not None
    assert abs(progress.interval_seconds - middle / NS_PER_SECOND) < 1e-9
    progress.opened(stamps[-1])
    assert progress.interval_seconds is None
