"""Everything that keeps a unit from being ok, gathered from its parts. Main thread only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.daemon.camerawatch import CameraState, CameraWatch
from appliance.pipeline.heartbeat import HangWatch, Watched
from appliance.reports.problems import Problem
from appliance.sinks import Fallible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.daemon.sampler import Sampler
    from appliance.daemon.unit import Unit
    from appliance.pipeline import Lane
    from appliance.pipeline.heartbeat import Hang, Heartbeat


class Vitals:
    """Everything that keeps a unit from being ok, gathered from its parts.

    Args:
        unit: the unit.
        sampler: reads its telemetry.
        notices: what health should say besides (a failed reload).
        before: those before a change: what is known of cameras that went on is known on.

    Attributes:
        cameras: what is known of each.
    """

    def __init__(
        self,
        unit: Unit,
        sampler: Sampler,
        notices: Callable[[], tuple[str, ...]] = tuple,
        before: Vitals | None = None,
    ) -> None:
        self._unit = unit
        self._notices = notices
        known = before.cameras if before else {}
        self.cameras: dict[Lane, CameraWatch] = {
            lane: known.get(lane) or CameraWatch(lane.name) for lane in unit.pipeline.lanes
        }
        self._threads = HangWatch()
        self._watched = tuple(
            part for part in (sampler, *unit.sinks.all) if isinstance(part, Watched)
        )
        self._excused = {part.heartbeat.name for part in self._watched if part.may_hang}
        self._hangs: tuple[Hang, ...] = ()

    def look(self, now_ns: int) -> tuple[Problem, ...]:
        """Return what is wrong at ``now_ns``, cameras first."""
        self._hangs = self._threads.look(self._heartbeats(), now_ns)
        return tuple(self._problems(now_ns))

    def fatal(self, seconds: float) -> tuple[Hang, ...]:
        """Return the hangs, as ``look`` saw them, that only the end of the process ends.

        Args:
            seconds: for how long they must have been watched.
        """
        return tuple(
            one for one in self._hangs if one.seconds >= seconds and one.thread not in self._excused
        )

    @property
    def hanging(self) -> tuple[str, ...]:
        """Return the threads that hang and whose hang ends the process."""
        return tuple(one.thread for one in self.fatal(0))

    def _heartbeats(self) -> tuple[Heartbeat, ...]:
        others = tuple(part.heartbeat for part in self._watched)
        return (*self._unit.pipeline.heartbeats, *others)

    def _problems(self, now_ns: int) -> Iterator[Problem]:
        unit = self._unit
        for lane in unit.pipeline.lanes:
            if lane.lost_reason and not lane.rests:
                yield Problem("camera", lane.name, f"camera {lane.name}: {lane.lost_reason}")
            yield from self.cameras[lane].look(self._state(lane, now_ns), now_ns)
        for hang in self._hangs:
            excused = hang.thread in self._excused
            yield Problem("sink_stalled" if excused else "hung", hang.thread, hang.text)
        for number, text in enumerate(unit.engine.problems()):
            yield Problem("accelerator", str(number), text)
        for cause in unit.heat.active:
            yield Problem("throttled", cause, f"throttled: {cause.replace('_', ' ')}")
        yield from unit.heat.problems()
        for sink in unit.sinks.all:
            if isinstance(sink, Fallible):
                yield from (Problem(*problem) for problem in sink.problems())
        for number, text in enumerate(self._notices()):
            yield Problem("notice", str(number), text)

    def _state(self, lane: Lane, now_ns: int) -> CameraState:
        pace = self._unit.pace
        idle = pace.paused or pace.resting(now_ns) or lane.rests
        limit = lane.picture.limit_seconds
        return CameraState(
            expected=not (idle or lane.lost_reason or lane.ended.is_set()),
            opened_ns=lane.progress.opened_ns,
            result_ns=lane.progress.result_ns,
            interval_seconds=lane.progress.interval_seconds,
            period_seconds=max(lane.period_seconds, lane.pace.period_seconds(now_ns)),
            frozen_seconds=limit if lane.picture.frozen else 0.0,
            counts=lane.ledger.counts(),
        )
