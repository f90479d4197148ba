"""A unit in slow motion: wired by the product itself, on a manual clock, driven step by step.

Only three things are not the product's: the clock, the detector's eyes, and the threads, which
are steps here.
"""

from __future__ import annotations

import os
import threading
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.clock import ManualClock
from appliance.config import CameraSettings, Settings
from appliance.config.settings import AcceleratorSettings, MqttSettings
from appliance.daemon.requests import Requests
from appliance.daemon.sinks import Sinks
from appliance.daemon.supervisor import Supervisor
from appliance.daemon.systemd import ServiceManager
from appliance.daemon.wiring import wire
from tests.fakes.scripted_cpu import PATHS, ScriptedCpu
from tests.helpers import environment

if TYPE_CHECKING:
    from appliance.daemon.unit import Unit
    from appliance.filters import Filter
    from appliance.pipeline import Lane
    from appliance.pipeline.pace import Pace
    from appliance.reports.outgoing import Outgoing, Sink
    from appliance.reports.reporter import Reporter
    from appliance.selection.environment import Environment
    from appliance.sinks import Outlet

PI4 = Path(__file__).parent / "fixtures" / "roots" / "pi4"


@dataclass
class Direct:
    """Hands each message to an outlet at once, on the caller's thread."""

    outlet: Outlet

    def put(self, outgoing: Outgoing) -> None:
        if self.outlet.kinds is None or outgoing.kind in self.outlet.kinds:
            self.outlet.handle(outgoing)

    def end(self) -> None:
        pass

    def close(self) -> None:
        self.outlet.close()


@dataclass
class Stage:
    """A wired unit, driven by ``step``."""

    clock: ManualClock
    unit: Unit
    supervisor: Supervisor

    @property
    def lane(self) -> Lane:
        return self.unit.pipeline.lanes[0]

    @property
    def reporter(self) -> Reporter:
        return self.unit.reporter

    @property
    def pace(self) -> Pace:
        return self.unit.pace

    def step(self) -> bool:
        """Capture one frame and process it; False at the end."""
        exchange = self.unit.pipeline.exchange
        more = self.lane.capture_one(exchange, threading.Event())
        self.unit.pipeline.workers[0].work_one(exchange, 0)
        return more

    def publish_info(self) -> None:
        self.unit.publish_info()

    def publish_metrics(self) -> None:
        self.supervisor._publish_metrics()

    def publish_health(self) -> None:
        self.supervisor._sampler.start()
        self.supervisor._publish_health()
        self.supervisor._sampler.close()


def surroundings(clock: ManualClock) -> tuple[Environment, str]:
    """Return a Pi 4 on paper, and the name of its clock."""
    name = uuid.uuid4().hex
    ScriptedCpu.clocks[name] = clock
    folder = Path(os.environ["XDG_RUNTIME_DIR"], name)  # a test's own, see conftest
    folder.mkdir()
    there = replace(environment(folder, clock, PI4), accelerators=PATHS)
    return replace(there, variables={**there.variables, "STATE_DIRECTORY": str(folder)}), name


def settings(clock_name: str, *, frames: int = 60, port: int | None = None) -> Settings:
    return Settings(
        device="unit-1",
        mqtt=MqttSettings(
            enabled=port is not None, host="127.0.0.1", port=port or 1883, outbox="memory"
        ),
        sinks={"prometheus": {"port": 0}},
        accelerator=AcceleratorSettings(
            name="cpu", options={"cpu": {"clock": clock_name}}, workers=1, threads=1
        ),
        camera=(
            CameraSettings(
                name="front",
                source="synthetic",
                fps=20,
                width=320,
                height=240,
                options={"frames": frames},
            ),
        ),
    )


def stage(*sinks: Sink, frames: int = 60, filters: tuple[Filter, ...] = ()) -> Stage:
    """Return a unit that hands its messages to ``sinks``."""
    clock = ManualClock()
    there, name = surroundings(clock)
    return stage_of(
        settings(name, frames=frames), there, clock, Sinks(None, {"test": sinks}), filters
    )


def stage_of(
    wanted: Settings,
    there: Environment,
    clock: ManualClock,
    sinks: Sinks,
    filters: tuple[Filter, ...] = (),
) -> Stage:
    unit = wire(wanted, there, sinks, extra_filters=lambda _: filters)
    (lane,) = unit.pipeline.lanes
    lane.source.open()
    lane.progress.opened(clock.monotonic_ns())
    return Stage(clock, unit, Supervisor(unit, Requests(), ServiceManager({})))
