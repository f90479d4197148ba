"""Are results coming from a camera? Judged from what was counted, never from silence of errors.

Pure: numbers and moments in, problems out. One for each camera, looked at about twice a second.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.clock import NS_PER_SECOND
from appliance.reports.problems import Problem

if TYPE_CHECKING:
    from appliance.pipeline import Counts

SHORTEST_SECONDS = 2.0
PERIODS = 10
USUAL_INTERVALS = 5
"""No result for longer than 2 s, ten frame periods and five of its usual intervals is too long."""
FIRST_SECONDS, LONGEST_FIRST_SECONDS = 10.0, 60.0
"""For the first result after opening: network cameras send a key frame every few seconds. One whose
frames come further apart than configured may take ten of its own periods, up to a minute."""
WINDOW_SECONDS = 10.0
FAILING_SHARE, SOUND_SHARE = 0.10, 0.05
FEWEST_FAILED = 3
"""So many frames, and this share of them, must fail within the window; told until it is half."""
FAILURES = ("corrupt", "unusable", "detector_error")
"""Drop reasons that are faults; the others are choices."""
STOOD_STILL_SECONDS = 3.0
"""Nobody looked for so long: the process was stopped, or the machine slept."""


@dataclass(frozen=True, slots=True)
class CameraState:
    """What is known of a camera at one moment.

    Attributes:
        expected: it is open, neither lost nor ended nor paused, and workers do not rest.
        opened_ns: when frames could come first; None while closed.
        result_ns: of the last result; None before the first.
        interval_seconds: usual time between two results; None before there were two.
        period_seconds: between two frames that may be worked on, as configured or eased.
        frozen_seconds: the picture has been the same for at least so long; 0 if it changes.
        counts: the books.
    """

    expected: bool
    opened_ns: int | None
    result_ns: int | None
    interval_seconds: float | None
    period_seconds: float
    frozen_seconds: float
    counts: Counts


@dataclass(frozen=True, slots=True)
class _Sample:
    at_ns: int
    captured: int
    processed: int
    failed: dict[str, int]

    @property
    def failures(self) -> int:
        return sum(self.failed.values())


class CameraWatch:
    """Are results coming from a camera? Judged from what was counted, never from silence of errors.

    Args:
        name: of the camera.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._samples: deque[_Sample] = deque()
        self._since_ns: int | None = None
        self._looked_ns: int | None = None
        self._processed_at_fault: int | None = None
        self._failing = False
        self._silent = False
        self._opened: tuple[int, int] | None = None

    def look(self, state: CameraState, now_ns: int) -> tuple[Problem, ...]:
        slept = self._looked_ns is None or (
            now_ns - self._looked_ns > STOOD_STILL_SECONDS * NS_PER_SECOND
        )
        self._looked_ns = now_ns
        self._sample(state.counts, now_ns)
        if slept or not state.expected or state.opened_ns is None:
            self._since_ns = now_ns
            self._begin_anew()
            return ()
        missing = self._no_results(state, now_ns)
        if missing is not None:
            self._silent = True
            return (missing,)
        if self._silent:
            self._begin_anew()  # what failed before was told as the silence
        found = (self._frozen(state), self._share_failing())
        return tuple(problem for problem in found if problem)

    def _begin_anew(self) -> None:
        self._silent = False
        self._failing, self._processed_at_fault = False, None
        self._samples = deque(list(self._samples)[-1:])

    def _sample(self, counts: Counts, now_ns: int) -> None:
        failed = {name: counts.dropped.get(name, 0) for name in FAILURES}
        self._samples.append(_Sample(now_ns, counts.captured, counts.processed, failed))
        oldest_ns = now_ns - round(WINDOW_SECONDS * NS_PER_SECOND)
        while len(self._samples) > 2 and self._samples[1].at_ns <= oldest_ns:
            self._samples.popleft()

    def _no_results(self, state: CameraState, now_ns: int) -> Problem | None:
        marks = (state.result_ns, state.opened_ns, self._since_ns)
        since_ns = max(mark for mark in marks if mark is not None)
        if state.interval_seconds is None:
            own = min(PERIODS * self._frame_seconds(state, now_ns), LONGEST_FIRST_SECONDS)
            limit = max(FIRST_SECONDS, PERIODS * state.period_seconds, own)
        else:
            usual = USUAL_INTERVALS * state.interval_seconds
            limit = max(SHORTEST_SECONDS, PERIODS * state.period_seconds, usual)
        silent = (now_ns - since_ns) / NS_PER_SECOND
        if silent <= limit:
            return None
        text = f"camera {self._name}: no results for {silent:.0f} s ({self._why(since_ns)})"
        return Problem("no_results", self._name, text)

    def _frame_seconds(self, state: CameraState, now_ns: int) -> float:
        """Return the time between two frames since the camera was opened; 0 without any."""
        if self._opened is None or self._opened[0] != state.opened_ns:
            self._opened = (state.opened_ns or now_ns, state.counts.captured)
        opened_ns, before = self._opened
        frames = state.counts.captured - before
        return (now_ns - opened_ns) / NS_PER_SECOND / frames if frames else 0.0

    def _why(self, since_ns: int) -> str:
        """Return what became of the frames since the last result."""
        last = self._samples[-1]
        first = next((one for one in self._samples if one.at_ns >= since_ns), last)
        parts = [
            f"{name} {last.failed[name] - first.failed[name]}"
            for name in FAILURES
            if last.failed[name] > first.failed[name]
        ]
        if not parts and last.captured == first.captured:
            return "no frames come"
        return ", ".join(parts) or "frames come, none is finished"

    def _frozen(self, state: CameraState) -> Problem | None:
        if not state.frozen_seconds:
            return None
        text = (
            f"camera {self._name}: the same picture, to the bit, for more than "
            f"{state.frozen_seconds:g} s"
        )
        return Problem("frozen", self._name, text)

    def _share_failing(self) -> Problem | None:
        """Return the share of frames that fail, once a result came in spite of them."""
        first, last = self._samples[0], self._samples[-1]
        failed = last.failures - first.failures
        done = last.processed - first.processed
        share = failed / (failed + done) if failed + done else 0.0
        enough = failed >= FEWEST_FAILED and share >= FAILING_SHARE
        if share < SOUND_SHARE or not failed:
            self._failing, self._processed_at_fault = False, None
        elif enough and not self._failing:
            if self._processed_at_fault is None:
                self._processed_at_fault = last.processed
            self._failing = last.processed > self._processed_at_fault
        if not self._failing:
            return None
        parts = ", ".join(
            f"{name} {last.failed[name] - first.failed[name]}"
            for name in FAILURES
            if last.failed[name] > first.failed[name]
        )
        text = (
            f"camera {self._name}: {share:.0%} of frames fail ({parts} of {failed + done} "
            f"in {(last.at_ns - first.at_ns) / NS_PER_SECOND:.0f} s)"
        )
        return Problem("failing", self._name, text)
