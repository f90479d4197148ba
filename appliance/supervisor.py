"""Runs a wired appliance: housekeeping, watchdog, reload, an orderly end. Main thread only."""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from appliance import __version__
from appliance.clock import NS_PER_SECOND
from appliance.messages import OutboxInfo
from appliance.quiet import sweep
from appliance.reporter import VALID_INTERVALS
from appliance.updates import UpdateState, read_state, write_progress

if TYPE_CHECKING:
    from appliance.clock import Clock
    from appliance.messages import HealthMessage, MetricsMessage
    from appliance.runtime import Runtime
    from appliance.service import ServiceManager
    from appliance.telemetry import Snapshot

log = logging.getLogger(__name__)

Outcome = Literal["stopped", "finished", "reload", "rewire"]
_TICK_SECONDS = 1.0
_HEAT_NS = 10 * NS_PER_SECOND
"""A small board heats up within a minute, so the governor looks at least this often."""


@dataclass(slots=True)
class Requests:
    """What signals and threads ask of the supervisor."""

    stop: threading.Event = field(default_factory=threading.Event)
    reload: threading.Event = field(default_factory=threading.Event)
    rewire: threading.Event = field(default_factory=threading.Event)
    info: threading.Event = field(default_factory=threading.Event)
    wake: threading.Event = field(default_factory=threading.Event)

    def ask_stop(self) -> None:
        """End soon."""
        self.stop.set()
        self.wake.set()

    def ask_rewire(self) -> None:
        """Choose the accelerator again, with the same configuration."""
        self.rewire.set()
        self.wake.set()

    def ask_info(self) -> None:
        """Say again who the unit is."""
        self.info.set()
        self.wake.set()

    def ask_reload(self) -> None:
        """Read the configuration again."""
        self.reload.set()
        self.wake.set()


