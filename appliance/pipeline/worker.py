"""A worker: takes a frame, runs the detector on it, hands in the result."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from appliance.clock import NS_PER_SECOND
from appliance.errors import DetectorError, FrameError
from appliance.pipeline.heartbeat import BUSY_SECONDS, Heartbeat
from appliance.values import Detections, Observation, Pixels, Seen, StageTimes
from appliance.vision.preprocess import Placement, Preprocessor, boxes_to_source, same_boxes

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from appliance.accelerators import Detector
    from appliance.clock import Clock
    from appliance.models import Vocabulary
    from appliance.pipeline.exchange import Exchange, Pending
    from appliance.pipeline.lane import Lane

IDLE_SECONDS = 0.5
INFERENCE_SECONDS, LONGEST_SECONDS = 10.0, 30.0
USUAL_TIMES = 10
"""A frame may take so many times the longest one so far from preprocessing to hand-off before the
worker counts as hung, within these two: an accelerator may be lost (4 s) and its picture run on the
fallback in the shorter; the slowest published board (a Pi 3 with Tiny YOLO) needs 2 s, and the
first frame, in the middle of a slow board's boot, may take the longer."""
CLOSE_SECONDS = 5.0
"""Longest that closing a detector may take; a child gets 1 s before it is killed."""
MAX_CONSECUTIVE_ERRORS = 10
_INFERENCE = "the inference"


