"""Prove an accelerator: known pictures must come out right, and then it is timed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from appliance.accelerators import Shared
from appliance.clock import NS_PER_MS, NS_PER_SECOND
from appliance.errors import ApplianceError
from appliance.selection.parity import SCORE_THRESHOLD, differences, misses
from appliance.sources.pictures.scene import Scene, TrueBox
from appliance.values import Frame, PixelFormat
from appliance.vision.preprocess import Preprocessor, View

if TYPE_CHECKING:
    from appliance.accelerators import Accelerator, Detector
    from appliance.clock import Clock
    from appliance.models import Model
    from appliance.selection.worker_layout import WorkerLayout
    from appliance.values import Detections

GOLDEN_SIZE = (640, 480)
GOLDEN_SEED = 1
GOLDEN_SECONDS = (0.0, 2.0)
"""Two instants of the synthetic scene in which 8 and 32 bit models agree well; two, so that an
accelerator which always gives the same answer is found out."""
WARM_UP = 3
BENCHMARK_SECONDS = 0.7
LARGEST_BENCHMARK = 200


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What proving an accelerator with a model gave.

    Attributes:
        accelerator, model_id: what was proved.
        right: whether what it sees is right; None where nothing is there to compare with.
        reason: why it is refused or degraded, or what it was compared with and how much of the
            model the accelerator took.
        fps: inferences a second of all workers together; 0 where it was not timed.
        inference_ms: median of one.
        degraded: it runs, but not on what it promises.
    """

    accelerator: str
    model_id: str
    right: bool | None
    reason: str
    fps: float = 0.0
    inference_ms: float = 0.0
    degraded: bool = False


class Prover:
    """Runs the golden pictures and the micro-benchmark.

    Args:
        reference: the CPU, which everything is compared with.
        clock: times the inferences.
    """

    def __init__(self, reference: Accelerator, clock: Clock) -> None:
        self._reference = reference
        self._clock = clock

    def prove(
        self, accelerator: Accelerator, model: Model, twin: Model | None, layout: WorkerLayout
    ) -> Proof:
        """Return the proof; an accelerator that fails is a proof too, never an exception.

        Args:
            accelerator: to prove.
            model: that it takes.
            twin: the same weights for the reference; None where there is none.
            layout: to time it with.
        """
        detectors: list[Detector] = []
        try:
            detectors.append(accelerator.open(model, threads=layout.threads))
            right, reason = self.judge(detectors[0], model, twin)
            degraded = detectors[0].degraded
            share = detectors[0].share if isinstance(detectors[0], Shared) else ""
            if right is False:
                return self._refusal(accelerator, model, reason)
            while len(detectors) < layout.workers:
                detectors.append(accelerator.open(model, threads=layout.threads))
            fps, inference_ms = self._time(detectors)
        except ApplianceError as error:
            return self._refusal(accelerator, model, str(error))
        finally:
            for detector in detectors:
                detector.close()
        return Proof(
            accelerator=accelerator.name,
            model_id=model.id,
            right=right,
            reason=degraded or (f"{reason}, {share}" if share else reason),
            fps=round(fps, 2),
            inference_ms=round(inference_ms, 3),
            degraded=bool(degraded),
        )

    def judge(
        self, detector: Detector, model: Model, twin: Model | None
    ) -> tuple[bool | None, str]:
        """Return whether the detector sees what it should, and what was found.

        Raises:
            ApplianceError: it cannot run at all.
        """
        pictures = [golden_frame(seconds) for seconds in GOLDEN_SECONDS]
        got = [look(detector, picture) for picture, _ in pictures]
        if twin is not None:
            other = self._reference.open(twin, threads=1)
            try:
                expected = [look(other, picture) for picture, _ in pictures]
            finally:
                other.close()
            wrong = next((d for d in map(differences, got, expected) if d), "")
            return not wrong, wrong or f"agrees with {twin.id} on the {self._reference.name}"
        known = {name for name in model.labels.names if name}
        if not all(one.label in known for _, truth in pictures for one in truth):
            return None, "not compared: its labels are others than the golden pictures'"
        for seen, (_, truth) in zip(got, pictures, strict=True):
            names = tuple(model.labels.name(int(number)) for number in seen.label_ids)
            wrong = misses(seen, names, truth)
            if wrong:
                return False, wrong
        return True, "sees what is in the golden pictures"

    def _time(self, detectors: list[Detector]) -> tuple[float, float]:
        """Return inferences a second of all together, and the median of one in milliseconds."""
        for detector in detectors:
            for _ in range(WARM_UP):
                detector.infer()
        durations: list[list[int]] = [[] for _ in detectors]
        failures: list[ApplianceError] = []
        began_ns = self._clock.monotonic_ns()
        end_ns = began_ns + round(BENCHMARK_SECONDS * NS_PER_SECOND)

        def work(detector: Detector, mine: list[int]) -> None:
            before_ns = self._clock.monotonic_ns()
            try:
                while before_ns < end_ns and len(mine) < LARGEST_BENCHMARK:
                    detector.infer()
                    after_ns = self._clock.monotonic_ns()
                    mine.append(after_ns - before_ns)
                    before_ns = after_ns
            except ApplianceError as error:
                failures.append(error)

        threads = [
            threading.Thread(target=work, args=pair)
            for pair in zip(detectors, durations, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        elapsed_ns = max(self._clock.monotonic_ns() - began_ns, 1)
        every = [duration for mine in durations for duration in mine]
        median_ms = float(np.median(every)) / NS_PER_MS if every else 0.0
        return len(every) * NS_PER_SECOND / elapsed_ns, median_ms

    @staticmethod
    def _refusal(accelerator: Accelerator, model: Model, reason: str) -> Proof:
        return Proof(accelerator=accelerator.name, model_id=model.id, right=False, reason=reason)


def golden_frame(
    seconds: float, size: tuple[int, int] = GOLDEN_SIZE
) -> tuple[Frame, tuple[TrueBox, ...]]:
    """Return an instant of the golden scene in any size (width, height), and what is in it."""
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    truth = Scene(width, height, GOLDEN_SEED).render(seconds, picture)
    return Frame((picture,), PixelFormat.BGR24, width, height, captured_ns=0, seq=0), truth


def look(detector: Detector, frame: Frame) -> Detections:
    """Return what the detector sees in a frame; boxes in 0..1 of it.

    Raises:
        ApplianceError: it cannot run.
    """
    load_frame(detector, frame)
    detector.infer()
    return detector.detections(SCORE_THRESHOLD)


def load_frame(detector: Detector, frame: Frame) -> None:
    """Resize the frame into the input; the view must not outlive this call."""
    with detector.input() as tensor:
        Preprocessor(View(), *detector.input_size).run(frame, tensor)
