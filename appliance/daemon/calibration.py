"""Measures, once and in the background, which layout of workers and threads is best here.

The unit starts at once with a safe layout. When it has settled, its workers rest for some seconds
(cameras go on, their frames are superseded), the layouts take turns, and the best is kept for every
later start with the same model, runtime, board and CPUs. Where that takes long, on slow boards, it
is done in several sittings with pauses for work.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from appliance.clock import NS_PER_SECOND
from appliance.daemon.tuning import give_back_memory
from appliance.errors import ApplianceError
from appliance.pipeline.worker import INFERENCE_SECONDS
from appliance.selection.choose import detects_by_itself, make_selector

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.daemon.unit import Unit
    from appliance.selection import Selection

log = logging.getLogger(__name__)

SETTLE_SECONDS = 60.0
"""From the start: what a boot still does by then is over, and the processor is warm."""
ATTEMPTS = 3
"""Where measuring itself makes a board throttle, the unit goes on as it is until its next start."""
SITTING_SECONDS = 15.0
PAUSE_SECONDS = 30.0
LONGEST_REST_SECONDS = 60.0
"""Workers go on by themselves after that, whatever became of the turn."""
_REST_SECONDS = 0.6
"""Until every idle worker has noticed that it shall rest."""


class Calibration:
    """Measures, once and in the background, which layout of workers and threads is best here.

    Args:
        unit: that runs.
        on_known: called when the layout is known; with True if another one than now is best.
        settle_seconds: until it begins.
    """

    def __init__(
        self,
        unit: Unit,
        on_known: Callable[[bool], None],
        *,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._unit = unit
        self._on_known = on_known
        self._settle_seconds = settle_seconds
        self._stop = threading.Event()
        self._sitting_since_ns: int | None = None
        self._layouts = unit.engine.layouts
        self._thread = threading.Thread(target=self._run, name="layouts", daemon=True)

    def start(self) -> None:
        """Begin, if there is anything to find out."""
        unit, taken = self._unit, self._unit.engine.selection
        if unit.engine.provisional or not taken.finding.found or detects_by_itself(unit.settings):
            return
        if not all(lane.source.live for lane in unit.pipeline.lanes):
            return  # a file would begin again when another layout is taken
        if self._layouts.to_measure(taken.finding, taken.accelerator, taken.model):
            self._thread.start()

    def stop(self) -> None:
        """Give up; what runs of it ends soon by itself."""
        self._stop.set()

    def _run(self) -> None:
        clock, attempts = self._unit.environment.clock, 0
        while attempts < ATTEMPTS and not clock.wait(self._stop, self._settle_seconds):
            if not self._calm():
                continue
            attempts += 1
            try:
                if self._measure():
                    return
            except ApplianceError as error:
                log.warning("layouts could not be measured: %s", error)
                return

    def _calm(self) -> bool:
        """Say whether nothing slows the unit, so that figures are those of the layout."""
        unit = self._unit
        lost = unit.engine.switch is not None and unit.engine.switch.lost_reason
        return not unit.heat.active and unit.pace.target_fps is None and not lost

    def _measure(self) -> bool:
        """Try the layouts and keep what came out; False if something disturbed it."""
        unit, taken = self._unit, self._unit.engine.selection
        layouts = self._layouts.to_measure(taken.finding, taken.accelerator, taken.model)
        selector = make_selector(unit.settings, unit.environment, layouts=self._layouts)
        log.info("measuring %d layouts; workers rest meanwhile", len(layouts))
        try:
            trials = selector.meter(self._stop, self._rest).measure(
                taken.accelerator,
                taken.model,
                selector.twin(taken.model),
                layouts,
            )
        finally:
            unit.pace.rest(0)
            self._sitting_since_ns = None
            give_back_memory()
        if self._stop.is_set() or not self._calm():
            return False
        self._layouts.keep(taken.finding, taken.accelerator, taken.model, trials)
        self._tell(taken)
        return True

    def _rest(self) -> None:
        """Let the workers rest before a turn; let them work for a while after a long sitting."""
        clock, pace = self._unit.environment.clock, self._unit.pace
        since_ns = self._sitting_since_ns
        longest_ns = SITTING_SECONDS * NS_PER_SECOND
        if since_ns is not None and clock.monotonic_ns() - since_ns >= longest_ns:
            pace.rest(0)
            clock.wait(self._stop, PAUSE_SECONDS)
            self._sitting_since_ns = None
        pace.rest(clock.monotonic_ns() + round(LONGEST_REST_SECONDS * NS_PER_SECOND))
        if self._sitting_since_ns is None:
            self._wait_for_idle_workers()
            self._sitting_since_ns = clock.monotonic_ns()

    def _wait_for_idle_workers(self) -> None:
        clock, workers = self._unit.environment.clock, self._unit.pipeline.workers
        clock.wait(self._stop, _REST_SECONDS)
        for _ in range(round(INFERENCE_SECONDS / _REST_SECONDS)):
            if not any(worker.busy for worker in workers):
                return
            clock.wait(self._stop, _REST_SECONDS)

    def _tell(self, taken: Selection) -> None:
        layout = self._layouts.of(taken.finding, taken.accelerator, taken.model)
        log.info("layout %s: %s", layout, layout.why)
        lost = any(lane.lost_reason for lane in self._unit.pipeline.lanes)
        self._on_known(layout != taken.layout and not lost)  # a lost camera is not opened again
