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
from appliance.detectors import detects_by_itself, make_layouts, make_selector
from appliance.errors import ApplianceError
from appliance.quiet import give_back_memory
from appliance.selection.trial import BUDGET_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.runtime import Runtime
    from appliance.selection import Selection

log = logging.getLogger(__name__)

SETTLE_SECONDS = 60.0
"""From the start: what a boot still does by then is over, and the processor is warm."""
SITTING_SECONDS = 15.0
PAUSE_SECONDS = 30.0
_REST_SECONDS = 0.6
"""Until every worker has noticed that it shall rest."""


class Calibration:
    """See the module's description.

    Args:
        runtime: that runs.
        on_known: called when the layout is known; with True if another one than now is best.
        settle_seconds: until it begins.
        budget_seconds: that measuring may take.
    """

    def __init__(
        self,
        runtime: Runtime,
        on_known: Callable[[bool], None],
        *,
        settle_seconds: float = SETTLE_SECONDS,
        budget_seconds: float = BUDGET_SECONDS,
    ) -> None:
        self._runtime = runtime
        self._on_known = on_known
        self._settle_seconds = settle_seconds
        self._budget_seconds = budget_seconds
        self._stop = threading.Event()
        self._sitting_since_ns: int | None = None
        self._layouts = make_layouts(runtime.settings, runtime.environment)
        self._thread = threading.Thread(target=self._run, name="layouts", daemon=True)

    def start(self) -> None:
        """Begin, if there is anything to find out."""
        runtime, taken = self._runtime, self._runtime.selection
        if runtime.provisional or detects_by_itself(runtime.settings):
            return
        if self._layouts.to_measure(taken.finding, taken.accelerator, taken.model):
            self._thread.start()

    def stop(self) -> None:
        """Give up; what runs of it ends soon by itself."""
        self._stop.set()

    def _run(self) -> None:
        clock = self._runtime.environment.clock
        while not clock.wait(self._stop, self._settle_seconds):
            switch = self._runtime.switch
            if self._runtime.heat.active or (switch is not None and switch.lost_reason):
                continue  # a throttled or lost accelerator says nothing of the layout
            try:
                self._measure()
            except ApplianceError as error:
                log.warning("layouts could not be measured: %s", error)
            return

    def _measure(self) -> None:
        runtime, taken = self._runtime, self._runtime.selection
        layouts = self._layouts.to_measure(taken.finding, taken.accelerator, taken.model)
        selector = make_selector(runtime.settings, runtime.environment)
        log.info("measuring %d layouts; workers rest meanwhile", len(layouts))
        try:
            trials = selector.meter(self._stop, self._rest).measure(
                taken.accelerator,
                taken.model,
                selector.twin(taken.model),
                layouts,
                self._budget_seconds,
            )
        finally:
            runtime.pace.resting = False
            give_back_memory()
        if self._stop.is_set():
            return
        self._layouts.keep(taken.finding, taken.accelerator, taken.model, trials)
        self._tell(taken)

    def _rest(self) -> None:
        """Let the workers rest before a turn; let them work for a while after a long sitting."""
        clock, pace = self._runtime.environment.clock, self._runtime.pace
        since_ns = self._sitting_since_ns
        if since_ns is not None:
            if clock.monotonic_ns() - since_ns < SITTING_SECONDS * NS_PER_SECOND:
                return
            pace.resting = False
            clock.wait(self._stop, PAUSE_SECONDS)
        pace.resting = True
        clock.wait(self._stop, _REST_SECONDS)
        self._sitting_since_ns = clock.monotonic_ns()

    def _tell(self, taken: Selection) -> None:
        layout = self._layouts.of(taken.finding, taken.accelerator, taken.model)
        log.info("layout %s: %s", layout, layout.why)
        self._on_known(layout != taken.layout)
