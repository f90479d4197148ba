"""Obeys commands, and keeps what they changed over restarts. Main thread only."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from appliance.config.changes import CameraChange, Changes, overlay
from appliance.daemon.commands import decide
from appliance.daemon.kept import read_kept
from appliance.errors import ApplianceError
from appliance.files import write_whole
from appliance.update.state import request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.config import Settings
    from appliance.daemon.commands import Decision
    from appliance.daemon.unit import Unit

log = logging.getLogger(__name__)


class Control:
    """What commands changed.

    Args:
        path: where it is kept; None to keep it with the process only.
        runtime_folder: where the system looks for what the daemon asks.
        restart: ends the process; None where nobody would start it again.

    Attributes:
        changes: in force now.
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
        self.changes = read_kept(path, Changes, "what commands changed is not known")

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
            name: last part of its topic.
            payload: as it came.
            unit: what runs.
            files: the settings, as the files have them.
            accept: takes other settings for the unit, or raises ApplianceError.

        Returns:
            Whether the unit has to change to what was accepted.
        """
        before = self.changes
        decision = decide(name, payload, before, unit.settings)
        wants = decision.changes is not None and _settings_differ(decision.changes, before, files)
        detail, ok = decision.detail, decision.ok
        try:
            if decision.changes is not None:
                if wants:
                    accept(overlay(files, decision.changes))
                self.changes = decision.changes
                self._keep()
            self._act(decision)
        except ApplianceError as error:
            detail, ok, wants = str(error), False, False
        except OSError as error:
            detail = f"{detail}, until the next start only: {error.strerror}"
        log.info("command %s: %s", name, detail)
        self.apply(unit)
        unit.publish_state(overlay(files, self.changes), self.changes)
        unit.reporter.result(name, ok=ok, detail=detail, request=decision.id)
        if ok and decision.act == "restart" and self._restart is not None:
            self._restart()
        return wants

    def forget_settings(self) -> bool:
        """Go on without what commands changed of settings; say whether there was anything."""
        cameras = {
            name: CameraChange(enabled=one.enabled) for name, one in self.changes.cameras.items()
        }
        before, self.changes = self.changes, msgspec.structs.replace(self.changes, cameras=cameras)
        return before != self.changes

    def apply(self, unit: Unit) -> None:
        """Let those cameras rest that have to, and the others look."""
        for lane in unit.lanes:
            lane.rest(rests=self.changes.rests(lane.name))

    def _act(self, decision: Decision) -> None:
        if decision.act == "update":
            try:
                request(self._runtime_folder)
            except OSError as error:
                raise ApplianceError(f"cannot be asked for: {error.strerror}") from error
        if decision.act == "restart" and self._restart is None:
            raise ApplianceError("nobody would start it again: it is not run as a service")

    def _keep(self) -> None:
        if self._path is not None:
            write_whole(self._path, msgspec.json.encode(self.changes), 0o600)


def _settings_differ(new: Changes, old: Changes, files: Settings) -> bool:
    return overlay(files, new) != overlay(files, old)