class Supervisor:
    """See the module's description.

    Args:
        runtime: what to run.
        requests: from signals and threads.
        service: the service manager.
        notices: what the health message should say besides (a failed reload).
        max_frames: end after so many results; 0 for never.
    """

    def __init__(
        self,
        runtime: Runtime,
        requests: Requests,
        service: ServiceManager,
        *,
        notices: tuple[str, ...] = (),
        max_frames: int = 0,
    ) -> None:
        self._runtime = runtime
        self._requests = requests
        self._service = service
        self._notices = notices
        self._max_frames = max_frames
        self._clock: Clock = runtime.environment.clock
        self._began_ns = self._clock.monotonic_ns()
        self._reasons: tuple[str, ...] | None = None
        self._published: tuple[bool, tuple[str, ...]] | None = None
        self._metrics: dict[str, MetricsMessage] = {}
        self._health: HealthMessage | None = None
        self._update: UpdateState | None = None
        self._next_heat_ns = self._began_ns + _HEAT_NS
        watchdog = service.watchdog_seconds
        self._watchdog_ns = round(watchdog / 3 * NS_PER_SECOND) if watchdog else None

    def run(self) -> Outcome:
        """Run until stopped, finished or asked to reload; the pipeline is stopped then.

        Raises:
            ApplianceError: a thread failed, or could not be ended.
        """
        runtime, requests = self._runtime, self._requests
        settings = runtime.settings
        health_ns = round(settings.telemetry.interval_seconds * NS_PER_SECOND)
        window_ns = round(settings.metrics.window_seconds * NS_PER_SECOND)
        runtime.publish_info()
        running = runtime.accelerator
        runtime.start()
        self._service.ready()
        now_ns = self._clock.monotonic_ns()
        next_health_ns, next_metrics_ns, next_ping_ns = now_ns, now_ns + window_ns, now_ns
        outcome: Outcome | None = None
        try:
            while True:
                requests.wake.clear()  # first: what is asked from here on wakes the wait below
                outcome = self._outcome()
                if outcome is not None:
                    return outcome
                now_ns = self._clock.monotonic_ns()
                if now_ns >= next_metrics_ns:
                    self._publish_metrics()
                    next_metrics_ns += window_ns
                if runtime.accelerator != running or requests.info.is_set():
                    requests.info.clear()
                    running = runtime.accelerator
                    runtime.publish_info()
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
            self._end(patient=outcome in {"reload", "rewire"})

    def _outcome(self) -> Outcome | None:
        runtime, requests = self._runtime, self._requests
        runtime.pipeline.check()
        if runtime.sinks.mqtt is not None and runtime.sinks.mqtt.failure is not None:
            raise runtime.sinks.mqtt.failure
        if requests.stop.is_set():
            return "stopped"
        if requests.reload.is_set():
            requests.reload.clear()
            return "reload"
        done = sum(lane.ledger.counts().processed for lane in runtime.pipeline.lanes)
        if runtime.pipeline.finished() or (self._max_frames and done >= self._max_frames):
            return "finished"
        if requests.rewire.is_set():
            requests.rewire.clear()
            return "rewire"
        return None

    def _tick_ns(self) -> int:
        short = self._max_frames or any(not l.source.live for l in self._runtime.pipeline.lanes)  # noqa: E741
        seconds = 0.1 if short else _TICK_SECONDS
        tick_ns = round(seconds * NS_PER_SECOND)
        return min(tick_ns, self._watchdog_ns) if self._watchdog_ns else tick_ns

    def _end(self, *, patient: bool) -> None:
        """Stop the pipeline and publish the last window, so that no result is uncounted."""
        self._service.stopping() if self._requests.stop.is_set() else None
        try:
            self._runtime.pipeline.stop(patient=patient)
        finally:
            self._runtime.close()
            self._publish_metrics()

    def _feed_watchdog(self) -> None:
        silent = self._runtime.pipeline.life.silent()
        if silent:
            log.warning("no progress in: %s; the watchdog is not fed", ", ".join(silent))
        else:
            self._service.alive()

    def _publish_metrics(self) -> None:
        now_ns = self._clock.monotonic_ns()
        seconds = self._runtime.settings.metrics.window_seconds * VALID_INTERVALS
        for lane in self._runtime.pipeline.lanes:
            self._metrics[lane.name] = self._runtime.reporter.metrics(
                lane.name,
                lane.statistics.roll(now_ns),
                lane.ledger.counts(),
                live=lane.source.live,
                gated=lane.gate is not None,
                valid_for=timedelta(seconds=seconds),
            )
        runtime = self._runtime
        if not runtime.pace.took_rest():  # else its rates say nothing of the board
            runtime.heat.window(
                self._metrics.values(),
                runtime.accelerator,
                runtime.selection.model.id,
                len(runtime.pipeline.workers),
            )
        self._service.status(self.status_line())

    def _poll_heat(self) -> Snapshot:
        """Look after heat and progress: more often than health is published."""
        snapshot = self._runtime.telemetry.snapshot()
        now_ns = self._clock.monotonic_ns()
        self._runtime.heat.poll(now_ns, snapshot)
        self._next_heat_ns = now_ns + _HEAT_NS
        self._tell_progress()
        sweep()
        return snapshot

    def _publish_health(self) -> None:
        interval = self._runtime.settings.telemetry.interval_seconds
        uptime_ns = self._clock.monotonic_ns() - self._began_ns
        mqtt = self._runtime.sinks.mqtt
        outbox = None
        if mqtt is not None:
            messages, size, dropped = mqtt.outbox_state()
            outbox = OutboxInfo(messages=messages, bytes=size, dropped=dropped)
        now_ns, heat = self._clock.monotonic_ns(), self._runtime.heat
        snapshot = self._poll_heat()
        self._published = self._state()
        starting, self._reasons = self._published
        self._health = self._runtime.reporter.health(
            snapshot,
            reasons=self._reasons,
            starting=starting,
            uptime_seconds=uptime_ns / NS_PER_SECOND,
            outbox=outbox,
            throttling=heat.throttling(now_ns),
            governor=heat.governor(),
            valid_for=timedelta(seconds=interval * VALID_INTERVALS),
        )
        self._service.status(self.status_line())
        self._publish_update()

    def _publish_update(self) -> None:
        state = read_state(self._runtime.environment.root)
        if state != self._update:
            self._update = state
            self._runtime.reporter.update(state, __version__)

    def _tell_progress(self) -> None:
        """Leave word for the proof of an update; a full /run must not end the daemon."""
        counts = [lane.ledger.counts() for lane in self._runtime.pipeline.lanes]
        done = sum(one.processed + one.dropped["gated"] for one in counts)  # looked at, and still
        with contextlib.suppress(OSError):
            write_progress(self._runtime.environment.runtime_folder(), done, __version__)

    def _state(self) -> tuple[bool, tuple[str, ...]]:
        """Return whether nothing was seen yet, and why the unit is not well."""
        lanes = self._runtime.pipeline.lanes
        started = any(lane.ledger.counts().processed for lane in lanes)
        return not started, self._current_reasons()

    def _current_reasons(self) -> tuple[str, ...]:
        reasons = [
            f"camera {lane.name}: {lane.lost_reason}"
            for lane in self._runtime.pipeline.lanes
            if lane.lost_reason
        ]
        reasons += self._runtime.accelerator_problems()
        reasons += [f"throttled: {cause.replace('_', ' ')}" for cause in self._runtime.heat.active]
        mqtt = self._runtime.sinks.mqtt
        if mqtt is not None and mqtt.problem and mqtt.problem != "connecting":
            reasons.append(f"broker: {mqtt.problem}")
        reasons += self._notices
        return tuple(reasons)

    def status_line(self) -> str:
        """Return frame rates and temperature in one line, for ``systemctl status``."""
        parts = []
        for name, metrics in self._metrics.items():
            fps = metrics.end_to_end_fps
            parts.append(f"{name} {fps:.1f} FPS" if fps is not None else f"{name} no frames")
        if self._health is not None and self._health.temperature_celsius is not None:
            parts.append(f"{self._health.temperature_celsius:.1f} °C")
        parts += self._reasons or ()
        return ", ".join(parts) or "starting"
