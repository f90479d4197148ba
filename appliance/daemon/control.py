"""Obeys commands, and keeps what they changed over restarts. Main thread only."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from appliance.clock import NS_PER_SECOND
from appliance.config.changes import Changes, overlay
from appliance.config.schedule import covered, parse
from appliance.daemon.commands import Decision, decide
from appliance.daemon.kept import read_kept
from appliance.daemon.trial import Flow, Trial
from appliance.errors import ApplianceError, ConfigError
from appliance.files import write_whole
from appliance.update.state import request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.config import Settings
    from appliance.daemon.unit import Unit

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
"""Settings that could not be taken back are left alone for so long."""


_LOOK_AGAIN = frozenset({"resume", "pause", "camera"})


@dataclass(frozen=True, slots=True)
class Waiting:
    """A command that is accepted, and whose settings are not in force yet.

    Attributes:
        payload: as it came; None where settings are taken back.
        flowing: the cameras that delivered when it came.
    """

    name: str
    payload: bytes | None
    decision: Decision
    flowing: frozenset[str] = frozenset()


class Control:
    """What commands changed.

    Args:
        path: where it is kept; None to keep it with the process only.
        runtime_folder: where the system looks for what the daemon asks.
        restart: ends the process; None where nobody would start it again.

    Attributes:
        changes: in force now.
        notice: what became of settings that had to be taken back; empty where none had.
    """

    def __init__(
        self,
        path: Path | None,
        runtime_folder: Path,
        restart: Callable[[], None] | None = None,
    ) -> None:
        self._path = path
        self._runtime_folder = runtime_folder
        self._restart = restart
        self.changes = self._kept = read_kept(path, Changes, "what commands changed is not known")
        self.notice = ""
        self._flow = Flow()
        self._scheduled: frozenset[str] = frozenset()
        self._trial: Trial | None = None
        self._waiting: Waiting | None = None
        self._retry_ns = 0

    def obey(
        self,
        name: str,
        payload: bytes,
        unit: Unit,
        files: Settings,
        accept: Callable[[Settings], None],
    ) -> bool:
        """Do what a command asks, and publish what became of it.

        Args:
            name: what its topic says after ``cmd/``.
            payload: as it came.
            unit: what runs.
            files: the settings, as the files have them.
            accept: takes other settings for the unit, or raises ApplianceError.

        Returns:
            Whether the unit has to change to what was accepted; ``done`` or ``failed`` comes next.
        """
        now_ns = self._note_flow(unit)
        flowing = self._flow.flowing(now_ns)
        tries = self._trial is not None and self._trial.is_tried
        decision = decide(name, payload, self.changes, files, tries=tries)
        try:
            if decision.changes is not None:
                wanted = overlay(files, decision.changes)
                if wanted != overlay(files, self.changes):
                    accept(wanted)
                    self._waiting = Waiting(name, payload, decision, flowing)
                    return True
            self._act(decision, unit)
        except ApplianceError as error:
            decision = Decision(ok=False, detail=str(error), id=decision.id)
        self._adopt(Waiting(name, payload, decision, flowing), unit, files)
        if decision.act == "restart" and self._restart is not None:
            self._restart()
        return False

    def look(
        self,
        unit: Unit,
        files: Settings,
        accept: Callable[[Settings], None],
    ) -> bool:
        """Watch over settings on trial; return whether the unit has to change back."""
        now_ns = self._note_flow(unit)
        if _scheduled(unit) != self._scheduled:
            self.apply(unit)
            self.publish(unit, files)
        trial = self._trial
        if trial is None:
            return False
        fault = trial.fault(self._flow, now_ns)
        if not fault and not trial.expired(now_ns):
            self._keep()
            if trial.over(now_ns):
                self._trial = None
            return False
        if now_ns < self._retry_ns:
            return False
        return self._take_back(trial, fault, unit, files, accept)

    def _take_back(
        self,
        trial: Trial,
        fault: str,
        unit: Unit,
        files: Settings,
        accept: Callable[[Settings], None],
    ) -> bool:
        """Go back to what was in force before a trial; tried again later where that fails."""
        before = trial.before
        try:
            wanted = overlay(files, before)
        except ConfigError:  # the files have changed meanwhile
            before = before.without_settings()
            wanted = overlay(files, before)
        detail = f"taken back: {fault or 'the time to try is over'}"
        decision = Decision(ok=False, detail=detail, id=trial.id, changes=before)
        waiting = Waiting(trial.name, None, decision)
        notice = f"settings taken back: {fault}" if fault else ""
        try:
            if wanted != unit.settings:
                accept(wanted)
                self._waiting = waiting
                self.notice = notice
                return True
        except ApplianceError as error:
            self._put_off(unit, error)
            return False
        self.notice = notice
        self._adopt(waiting, unit, files)
        return False

    def done(self, unit: Unit, files: Settings) -> None:
        """Note that the unit has changed, as the last command asked."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._adopt(waiting, unit, files)

    def failed(self, unit: Unit, files: Settings, error: ApplianceError) -> None:
        """Note that the unit could not change, and goes on as it was."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting.payload is None:
            self._put_off(unit, error)
        elif waiting is not None:
            decision = Decision(ok=False, detail=str(error), id=waiting.decision.id)
            self._adopt(Waiting(waiting.name, waiting.payload, decision), unit, files)

    def _put_off(self, unit: Unit, error: ApplianceError) -> None:
        """Say that settings stay though their trial is over, and try again later."""
        now_ns = unit.environment.clock.monotonic_ns()
        self._retry_ns = now_ns + round(RETRY_SECONDS * NS_PER_SECOND)
        self.notice = f"settings cannot be taken back: {error}"
        log.warning("%s", self.notice)

    def close(self, unit: Unit) -> None:
        """Keep what is proven by now: the process ends."""
        self._note_flow(unit)
        lost = self._keep()
        if lost:
            log.warning("what commands changed is not kept: %s", lost)

    def forget_settings(self) -> bool:
        """Go on without what commands changed of settings; say whether there was anything."""
        before, self.changes = self.changes, self.changes.without_settings()
        self._trial = None
        return before != self.changes

    def apply(self, unit: Unit) -> None:
        """Let those cameras rest that have to, and the others look."""
        self._scheduled = _scheduled(unit)
        for lane in unit.lanes:
            lane.rest(rests=self._rests(lane.name))

    def publish(self, unit: Unit, files: Settings) -> None:
        """Publish what commands can change, as it is now."""
        is_tried = self._trial is not None and self._trial.is_tried
        settings = overlay(files, self.changes)
        unit.publish_state(settings, self.changes, self._scheduled, is_tried=is_tried)

    def _note_flow(self, unit: Unit) -> int:
        """Note which cameras deliver; return the time, CLOCK_MONOTONIC."""
        now_ns = unit.environment.clock.monotonic_ns()
        counts = {lane.name: lane.ledger.counts() for lane in unit.lanes}
        asleep = unit.pace.paused or unit.pace.resting(now_ns)
        self._flow.look(
            {name: one.processed + one.dropped["gated"] for name, one in counts.items()},
            [lane.name for lane in unit.lanes if lane.rests or asleep],
            now_ns,
        )
        return now_ns

    def _adopt(self, waiting: Waiting, unit: Unit, files: Settings) -> None:
        """Take what a command decided as what is in force, keep it, and say so."""
        decision = waiting.decision
        if decision.changes is not None:
            self._take(waiting, decision.changes, unit, files)
        lost = self._keep()
        detail = (
            f"{decision.detail}, until the next start only: {lost}" if lost else decision.detail
        )
        if decision.ok and waiting.name in _LOOK_AGAIN and self._scheduled:
            names = ", ".join(sorted(self._scheduled))
            detail = f"{detail}; by its schedule (pause) nobody looks at {names} now"
        log.info("command %s: %s", waiting.name, detail)
        self.apply(unit)
        self.publish(unit, files)
        unit.reporter.result(waiting.name, ok=decision.ok, detail=detail, request=decision.id)

    def _take(self, waiting: Waiting, changes: Changes, unit: Unit, files: Settings) -> None:
        safe, trial = self._safe(), self._trial
        goes_on = changes == self.changes and not waiting.decision.tried_seconds
        self.changes = changes
        if waiting.payload is None:
            self._trial = None
        elif waiting.decision.watched:
            self.notice = ""
            if trial is not None and goes_on:
                self._trial = trial.going_on(waiting.name, waiting.decision)
            else:
                now_ns = unit.environment.clock.monotonic_ns()
                self._trial = Trial(waiting.name, waiting.decision, safe, waiting.flowing, now_ns)
        elif trial is not None:
            other = decide(waiting.name, waiting.payload, trial.before, files).changes
            trial.before = other or trial.before

    def _act(self, decision: Decision, unit: Unit) -> None:
        if decision.act == "snapshot":
            self._take_pictures(decision, unit)
        if decision.act == "update":
            try:
                request(self._runtime_folder)
            except OSError as error:
                raise ApplianceError(f"cannot be asked for: {error.strerror}") from error
        if decision.act == "restart" and self._restart is None:
            raise ApplianceError("nobody would start it again: it is not run as a service")

    def _take_pictures(self, decision: Decision, unit: Unit) -> None:
        able = [name for name in decision.cameras if name in unit.photographers]
        if not able:
            raise ApplianceError(
                f"camera {', '.join(decision.cameras)}: pictures are off",
                hint="[camera.pictures] enabled = true",
            )
        looking = [name for name in able if not self._rests(name)]
        if not looking:
            raise ApplianceError(f"camera {', '.join(able)}: nobody looks, it is paused or closed")
        for name in looking:
            unit.photographers[name].ask(decision.id, unit.environment.clock.monotonic_ns())

    def _rests(self, camera: str) -> bool:
        return camera in self._scheduled or self.changes.rests(camera)

    def _safe(self) -> Changes:
        """Return what is in force; of settings on trial only those that are proven and stay."""
        trial = self._trial
        if trial is None or (not trial.is_tried and trial.proven(self._flow)):
            return self.changes
        return trial.before

    def _keep(self) -> str:
        """Keep what is safe; return why that failed, empty where it did not."""
        safe = self._safe()
        if safe == self._kept:
            return ""
        self._kept = safe
        try:
            if self._path is not None:
                write_whole(self._path, msgspec.json.encode(safe), 0o600)
        except OSError as error:
            return error.strerror or str(error)
        return ""


def _scheduled(unit: Unit) -> frozenset[str]:
    """Return the cameras at which nobody looks at this time of the week."""
    moment = unit.environment.clock.utc().astimezone()
    return frozenset(
        camera.name for camera in unit.settings.camera if covered(map(parse, camera.pause), moment)
    )
