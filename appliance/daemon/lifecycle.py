"""The life of the daemon: run, reload on request (a bad new configuration changes nothing), end."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from appliance.config.changes import overlay
from appliance.daemon.calibration import SETTLE_SECONDS, Calibration
from appliance.daemon.control import Control
from appliance.daemon.memory import Memory
from appliance.daemon.sinks import Sinks, device_of, make_sinks
from appliance.daemon.supervisor import Supervisor, teller
from appliance.daemon.tuning import keep_quiet
from appliance.daemon.wiring import check_settings, wire
from appliance.errors import ApplianceError, StalledError
from appliance.reports.problems import ProblemBook
from appliance.selection.choose import prove_in_background

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.config import Settings
    from appliance.daemon.lock import DeviceLock
    from appliance.daemon.requests import Requests
    from appliance.daemon.supervisor import Ending
    from appliance.daemon.systemd import ServiceManager
    from appliance.daemon.unit import Unit
    from appliance.filters import Filter
    from appliance.selection.environment import Environment
    from appliance.sinks import Outlet

log = logging.getLogger(__name__)


class Daemon:
    """Runs a unit, changes it on request, and ends it.

    Args:
        load_settings: reads the configuration; called again for each reload.
        environment: what surrounds the process.
        requests: from signals.
        service: the service manager.
        extra_outlets: where messages go besides the configured sinks.
        extra_filters: makes those of a camera that come after the configured ones.
        max_frames: end after so many results; 0 for never.
        settle_seconds: until layouts are measured.
        lock: of the device; None beside another daemon, which must not be the same unit.
        memory: of earlier starts; None to have none, and leave none.
    """

    def __init__(
        self,
        load_settings: Callable[[], Settings],
        environment: Environment,
        requests: Requests,
        service: ServiceManager,
        *,
        extra_outlets: tuple[Outlet, ...] = (),
        extra_filters: Callable[[str], tuple[Filter, ...]] = lambda _camera: (),
        max_frames: int = 0,
        settle_seconds: float = SETTLE_SECONDS,
        lock: DeviceLock | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._lock = lock
        self._load_settings = load_settings
        self._environment = environment
        self._requests = requests
        self._service = service
        restarts = requests.ask_stop if service.watches_over else None
        memory = memory or Memory.of_this_process()
        self._control = Control(memory.changes_file, environment.runtime_folder(), restarts)
        self._ownership = memory.ownership
        self._files: Settings | None = None
        self._by_command = False
        self._files_in_force: Settings | None = None
        self._object_book = memory.book
        self._extra_outlets = (*extra_outlets, self._object_book)
        self._extra_filters = extra_filters
        self._max_frames = max_frames
        self._settle_seconds = settle_seconds
        self.refusal = ""
        self._proving = False
        self._began_ns = environment.clock.monotonic_ns()
        self._next: Settings | None = None
        self._book: ProblemBook | None = None
        self._supervisor: Supervisor | None = None
        self.sinks: Sinks | None = None
        self.unit: Unit | None = None

    def run(self) -> None:
        """Run until stopped or finished.

        Raises:
            ApplianceError: it could not start, or failed.
        """
        self._files = self._files_in_force = self._load_settings()
        self._environment.claim_runtime_folder()
        self.sinks = self._make_sinks(self._files)
        try:
            settings, self.unit = self._wire_first(self._files)
            for left in self._object_book.left:
                self.unit.reporter.ended(left)
            before: Unit | None = None
            while True:
                unit = self.unit
                ending = self._run_once(settings, unit, before)
                if ending in {"stopped", "finished"}:
                    self._control.close(unit)
                    return
                try:
                    settings = self._change(settings, ending)
                except BaseException:
                    with contextlib.suppress(StalledError):  # what went wrong says more
                        unit.stop()
                    raise
                before = unit
        finally:
            if self.sinks is not None:
                self.sinks.close()

    def _wire_first(self, files: Settings) -> tuple[Settings, Unit]:
        """Wire the unit; without what commands changed, where that does not fit any more."""
        try:
            settings = overlay(files, self._control.changes)
            unit = self._wire(settings)
        except ApplianceError as error:
            if not self._control.forget_settings():
                raise
            settings = files
            unit = self._wire(settings)
            self.refusal = f"what commands changed is not in force: {error}"
            log.warning("%s", self.refusal)
        self._control.apply(unit)
        return settings, unit

    def _run_once(self, settings: Settings, unit: Unit, before: Unit | None) -> Ending:
        """Run until something is asked.

        Args:
            settings: of the unit.
            unit: to run.
            before: the unit before a change; None at the start.
        """
        keep_quiet()
        self._book = self._book or ProblemBook(teller(unit.reporter))
        goes_on = (
            before is not None
            and unit.engine is before.engine
            and not set(unit.lanes).isdisjoint(before.lanes)
        )
        supervisor = Supervisor(
            unit,
            self._requests,
            self._service,
            notices=self._notices,
            max_frames=self._max_frames,
            began_ns=self._began_ns,
            on_reload=lambda: self._accept(unit),
            on_command=lambda name, payload: self._obey(name, payload, unit),
            on_look=lambda: self._look(unit),
            book=self._book,
            before=self._supervisor if goes_on else None,
        )
        self._supervisor = supervisor
        self._control.publish(unit, self._files or settings)
        if unit.engine.provisional and not self._proving:
            self._proving = True  # once: what fails its proof now is not tried again
            prove_in_background(settings, self._environment, self._requests.ask_rewire)
        calibration = Calibration(unit, self._layout_known, settle_seconds=self._settle_seconds)
        if not self._max_frames:
            calibration.start()
        try:
            return supervisor.run()
        finally:
            calibration.stop()

    def _wire(self, settings: Settings, *, choose_again: bool = False) -> Unit:
        sinks = self.sinks if self.sinks is not None else self._make_sinks(settings)
        return wire(
            settings,
            self._environment,
            sinks,
            extra_filters=self._extra_filters,
            on_change=self._requests.wake.set,
            previous=self.unit,
            choose_again=choose_again,
            book=self._object_book,
            ownership=self._ownership,
        )

    def _layout_known(self, better: bool) -> None:  # noqa: FBT001 - a callback
        """Take the layout that was measured, or say that it is the one we have."""
        if better:
            self._requests.ask_rewire()
        else:
            self._requests.ask_info()

    def _make_sinks(self, settings: Settings) -> Sinks:
        device = device_of(settings, self._environment)
        reporter = self.unit.reporter if self.unit else None
        return make_sinks(
            settings,
            self._environment,
            extra=self._extra_outlets,
            on_change=self._requests.wake.set,
            on_command=self._command,
            before=self.sinks,
            meanwhile=lambda sinks: reporter.use_sinks(sinks, device) if reporter else None,
        )

    def _command(self, name: str, payload: bytes) -> None:
        """Have a command obeyed; called on the sink's thread."""
        if not self._requests.command(name, payload) and self.unit is not None:
            detail = "too many commands wait; send it again later"
            self.unit.reporter.result(name, ok=False, detail=detail)

    def _notices(self) -> tuple[str, ...]:
        mine = (self.refusal, self._control.notice)
        return (*self._environment.notices(), *filter(None, mine))

    def _obey(self, name: str, payload: bytes, running: Unit) -> bool:
        """Obey a command; return whether the unit has to change."""
        files = self._files or running.settings
        self._by_command = True
        return self._control.obey(name, payload, running, files, self._acceptor(running))

    def _look(self, running: Unit) -> bool:
        """Look after settings on trial; return whether the unit has to change back."""
        files = self._files or running.settings
        has_to = self._control.look(running, files, self._acceptor(running))
        self._by_command = self._by_command or has_to
        return has_to

    def _acceptor(self, running: Unit) -> Callable[[Settings], None]:
        def accept(new: Settings) -> None:
            check_settings(new, self._environment, running)
            self._next = new

        return accept

    def _load(self) -> Settings:
        """Read the files, and lay on top what commands changed."""
        self._files = self._load_settings()
        return overlay(self._files, self._control.changes)

    def _accept(self, running: Unit) -> bool:
        """Read the new configuration while the old one runs; say why if it cannot be used."""
        self._service.reloading(self._environment.clock.monotonic_ns())
        self._by_command = False
        before = self._files
        try:
            new = self._load()
            check_settings(new, self._environment, running)
            self._move_lock(new)
        except ApplianceError as error:
            self._files = before
            self._refuse(error)
            self._service.ready()
            return False
        self._next = new
        return True

    def _change(self, settings: Settings, ending: Ending) -> Settings:
        """Change the unit; return the settings to go on with."""
        if ending == "reload":
            return self._reload(settings)
        self.unit = self._wire(settings, choose_again=True)
        self._control.apply(self.unit)
        return settings

    def _reload(self, old: Settings) -> Settings:
        """Return the settings to go on with: the new ones; the old ones if they fail after all."""
        new = self._next or old
        failed = not self._by_command and bool(self._environment.failed_proofs)
        if not self._by_command:
            self._environment.failed_proofs.clear()  # whoever reloads may have mended something
        engine = self.unit.engine if self.unit else None
        mqtt = self.sinks.mqtt if self.sinks else None
        try:
            self.sinks = self._make_sinks(new)
            self.unit = self._wire(new, choose_again=failed)
            self._control.apply(self.unit)
            if self.sinks.mqtt is not mqtt:
                self._say_again(self.unit)
            if self.unit.engine is not engine:
                self._proving = False
        except StalledError:
            raise
        except ApplianceError as error:
            self._files = self._files_in_force
            self._move_lock(old)
            self.sinks = self._make_sinks(old)
            self.unit = self._wire(old)
            self._control.apply(self.unit)
            if self._by_command:
                self._control.failed(self.unit, self._files or old, error)
            else:
                self._refuse(error)
            return old
        if self._by_command:
            self._control.done(self.unit, self._files or new)
        else:
            self.refusal = self._control.notice = ""
            log.info("configuration reloaded")
        self._files_in_force = self._files
        return new

    def _say_again(self, unit: Unit) -> None:
        """Another connection knows nothing of what was said on the one before."""
        self._ownership.again()
        for lane in unit.lanes:
            lane.again()

    def _move_lock(self, settings: Settings) -> None:
        if self._lock is not None:
            self._lock.move(device_of(settings, self._environment))

    def _refuse(self, error: ApplianceError) -> None:
        """Say why the new configuration is not used."""
        self.refusal = "reload failed, the old configuration goes on"
        log.error("%s: %s", self.refusal, error)
