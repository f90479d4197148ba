"""One camera's way through the pipeline: capture, recovery, order, filters, books."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from appliance.backoff import Backoff
from appliance.clock import NS_PER_SECOND
from appliance.errors import ApplianceError, FrameError, NotInferredError
from appliance.filters import Timed
from appliance.pipeline.exchange import Exchange, Pending
from appliance.pipeline.heartbeat import Heartbeat
from appliance.pipeline.ledger import DropReason, FrameLedger
from appliance.pipeline.pace import LanePace, Pace
from appliance.pipeline.progress import Progress, StillPicture
from appliance.pipeline.sequencer import Sequencer
from appliance.pipeline.statistics import WindowStatistics
from appliance.sources import SlowToOpen

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.clock import Clock
    from appliance.filters import Filter
    from appliance.sources import Source
    from appliance.values import Frame, Observation
    from appliance.values.happened import Ending, Happened
    from appliance.vision.mask import Mask
    from appliance.vision.motion import MotionGate
    from appliance.vision.preprocess import View

log = logging.getLogger(__name__)

STALL_SECONDS = 10.5
"""Longest that a source's ``read`` may take: OpenCV's V4L2 gives up after 10 s."""
FROZEN_SECONDS = 5.0
"""A sensor's noise makes no two pictures alike for so long."""
REOPEN_FIRST_SECONDS = 0.5
REOPEN_LONGEST_SECONDS = 30.0
BACK_SECONDS = 1.0
"""A lost camera is back when its frames have come for so long: one frame is no camera."""
STEADY_SECONDS = 30.0
"""After so long the next loss is a new one; one that comes earlier is the same fault."""
_OFFER_SECONDS = 0.5
_REST_SECONDS = 0.5
_END_SECONDS = 5.0
"""A result is delivered in milliseconds; who takes longer hangs, and is told as hung."""


@dataclass(frozen=True, slots=True)
class CameraEvent:
    """A camera was lost or came back.

    Attributes:
        camera: its name.
        kind: what happened.
        reason: why it was lost; empty when it is back.
        seconds: how long it was gone, when it is back.
    """

    camera: str
    kind: Literal["camera_lost", "camera_back"]
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """A worker's result on its way into order."""

    observation: Observation
    number: int


