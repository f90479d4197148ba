"""Go on without the accelerator, and back to it: one switch for all workers, told in alerts.

A worker whose accelerator is lost runs the very same picture on the fallback. While the fallback
runs, the switch tries every ``retry_seconds`` to open and prove the accelerator again; the workers
change over between two pictures. The process never restarts for it.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from appliance.errors import ApplianceError, DetectorError, DetectorLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.accelerators import Detector
    from appliance.clock import Clock
    from appliance.models import Model
    from appliance.values import Detections, Pixels

log = logging.getLogger(__name__)

MOST_ERRORS = 3
"""Failed inferences in a row that count as a loss: many runtimes say no more than "error"."""


@dataclass(frozen=True, slots=True)
class AcceleratorEvent:
    """The accelerator was lost and another took over, or it came back.

    Attributes:
        kind: what happened.
        accelerator: the one lost, or back.
        running: the one that runs from now on.
        reason: why it was lost; empty when it is back.
        seconds: how long it was gone, when it is back.
    """

    kind: Literal["failover", "failback"]
    accelerator: str
    running: str
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class DetectorMaker:
    """Where detectors come from.

    Attributes:
        accelerator: its name.
        open: returns a new detector; raises ApplianceError.
        confirm: proves that it may be trusted again; raises ApplianceError.
        model: what it runs.
    """

    accelerator: str
    open: Callable[[], Detector]
    model: Callable[[], Model]
    confirm: Callable[[], None] = lambda: None


class Switch:
    """Thread-safe.

    Args:
        primary: the accelerator that was chosen.
        fallback: what runs while it is away.
        slots: how many workers there are.
        retry_seconds: between two attempts to get the accelerator back.
        on_event: told of each change, once.
        clock: the appliance's clock.
        lost_reason: why the accelerator is away from the start; empty if it is there.
    """

    def __init__(
        self,
        primary: DetectorMaker,
        fallback: DetectorMaker,
        *,
        slots: int,
        retry_seconds: float,
        on_event: Callable[[AcceleratorEvent], None],
        clock: Clock,
        lost_reason: str = "",
    ) -> None:
        self._primary = primary
        self._fallback = fallback
        self._slots = slots
        self._retry_seconds = retry_seconds
        self._on_event = on_event
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._ready: list[Detector] = []
        self._lost_ns = clock.monotonic_ns()
        self._looking = False
        self.generation = 0
        self.lost_reason = lost_reason

    @property
    def running(self) -> str:
        """Return the accelerator in use."""
        return (self._fallback if self.lost_reason else self._primary).accelerator

    def running_model(self) -> Model:
        """Return the model in use.

        Raises:
            ModelError: its file is gone meanwhile.
        """
        return (self._fallback if self.lost_reason else self._primary).model()

    @property
    def primary(self) -> str:
        """Return the accelerator that should run."""
        return self._primary.accelerator

    def start(self) -> None:
        """Begin to look for an accelerator that is away from the start; safe to call twice."""
        with self._lock:
            reason = self.lost_reason
            if not reason or self._looking:
                return
            self._looking = True
        event = AcceleratorEvent("failover", self.primary, self._fallback.accelerator, reason)
        self._on_event(event)
        self._look_for_it()

    def take(self) -> tuple[int, Detector]:
        """Return a detector of what runs now, and the generation it belongs to.

        Raises:
            ApplianceError: it cannot be opened.
        """
        with self._lock:
            generation, away = self.generation, bool(self.lost_reason)
            if not away and self._ready:
                return generation, self._ready.pop()
        return generation, (self._fallback if away else self._primary).open()

    def lost(self, generation: int, reason: str) -> None:
        """Note that a detector of ``generation`` lost its accelerator; the first one counts."""
        with self._lock:
            if generation != self.generation or self.lost_reason:
                return
            self.generation += 1
            self.lost_reason = reason
            self._looking = True
            self._lost_ns = self._clock.monotonic_ns()
            left, self._ready = self._ready, []
        for detector in left:
            detector.close()
        log.warning("%s; going on with %s", reason, self._fallback.accelerator)
        event = AcceleratorEvent("failover", self.primary, self._fallback.accelerator, reason)
        self._on_event(event)
        self._look_for_it()

    def close(self) -> None:
        """Stop looking; close what nobody took."""
        self._closed.set()
        with self._lock:
            ready, self._ready = self._ready, []
        for detector in ready:
            detector.close()

    def _look_for_it(self) -> None:
        threading.Thread(target=self._retry, name="accelerator retry", daemon=True).start()

    def _retry(self) -> None:
        while not self._clock.wait(self._closed, self._retry_seconds):
            try:
                if self._try_again():
                    return
            except Exception:
                log.exception("trying %s again failed; going on", self.primary)

    def _try_again(self) -> bool:
        opened: list[Detector] = []
        try:
            self._primary.confirm()
            opened.extend(self._primary.open() for _ in range(self._slots))
        except ApplianceError as error:
            log.info("%s is still away: %s", self.primary, error)
            for detector in opened:
                detector.close()
            return False
        with self._lock:
            seconds = (self._clock.monotonic_ns() - self._lost_ns) / 1e9
            self.generation += 1
            self.lost_reason = ""
            self._looking = False
            self._ready = opened
        if self._closed.is_set():
            self.close()
            return True
        log.info("accelerator %s is back after %.1f s", self.primary, seconds)
        self._on_event(
            AcceleratorEvent("failback", self.primary, self.primary, seconds=round(seconds, 3))
        )
        return True


class FailoverDetector:
    """A worker's detector that changes over when its switch says so, or when it is lost.

    Args:
        switch: shared by all workers.
    """

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._errors = 0
        try:
            self._generation, self._detector = switch.take()
        except ApplianceError as error:  # it was proved once, and does not open now
            switch.lost(switch.generation, str(error))
            self._generation, self._detector = switch.take()

    @property
    def accelerator(self) -> str:
        return self._detector.accelerator

    @property
    def model_id(self) -> str:
        return self._detector.model_id

    @property
    def input_size(self) -> tuple[int, int]:
        """Return width, height of what runs now."""
        return self._detector.input_size

    @property
    def degraded(self) -> str:
        """Return why what runs now is less than promised."""
        return self._detector.degraded

    @contextmanager
    def input(self) -> Iterator[Pixels]:
        """Change over if another accelerator runs now, then yield its picture."""
        if self._generation != self._switch.generation:
            self._detector.close()
            self._generation, self._detector = self._switch.take()
        with self._detector.input() as picture:
            yield picture

    def infer(self) -> None:
        """Run; on loss run the same picture on the fallback.

        Raises:
            DetectorError: this picture cannot be run.
        """
        try:
            self._detector.infer()
        except DetectorError as error:
            self._errors += 1
            if not isinstance(error, DetectorLostError) and self._errors < MOST_ERRORS:
                raise
            picture = _copy(self._detector)
            self._detector.close()
            self._switch.lost(self._generation, str(error))
            self._generation, self._detector = self._switch.take()
            if picture is None or picture.shape[1::-1] != self._detector.input_size:
                raise DetectorError(f"{error}; this picture is lost with it") from error
            _fill(self._detector, picture)
            self._detector.infer()
        self._errors = 0

    def detections(self, score_threshold: float) -> Detections:
        """Decode what ran last."""
        return self._detector.detections(score_threshold)

    def close(self) -> None:
        self._detector.close()


def _copy(detector: Detector) -> Pixels | None:
    try:
        with detector.input() as picture:
            return np.array(picture)
    except DetectorError:
        return None


def _fill(detector: Detector, picture: Pixels) -> None:
    """Load the picture; the view must not outlive this call."""
    with detector.input() as tensor:
        tensor[:] = picture
