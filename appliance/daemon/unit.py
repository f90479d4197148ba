"""A wired appliance: what it is made of, and what it says of itself."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance import __version__
from appliance.board.identity import board_name
from appliance.config.addresses import without_secrets
from appliance.reports.homeassistant import discovery
from appliance.reports.messages import AcceleratorFinding, CameraInfo, ModelInfo
from appliance.selection.choose import AUTO, make_layouts

if TYPE_CHECKING:
    from appliance.config import Settings
    from appliance.daemon.heatwatch import HeatWatch
    from appliance.daemon.sinks import Sinks
    from appliance.pipeline import Pipeline
    from appliance.pipeline.pace import Pace
    from appliance.reports.reporter import Reporter
    from appliance.selection import Selection
    from appliance.selection.environment import Environment
    from appliance.selection.failover import Switch
    from appliance.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Unit:
    """A wired appliance, not started."""

    settings: Settings
    environment: Environment
    device: str
    selection: Selection
    switch: Switch | None
    provisional: bool
    pipeline: Pipeline
    pace: Pace
    heat: HeatWatch
    reporter: Reporter
    telemetry: Telemetry
    sinks: Sinks

    @property
    def accelerator(self) -> str:
        """Return the name of the accelerator that runs now."""
        return self.switch.running if self.switch else self.selection.accelerator.name

    def accelerator_problems(self) -> tuple[str, ...]:
        """Return why the accelerator does less than it should; empty if all is well."""
        if self.switch is not None and self.switch.lost_reason:
            lost = f"accelerator {self.switch.primary}: running on {self.switch.running} instead"
            return (f"{lost}: {self.switch.lost_reason}",)
        name = self.settings.accelerator.name
        if self.provisional and name != AUTO:
            return (
                f"accelerator {name}: is being proved, running on {self.accelerator} meanwhile",
            )
        degraded = {worker.detector.degraded for worker in self.pipeline.workers}
        return tuple(sorted(f"accelerator: {reason}" for reason in degraded if reason))

    def start(self) -> None:
        """Start the pipeline, and the search for an accelerator that is away."""
        self.pipeline.start()
        if self.switch is not None:
            self.switch.start()

    def close(self) -> None:
        """Stop looking for the accelerator."""
        if self.switch is not None:
            self.switch.close()

    def _layout_reason(self) -> str:
        """Return why there are so many workers and threads; asked anew, for it is measured late."""
        taken, layouts = self.selection, make_layouts(self.settings, self.environment)
        known = layouts.of(taken.finding, taken.accelerator, taken.model)
        return known.why if known == taken.layout else taken.layout.why

    def publish_info(self) -> None:
        """Publish who we are, and what Home Assistant needs to find us."""
        wanted = self.settings.homeassistant
        if wanted.discovery:
            board = board_name(self.environment.root)
            payload = discovery(self.settings, self.device, board=board, software=__version__)
            self.reporter.discovery(wanted.prefix, payload)
        model = self.switch.running_model() if self.switch else self.selection.model
        self.reporter.info(
            software=__version__,
            board=board_name(self.environment.root),
            python=platform.python_version(),
            accelerator=self.accelerator,
            threads=self.selection.layout.threads,
            layout=self._layout_reason(),
            accelerators=tuple(
                AcceleratorFinding(
                    name=one.name, found=one.found, detail=one.detail, devices=one.devices
                )
                for one in self.selection.findings
            ),
            model=ModelInfo(
                id=model.id, sha256=model.sha256, input=(model.input_width, model.input_height)
            ),
            cameras=tuple(
                CameraInfo(
                    name=camera.name,
                    source=without_secrets(camera.source),
                    width=camera.width,
                    height=camera.height,
                    fps=camera.fps,
                )
                for camera in self.settings.camera
            ),
        )
