"""Try layouts: the whole of a worker's work, layouts taking turns, within a time budget."""

from __future__ import annotations

import statistics
import threading
from typing import TYPE_CHECKING

import numpy as np

from appliance.clock import NS_PER_MS, NS_PER_SECOND
from appliance.errors import ApplianceError, DetectorError
from appliance.selection.proof import golden_frame
from appliance.selection.worker_layout import Trial
from appliance.vision.preprocess import Preprocessor, View

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.accelerators import Accelerator, Detector
    from appliance.clock import Clock
    from appliance.models import Model
    from appliance.selection.proof import Prover
    from appliance.selection.worker_layout import WorkerLayout
    from appliance.values import Frame

ROUNDS = 3
BUDGET_SECONDS = 8.0
START_SECONDS = 30.0
"""Longest that a turn's detectors may take; what takes longer is refused as a hang."""
TIMED_SIZE = (1280, 720)
_SLICE_SECONDS = 0.6
_WARM_UP = 2
_SCORE_THRESHOLD = 0.5


class LayoutMeter:
    """Try layouts: the whole of a worker's work, layouts taking turns, within a time budget.

    Args:
        prover: judges what each layout sees.
        clock: times it.
        stop: set to give up early; what was measured by then counts.
        before_turn: called before each turn; may take its time.
    """

    def __init__(
        self,
        prover: Prover,
        clock: Clock,
        stop: threading.Event,
        before_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._prover = prover
        self._clock = clock
        self._stop = stop
        self._before_turn = before_turn

    def measure(
        self,
        accelerator: Accelerator,
        model: Model,
        twin: Model | None,
        layouts: Sequence[WorkerLayout],
        budget_seconds: float = BUDGET_SECONDS,
    ) -> tuple[Trial, ...]:
        """Return a trial of each layout; one that cannot be opened is wrong with its reason.

        Every layout gets one turn at least; after that only whole rounds within the budget, which
        counts the turns alone, so that no layout is favoured.
        """
        rounds: dict[WorkerLayout, list[Trial]] = {layout: [] for layout in layouts}
        spent_ns = 0
        for number in range(ROUNDS):
            if number and spent_ns >= budget_seconds * NS_PER_SECOND:
                break
            for layout, its in rounds.items():
                if self._stop.is_set() or (its and its[-1].wrong):
                    continue
                self._before_turn()
                if self._stop.is_set():
                    break
                began_ns = self._clock.monotonic_ns()
                its.append(self._turn(accelerator, model, twin, layout, judge=number == 0))
                spent_ns += self._clock.monotonic_ns() - began_ns
        return tuple(_median(its) for its in rounds.values() if its)

    def _turn(
        self,
        accelerator: Accelerator,
        model: Model,
        twin: Model | None,
        layout: WorkerLayout,
        *,
        judge: bool,
    ) -> Trial:
        """Open the layout's detectors, judge the first, run all for a slice, close them."""
        detectors: list[Detector] = []
        try:
            for _ in range(layout.workers):
                detectors.append(accelerator.open(model, threads=layout.threads))  # noqa: PERF401 - one by one, so that a failure closes the others
            if judge:
                right, why = self._prover.judge(detectors[0], model, twin)
                if right is False:
                    return _failed(layout, why)
            return self._run(detectors, layout)
        except ApplianceError as error:
            return _failed(layout, str(error))
        finally:
            for detector in detectors:
                detector.close()

    def _run(self, detectors: list[Detector], layout: WorkerLayout) -> Trial:
        """Run all detectors for a slice of time; the rate is that of frames between two stamps."""
        frame, _ = golden_frame(0.0, TIMED_SIZE)
        spans: list[tuple[int, int]] = []
        failures: list[Exception] = []
        gate = threading.Barrier(len(detectors), timeout=START_SECONDS)

        def work(detector: Detector) -> None:
            try:
                frame_work = _frame_work(detector, frame)
                for _ in range(_WARM_UP):
                    frame_work()
                gate.wait()
                before_ns = self._clock.monotonic_ns()
                end_ns = before_ns + round(_SLICE_SECONDS * NS_PER_SECOND)
                while not failures and before_ns < end_ns:
                    frame_work()
                    after_ns = self._clock.monotonic_ns()
                    spans.append((before_ns, after_ns))
                    before_ns = after_ns
            except Exception as error:  # noqa: BLE001 - told as the layout's reason, never lost
                failures.append(error)
                gate.abort()

        threads = [threading.Thread(target=work, args=(one,), daemon=True) for one in detectors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(START_SECONDS)
        if failures or any(thread.is_alive() for thread in threads):
            broken = threading.BrokenBarrierError
            told = next((one for one in failures if not isinstance(one, broken)), None)
            raise DetectorError(str(told or f"no frame within {START_SECONDS:g} s"))
        ended = sorted(after for _, after in spans)
        elapsed_ns = max(1, ended[-1] - min(before for before, _ in spans))
        return Trial(
            workers=layout.workers,
            threads=layout.threads,
            fps=round(len(spans) * NS_PER_SECOND / elapsed_ns, 2),
            frame_ms=round(float(np.median([b - a for a, b in spans])) / NS_PER_MS, 3),
        )


def _frame_work(detector: Detector, frame: Frame) -> Callable[[], None]:
    """Return what a worker does with one frame: resize, infer, decode."""
    preprocessor = Preprocessor(View(), *detector.input_size)

    def load() -> None:
        with detector.input() as tensor:
            preprocessor.run(frame, tensor)

    def work() -> None:
        load()
        detector.infer()
        detector.detections(_SCORE_THRESHOLD)

    return work


def _failed(layout: WorkerLayout, why: str) -> Trial:
    return Trial(workers=layout.workers, threads=layout.threads, fps=0, frame_ms=0, wrong=why)


def _median(its: list[Trial]) -> Trial:
    """Return the median of the turns; one that failed speaks for all."""
    last = its[-1]
    if last.wrong:
        return last
    return Trial(
        workers=last.workers,
        threads=last.threads,
        fps=statistics.median(one.fps for one in its),
        frame_ms=statistics.median(one.frame_ms for one in its),
    )