class Worker:
    """One thread's share of the work; owns its detector and scratch pictures.

    Args:
        name: of the thread.
        detector: used by this worker only.
        vocabulary: label ids for what cameras that detect by themselves report.
        score_threshold: lowest score that counts.
        clock: the appliance's clock.
        may_work: False while the governor lets this worker rest.

    Attributes:
        score_threshold: may be changed while it works.
    """

    def __init__(
        self,
        *,
        name: str,
        detector: Detector,
        vocabulary: Vocabulary,
        score_threshold: float,
        clock: Clock,
        may_work: Callable[[], bool] = lambda: True,
    ) -> None:
        self.heartbeat = Heartbeat(name, clock)
        self.detector = detector
        self._vocabulary = vocabulary
        self.score_threshold = score_threshold
        self._clock = clock
        # Of a camera that changed, another lane comes: it may look elsewhere.
        self._preprocessors: WeakKeyDictionary[Lane, dict[tuple[int, int], Preprocessor]] = (
            WeakKeyDictionary()
        )
        self._errors = 0
        self._may_work = may_work
        self._bound_seconds = LONGEST_SECONDS
        self._longest_ns = 0

    @property
    def busy(self) -> bool:
        """Say whether a frame is being worked on."""
        return self.heartbeat.waiting_for == _INFERENCE

    def run(self, exchange: Exchange[Lane], stop: threading.Event) -> None:
        """Work until ``stop`` is set."""
        try:
            while not stop.is_set():
                self.heartbeat.wait("a frame", IDLE_SECONDS + BUSY_SECONDS)
                if self._may_work():
                    self.work_one(exchange, IDLE_SECONDS)
                else:
                    self._clock.wait(stop, IDLE_SECONDS)
        finally:
            self.heartbeat.wait("the accelerator to close", CLOSE_SECONDS)
            self.detector.close()

    def work_one(self, exchange: Exchange[Lane], timeout: float) -> bool:
        """Process one frame, waiting up to ``timeout`` seconds for it; say whether one came.

        Raises:
            DetectorError: inference failed ``MAX_CONSECUTIVE_ERRORS`` times in a row.
        """
        pending = exchange.take(timeout)
        if pending is None:
            return False
        began_ns = self._clock.monotonic_ns()
        self.heartbeat.wait(_INFERENCE, self._bound_seconds)
        try:
            observation = self._process(pending)
        except FrameError:
            pending.lane.fail(pending, "unusable")
        except DetectorError:
            pending.lane.fail(pending, "detector_error")
            self._errors += 1
            if self._errors >= MAX_CONSECUTIVE_ERRORS:
                raise
        except BaseException:  # this thread ends; a camera that goes on must not wait for it
            pending.lane.fail(pending, "detector_error")
            raise
        else:
            self._errors = 0
            pending.lane.submit(pending, observation)
            self._learn(self._clock.monotonic_ns() - began_ns)
        self.heartbeat.beat()
        return True

    def _learn(self, took_ns: int) -> None:
        """Derive from the longest time of a frame when the next counts as hung."""
        if took_ns > self._longest_ns:
            self._longest_ns = took_ns
            usual = USUAL_TIMES * took_ns / NS_PER_SECOND
            self._bound_seconds = min(max(usual, INFERENCE_SECONDS), LONGEST_SECONDS)

    def _process(self, pending: Pending[Lane]) -> Observation:
        frame, clock = pending.frame, self._clock
        if frame.seen is not None:
            return self._pass_through(pending, frame.seen)
        taken_ns = clock.monotonic_ns()
        kept = None
        try:
            plan, size, picture = self._load(pending)
            if pending.lane.keeps_frames:
                kept = frame.kept()
        finally:
            frame.release()
        preprocessed_ns = clock.monotonic_ns()
        self.detector.infer()
        inferred_ns = clock.monotonic_ns()
        seen = self.detector.detections(self.score_threshold)
        if same_boxes(plan, *size):
            detections = seen
        else:
            boxes = boxes_to_source(seen.boxes, plan, *size)
            detections = Detections.of(boxes, seen.scores, seen.label_ids)
        return Observation(
            camera=pending.lane.name,
            frame_seq=frame.seq,
            width=plan.upright[0],
            height=plan.upright[1],
            origin=frame.origin,
            detections=detections,
            times=StageTimes(
                captured_ns=frame.captured_ns,
                received_ns=pending.received_ns,
                taken_ns=taken_ns,
                preprocessed_ns=preprocessed_ns,
                inferred_ns=inferred_ns,
                done_ns=clock.monotonic_ns(),
            ),
            name=frame.name,
            picture=picture,
            accelerator=self.detector.accelerator,
            model_id=self.detector.model_id,
            frame=kept,
        )

    def _pass_through(self, pending: Pending[Lane], seen: Seen) -> Observation:
        """Return what the camera itself saw; no stage of ours took part."""
        frame, now_ns = pending.frame, self._clock.monotonic_ns()
        kept = frame.kept() if pending.lane.keeps_frames else None
        frame.release()
        ids = np.asarray([self._vocabulary.id_of(name) for name in seen.names], np.int32)
        found = Detections.of(seen.boxes, seen.scores, ids)
        return Observation(
            camera=pending.lane.name,
            frame_seq=frame.seq,
            width=frame.width,
            height=frame.height,
            origin=frame.origin,
            detections=found.where(found.scores >= self.score_threshold),
            times=StageTimes(
                captured_ns=frame.captured_ns,
                received_ns=pending.received_ns,
                taken_ns=now_ns,
                preprocessed_ns=now_ns,
                inferred_ns=now_ns,
                done_ns=now_ns,
            ),
            name=frame.name,
            accelerator=seen.accelerator,
            model_id=seen.model_id,
            frame=kept,
        )

    def _load(self, pending: Pending[Lane]) -> tuple[Placement, tuple[int, int], Pixels | None]:
        """Write the frame into the detector's input; the view must not outlive this call."""
        lane = pending.lane
        with self.detector.input() as tensor:
            size = (tensor.shape[1], tensor.shape[0])  # it changes with the accelerator
            of_lane = self._preprocessors.setdefault(lane, {})
            if size not in of_lane:
                of_lane[size] = Preprocessor(lane.view, *size)
            plan = of_lane[size].run(pending.frame, tensor)
            picture = np.array(tensor) if lane.wants_picture else None
        return plan, size, picture
