"""Runs a wired appliance: housekeeping, watchdog, reload, an orderly end. Main thread only."""

from __future__ import annotations

import contextlib
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from appliance import __version__
from appliance.board.processor import cpu_times
from appliance.clock import NS_PER_SECOND
from appliance.daemon.sampler import Sampler
from appliance.daemon.tuning import sweep
from appliance.daemon.vitals import Vitals
from appliance.errors import StalledError
from appliance.heat.contention import Contention
from appliance.reports.messages import OutboxInfo
from appliance.reports.problems import ProblemBook
from appliance.reports.reporter import VALID_INTERVALS
from appliance.update.state import UpdateState, read_state, write_progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.clock import Clock
    from appliance.daemon.requests import Requests
    from appliance.daemon.systemd import ServiceManager
    from appliance.daemon.unit import Unit
    from appliance.reports.messages import HealthMessage, MetricsMessage
    from appliance.reports.problems import Change, Problem
    from appliance.reports.reporter import Reporter
    from appliance.telemetry import Snapshot

log = logging.getLogger(__name__)

Ending = Literal["stopped", "finished", "reload", "rewire"]
_TICK_SECONDS = 0.5
_HANG_SECONDS = 1.5
"""A thread that hangs past its bound is told, and so long later the process ends: by itself, for
not everybody has a service manager that would end it."""
_HEAT_NS = 10 * NS_PER_SECOND
"""A small board heats up within a minute, so the governor looks at least this often."""


def teller(reporter: Reporter) -> Callable[[Change], None]:
    """Return what logs and publishes that something is wrong, or no longer is."""

    def tell(change: Change) -> None:
        if change.seconds is None:
            log.warning("%s", change.problem.text)
        else:
            log.info("over after %.1f s: %s", change.seconds, change.problem.text)
        reporter.problem(change)

    return tell