class Lane:
    """One camera's way through the pipeline: capture, recovery, order, filters, books.

    Args:
        index: number of the camera in the exchange.
        name: of the camera.
        source: its source, unopened.
        view: how it looks at the world.
        filters: applied in this order.
        emit: takes each finished observation, returns the number of its message; None where none
            was wanted.
        tell: takes what happened between two results.
        on_event: told when the camera is lost and when it is back.
        pace: this camera's share of what the governor allows.
        gate: leaves out frames in which nothing moved; None to look at all.
        mask: blanks what nobody may see; None where everything may be.
        period_seconds: between two frames, as configured.
        frozen_seconds: after how long the same picture is a fault; 0 never is.
        on_change: told when there is something new in what is wrong.
        keeps_frames: results carry their frames, for pictures of them.
        before: this camera's lane before a reload, stopped: its books, window, numbers and the
            loss of its camera go on.
        clock: the appliance's clock.

    Attributes:
        emit: as above; may be changed while it runs.
        rests: nobody looks, as the owner asked.
    """

    def __init__(
        self,
        *,
        name: str,
        source: Source,
        view: View,
        filters: tuple[Filter, ...],
        emit: Callable[[Observation, Lane], int | None],
        tell: Callable[[Happened, Lane], None] = lambda _happened, _lane: None,
        on_event: Callable[[CameraEvent], None],
        clock: Clock,
        pace: LanePace | None = None,
        gate: MotionGate | None = None,
        mask: Mask | None = None,
        keeps_frames: bool = False,
        period_seconds: float = 0.0,
        frozen_seconds: Callable[[], float] = lambda: 0.0,
        on_change: Callable[[], None] = lambda: None,
        before: Lane | None = None,
    ) -> None:
        self.name = name
        self.source = source
        self.view = view
        self.ledger: FrameLedger = before.ledger if before else FrameLedger()
        self._first_seq: int = before.next_seq if before else 0
        self.next_seq: int = self._first_seq
        self.statistics: WindowStatistics = before.statistics if before else WindowStatistics(clock)
        self.heartbeat = Heartbeat(f"capture {name}", clock)
        self.progress = Progress()
        self.period_seconds = period_seconds
        self.picture = StillPicture(frozen_seconds if source.live else lambda: 0.0)
        self._open_seconds = (
            source.open_seconds if isinstance(source, SlowToOpen) else STALL_SECONDS
        )
        self.ended = threading.Event()
        self.lost_reason: str = before.lost_reason if before else ""
        self.lost_ns: int | None = before.lost_ns if before else None
        self._inherited = self.lost_ns is not None
        self.use_filters(filters)
        self.emit = emit
        self._tell = tell
        self._on_event = on_event
        self._on_change = on_change
        self._clock = clock
        self.pace = pace or Pace().lane()
        self.gate = gate
        self._mask = mask
        self.keeps_frames = keeps_frames
        self._sequencer: Sequencer[Result] = Sequencer(self._deliver)
        self._backoff = Backoff(REOPEN_FIRST_SECONDS, REOPEN_LONGEST_SECONDS)
        self._first_ns: int | None = None
        self._doubted = self._flaps = False
        self._started = False
        self.rests = False
        self._called = threading.Event()

    def use_filters(self, filters: tuple[Filter, ...]) -> None:
        """Apply these from the next result on."""
        self.wants_picture = any(one.wants_picture for one in filters)
        self._filters = filters

    def rest(self, *, rests: bool) -> None:
        """Close the camera and look no more, or look again; takes effect at the next frame."""
        if rests == self.rests:
            return
        self.rests = rests
        if rests:
            self.end("unwatched")
            self._called.clear()
        else:
            self._called.set()

    def tick(self) -> None:
        """Let filters that remember know that time passes."""
        now_ns = self._clock.monotonic_ns()
        self._sequencer.between(lambda: self._ask(lambda one: one.tick(now_ns)))

    def end(self, ending: Ending) -> None:
        """Say what ends, and why: no result comes any more."""

        def work() -> None:
            now_ns = self._clock.monotonic_ns()
            self._ask(lambda one: one.end(ending, now_ns))

        self._sequencer.between(work, _END_SECONDS)

    def again(self) -> None:
        """Have told once more what is told on change only: somebody new listens."""

        def work() -> None:
            for one in self._filters:
                if isinstance(one, Timed):
                    one.again()

        self._sequencer.between(work, _END_SECONDS)

    def change_filters(self, filters: tuple[Filter, ...], then: Callable[[], None]) -> None:
        """Apply others from the next result on; what those remember that go ends.

        Args:
            filters: in their order; some may be among those that are applied now.
            then: done before another result is delivered.
        """

        def work() -> None:
            now_ns = self._clock.monotonic_ns()
            staying = {id(one) for one in filters}
            self._ask(lambda one: None if id(one) in staying else one.end("stopped", now_ns))
            self.use_filters(filters)
            then()

        self._sequencer.between(work, _END_SECONDS)

    def _ask(self, question: Callable[[Timed], Happened | None]) -> None:
        for one in self._filters:
            happened = question(one) if isinstance(one, Timed) else None
            if happened:
                self._tell(happened, self)

    def run(self, exchange: Exchange[Lane], stop: threading.Event) -> None:
        """Capture until the source ends or ``stop`` is set; reopen it when it is lost.

        Raises:
            ApplianceError: the source failed in a way that trying again cannot cure.
        """
        try:
            while not stop.is_set() and not self.ended.is_set():
                if self.rests:
                    self._rest(stop)
                    continue
                try:
                    self.heartbeat.wait("opening the camera", self._open_seconds)
                    self.source.open()
                    self.picture.forget()
                    self.progress.opened(self._clock.monotonic_ns())
                    self._capture_until_lost(exchange, stop)
                except ApplianceError as error:
                    self._recover(error, stop)
        finally:
            self.heartbeat.ended = self.ended.is_set()
            self.source.close()

    def capture_one(self, exchange: Exchange[Lane], stop: threading.Event) -> bool:
        """Move one frame from the source to the exchange; False at the source's end."""
        if not self.source.live:
            self._wait_for_turn(stop)
        self.heartbeat.wait("a frame", STALL_SECONDS)
        try:
            frame = self._read()
        except FrameError as error:
            self.statistics.captured()
            reason: DropReason = (
                "not_inferred" if isinstance(error, NotInferredError) else "corrupt"
            )
            self.ledger.drop(self.ledger.capture(), reason)
            self.heartbeat.beat()
            log.debug("camera %s: %s", self.name, error)
            return True
        if frame is None:
            self.ended.set()
            return False
        if self._first_seq:
            frame = replace(frame, seq=frame.seq + self._first_seq)
        self.next_seq = frame.seq + 1
        self._note_alive()
        self.statistics.captured()
        number = self.ledger.capture()
        refusal = self._refusal(frame)
        if refusal is not None:
            frame.release()
            self.ledger.drop(number, refusal)
            self.heartbeat.beat()
            return True
        pending = Pending(self, frame, number, self._clock.monotonic_ns())
        self.heartbeat.beat()
        if self.source.live:
            old = exchange.replace(pending)
            if old is not None:
                self.discard(old, "superseded" if old is not pending else "shutdown")
            return True
        while not exchange.offer(pending, _OFFER_SECONDS):
            if stop.is_set():
                self.discard(pending, "shutdown")
                return False
            self.heartbeat.wait("a free worker", STALL_SECONDS)
        return True

    def _read(self) -> Frame | None:
        """Return the next frame as everybody may see it."""
        frame = self.source.read()
        return frame if frame is None or self._mask is None else self._mask.apply(frame)

    def _refusal(self, frame: Frame) -> DropReason | None:
        """Return why the frame is not worked on; None if it is."""
        now_ns = self._clock.monotonic_ns()
        if self.rests:
            return "paused"
        if self.picture.look(frame, now_ns):
            self._on_change()
        gate = self.gate if frame.seen is None else None
        if gate is not None and not gate.moved(frame, now_ns):
            self.statistics.gated()
            self.progress.still(now_ns)
            return "gated"
        if not self.pace.admits(now_ns) and self.source.live:
            return "governed"
        if gate is not None:
            gate.accept(now_ns)
            self.progress.admitted(now_ns)
        return None

    def _wait_for_turn(self, stop: threading.Event) -> None:
        """Let a source that can wait keep the governor's pace."""
        while not stop.is_set():
            seconds = self.pace.seconds_until_due(self._clock.monotonic_ns())
            if seconds <= 0:
                return
            self.heartbeat.wait("its turn", STALL_SECONDS)
            self._clock.wait(stop, min(seconds, _OFFER_SECONDS))

    def discard(self, pending: Pending[Lane], reason: DropReason) -> None:
        """Release a frame without a result."""
        pending.frame.release()
        self.ledger.drop(pending.number, reason)

    def submit(self, pending: Pending[Lane], observation: Observation) -> None:
        """Hand in a result; it goes on when all earlier ones have."""
        self._sequencer.submit(pending.ticket, Result(observation, pending.number))

    def fail(self, pending: Pending[Lane], reason: DropReason) -> None:
        """Say that a taken frame (already released) will have no result."""
        if self.gate is not None:
            self.gate.forget()
        self.ledger.drop(pending.number, reason)
        self._sequencer.submit(pending.ticket, None)

    def _deliver(self, result: Result) -> None:
        if self.rests:
            self.ledger.drop(result.number, "paused")
            return
        observation = result.observation
        for one in self._filters:
            observation = one.apply(observation)
        observation = observation.finished(self._clock.monotonic_ns())
        message_seq = self.emit(observation, self)
        self.progress.result(observation.times.done_ns)
        self.statistics.processed(observation, message_seq)
        self.ledger.process(result.number)

    def _rest(self, stop: threading.Event) -> None:
        """Let the camera go until somebody wants to look again; a file is read on from there."""
        if self.source.live:
            self.progress.closed()
            self.source.close()
            self._first_ns = None
        while self.rests and not stop.is_set():
            self.heartbeat.wait("to be looked at again", _REST_SECONDS * 3)
            self._clock.wait(self._called, _REST_SECONDS)

    def _capture_until_lost(self, exchange: Exchange[Lane], stop: threading.Event) -> None:
        while not stop.is_set():
            if self.rests:
                if self.source.live:
                    return
                self._rest(stop)
                continue
            if not self.capture_one(exchange, stop):
                return

    def _recover(self, error: ApplianceError, stop: threading.Event) -> None:
        if not error.retryable or (not self.source.live and not self._started):
            raise error
        self.progress.closed()
        self.source.close()
        self._first_ns = None
        if self.lost_ns is None:
            self.lost_ns = self._clock.monotonic_ns()
            self._flaps = self._doubted
            self.lost_reason = str(error)
            log.warning("camera %s lost: %s", self.name, error)
            self._on_event(CameraEvent(self.name, "camera_lost", reason=str(error)))
        elif self._inherited:  # lost before a reload, and now perhaps for another reason
            self.lost_reason = str(error)
        self._inherited = False
        seconds = self._backoff.next()
        self.heartbeat.wait("the camera to come back", seconds)
        self._clock.wait(stop, seconds)

    def _note_alive(self) -> None:
        """Note a frame: after enough of them the camera is back, and after more it is steady."""
        self._started = True
        now_ns = self._clock.monotonic_ns()
        if self._first_ns is None:
            self._first_ns = now_ns
        seconds = (now_ns - self._first_ns) / NS_PER_SECOND
        if self.lost_ns is not None and seconds >= self._doubt_seconds:
            self._note_back(self.lost_ns, self._first_ns)
        if seconds >= STEADY_SECONDS:
            self._backoff.reset()
            self._doubted = False

    @property
    def _doubt_seconds(self) -> float:
        """Return for how long frames have to come until a lost camera is back."""
        return STEADY_SECONDS if self._flaps else BACK_SECONDS

    def _note_back(self, lost_ns: int, first_ns: int) -> None:
        seconds = (first_ns - lost_ns) / NS_PER_SECOND
        self.lost_ns = None
        self.lost_reason = ""
        self._doubted = True
        log.info("camera %s is back after %.1f s", self.name, seconds)
        self._on_event(CameraEvent(self.name, "camera_back", seconds=round(seconds, 3)))