class Supervisor:
    """Runs a wired appliance: housekeeping, watchdog, reload, an orderly end.

    Args:
        unit: what to run.
        requests: from signals and threads.
        service: the service manager.
        notices: what the health message should say besides (a failed reload).
        max_frames: end after so many results; 0 for never.
        began_ns: when the daemon began, CLOCK_MONOTONIC; None for now.
        book: what is known to be wrong, from before a reload; None where nothing can be.
        before: what ran it before a change that left detectors and a camera running; what that
            knew of the cameras is known on.
        on_command: obeys one; True if the unit has to change.
        on_look: called now and then; True if the unit has to change.
        on_reload: reads the new configuration while the old one runs; False if it cannot be used.

    Attributes:
        awaits_results: there was none yet since what runs now was put together.
        vitals: what is known of its parts.
    """

    def __init__(
        self,
        unit: Unit,
        requests: Requests,
        service: ServiceManager,
        *,
        notices: Callable[[], tuple[str, ...]] = tuple,
        max_frames: int = 0,
        began_ns: int | None = None,
        before: Supervisor | None = None,
        on_reload: Callable[[], bool] = lambda: True,
        on_command: Callable[[str, bytes], bool] = lambda _name, _payload: False,
        on_look: Callable[[], bool] = lambda: False,
        book: ProblemBook | None = None,
    ) -> None:
        self._unit = unit
        self._requests = requests
        self._service = service
        self._max_frames = max_frames
        self._clock: Clock = unit.environment.clock
        now_ns = self._clock.monotonic_ns()
        self._began_ns = now_ns if began_ns is None else began_ns
        self._on_reload = on_reload
        self._on_command = on_command
        self._on_look = on_look
        self.awaits_results: bool = before.awaits_results if before else True
        self._processed_before = self._processed()
        self._sampler = Sampler(unit.telemetry.snapshot, self._clock)
        known = before.vitals if before else None
        self.vitals: Vitals = Vitals(unit, self._sampler, notices, known)
        self._book = book or ProblemBook(teller(unit.reporter))
        self._problems: tuple[Problem, ...] = ()
        self._stalled = False
        self._contention = Contention()
        self._published: tuple[bool, bool, frozenset[tuple[str, str]]] | None = None
        self._rested = False
        self._metrics: dict[str, MetricsMessage] = {}
        self._health: HealthMessage | None = None
        self._polled: tuple[int, Snapshot] | None = None
        self._update: UpdateState | None = None
        self._next_heat_ns = now_ns + _HEAT_NS
        watchdog = service.watchdog_seconds
        self._watchdog_ns = round(watchdog / 3 * NS_PER_SECOND) if watchdog else None

    def run(self) -> Ending:
        """Run until stopped or finished: the unit is stopped then; or until it is to change.

        Raises:
            ApplianceError: a thread failed, or could not be ended.
        """
        unit, requests = self._unit, self._requests
        settings = unit.settings
        health_ns = round(settings.telemetry.interval_seconds * NS_PER_SECOND)
        window_ns = round(settings.metrics.window_seconds * NS_PER_SECOND)
        unit.publish_info()
        running = unit.engine.accelerator
        self._sampler.start()
        unit.start()
        self._service.ready()
        now_ns = self._clock.monotonic_ns()
        next_health_ns, next_metrics_ns, next_ping_ns = now_ns, now_ns + window_ns, now_ns
        outcome: Ending | None = None
        try:
            while True:
                requests.wake.clear()  # first: what is asked from here on wakes the wait below
                outcome = self._outcome()
                if outcome is not None:
                    return outcome
                now_ns = self._clock.monotonic_ns()
                self._look(now_ns)
                for lane in unit.pipeline.lanes:
                    lane.tick()
                unit.ownership.tick(unit.reporter)
                if now_ns >= next_metrics_ns:
                    self._publish_metrics()
                    next_metrics_ns += window_ns
                if unit.engine.accelerator != running or requests.info.is_set():
                    requests.info.clear()
                    running = unit.engine.accelerator
                    unit.publish_info()
                if now_ns >= self._next_heat_ns:
                    self._poll_heat()
                if now_ns >= next_health_ns or self._state() != self._published:
                    self._publish_health()
                    next_health_ns = now_ns + health_ns
                if self._watchdog_ns and now_ns >= next_ping_ns:
                    self._feed_watchdog()
                    next_ping_ns = now_ns + self._watchdog_ns
                due_ns = min(
                    next_metrics_ns, next_health_ns, self._next_heat_ns, now_ns + self._tick_ns()
                )
                self._clock.wait(requests.wake, (due_ns - now_ns) / NS_PER_SECOND)
        finally:
            self._end(goes_on=outcome in {"reload", "rewire"})

    def _outcome(self) -> Ending | None:
        unit, requests = self._unit, self._requests
        unit.pipeline.check()
        if unit.sinks.mqtt is not None and unit.sinks.mqtt.failure is not None:
            raise unit.sinks.mqtt.failure
        for hang in self.vitals.fatal(_HANG_SECONDS):
            self._stalled = True
            raise StalledError(hang.text, hint="only a restart of the process ends that")
        if self._must_change():
            return "reload"
        if requests.stop.is_set():
            return "stopped"
        done = self._processed()
        if unit.pipeline.finished() or (self._max_frames and done >= self._max_frames):
            return "finished"
        if requests.rewire.is_set():
            requests.rewire.clear()
            return "rewire"
        return None

    def _must_change(self) -> bool:
        """Say whether a new configuration, or a command, has to take effect."""
        requests = self._requests
        if requests.stop.is_set():
            return False
        if requests.reload.is_set():
            requests.reload.clear()
            if self._on_reload():
                return True
        while not requests.commands.empty():
            if self._on_command(*requests.commands.get_nowait()):
                return True
        return self._on_look()

    def _processed(self) -> int:
        """Return how many frames of all cameras had a result since the daemon began."""
        return sum(lane.ledger.counts().processed for lane in self._unit.pipeline.lanes)

    def _tick_ns(self) -> int:
        short = self._max_frames or any(not l.source.live for l in self._unit.pipeline.lanes)  # noqa: E741
        seconds = 0.1 if short else _TICK_SECONDS
        tick_ns = round(seconds * NS_PER_SECOND)
        return min(tick_ns, self._watchdog_ns) if self._watchdog_ns else tick_ns

    def _end(self, *, goes_on: bool) -> None:
        """Stop the unit and publish the last window, so that no result is uncounted.

        Args:
            goes_on: leave it running, for it only changes.
        """
        self._service.stopping() if self._requests.stop.is_set() else None
        try:
            if not goes_on:
                self._unit.stop()
        except StalledError:
            if not self._stalled:  # else what hangs is being told already
                raise
        finally:
            self._sampler.close()
            self._publish_metrics(is_whole=False)

    def _feed_watchdog(self) -> None:
        if not self.vitals.hanging:
            self._service.alive()

    def _look(self, now_ns: int) -> None:
        """Take stock of what is wrong."""
        self._problems = self.vitals.look(now_ns)
        self._book.look(self._problems, now_ns)

    def _publish_metrics(self, *, is_whole: bool = True) -> None:
        """Publish the window that ends now; one cut short says nothing of what the unit can do."""
        seconds = self._unit.settings.metrics.window_seconds * VALID_INTERVALS
        windows = []
        for lane in self._unit.pipeline.lanes:
            windows.append(lane.statistics.roll())
            self._metrics[lane.name] = self._unit.reporter.metrics(
                lane.name,
                windows[-1],
                lane.ledger.counts(),
                live=lane.source.live,
                gated=lane.gate is not None,
                valid_for=timedelta(seconds=seconds),
            )
        unit = self._unit
        contended = self._contention.look(cpu_times(unit.environment.root))
        if not unit.pace.took_rest() and is_whole:  # else its rates say nothing of the board
            unit.heat.window(
                windows,
                unit.engine.accelerator,
                unit.engine.selection.model.id,
                len(unit.pipeline.workers),
                contended=contended,
            )
        self._service.status(self.status_line())

    def _poll_heat(self) -> Snapshot:
        """Look after heat and progress: more often than health is published."""
        taken, heat = self._sampler.sample(), self._unit.heat
        now_ns = self._clock.monotonic_ns()
        heat.poll(now_ns, taken)
        snapshot = heat.snapshot
        self._polled = now_ns, snapshot
        self._next_heat_ns = now_ns + _HEAT_NS
        self._tell_progress()
        sweep()
        return snapshot

    def _publish_health(self) -> None:
        interval = self._unit.settings.telemetry.interval_seconds
        uptime_ns = self._clock.monotonic_ns() - self._began_ns
        mqtt = self._unit.sinks.mqtt
        outbox = None
        if mqtt is not None:
            messages, size, dropped = mqtt.outbox_state()
            outbox = OutboxInfo(messages=messages, bytes=size, dropped=dropped)
        now_ns, heat = self._clock.monotonic_ns(), self._unit.heat
        snapshot = self._recent(now_ns) or self._poll_heat()
        self._look(now_ns)  # what heat just told is in it
        self._published = self._state()
        starting, paused, _ = self._published
        self._health = self._unit.reporter.health(
            snapshot,
            reasons=self._reasons(),
            starting=starting,
            paused=paused,
            uptime_seconds=uptime_ns / NS_PER_SECOND,
            outbox=outbox,
            sinks=self._unit.sinks.tallies(),
            throttled=heat.throttled,
            throttling=heat.throttling(now_ns),
            governor=heat.governor(),
            valid_for=timedelta(seconds=interval * VALID_INTERVALS),
        )
        self._service.status(self.status_line())
        self._publish_update()

    def _recent(self, now_ns: int) -> Snapshot | None:
        """Return the last snapshot while no other is due.

        Some boards tell throttling by counters only: what moved since the last look. One look more
        in between sees them stand still.
        """
        if self._polled is None:
            return None
        polled_ns, snapshot = self._polled
        interval_ns = round(self._unit.settings.telemetry.interval_seconds * NS_PER_SECOND)
        return snapshot if now_ns - polled_ns < min(interval_ns, _HEAT_NS) else None

    def _publish_update(self) -> None:
        state = read_state(self._unit.environment.root)
        if state != self._update:
            self._update = state
            self._unit.reporter.update(state, __version__)

    def _tell_progress(self) -> None:
        """Leave word for the proof of an update; a full /run must not end the daemon."""
        counts = [lane.ledger.counts() for lane in self._unit.pipeline.lanes]
        done = sum(one.processed + one.dropped["gated"] for one in counts)  # looked at, and still
        with contextlib.suppress(OSError):
            write_progress(self._unit.environment.runtime_folder(), done, __version__)

    def _state(self) -> tuple[bool, bool, frozenset[tuple[str, str]]]:
        """Return whether no results can be there yet, whether nobody looks, and what is wrong.

        The words of a problem may change from moment to moment; that alone is no news.
        """
        pace = self._unit.pace
        rests = all(lane.rests for lane in self._unit.pipeline.lanes)
        if self._rested and not rests:  # what was seen before the pause says nothing of now
            self.awaits_results, self._processed_before = True, self._processed()
        self._rested = rests
        if self._processed() != self._processed_before:
            self.awaits_results = False
        starting = self.awaits_results or pace.resting(self._clock.monotonic_ns())
        return starting, rests, frozenset(problem.key for problem in self._problems)

    def _reasons(self) -> tuple[str, ...]:
        return tuple(problem.text for problem in self._problems)

    def status_line(self) -> str:
        """Return frame rates and temperature in one line, for ``systemctl status``."""
        parts = []
        for name, metrics in self._metrics.items():
            fps = metrics.end_to_end_fps
            parts.append(f"{name} {fps:.1f} FPS" if fps is not None else f"{name} no frames")
        if self._health is not None and self._health.temperature_celsius is not None:
            parts.append(f"{self._health.temperature_celsius:.1f} °C")
        parts += self._reasons()
        return ", ".join(parts) or "starting"
