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

if TYPE_CHECKING:
    from appliance.config import Settings
    from appliance.daemon.engine import Engine
    from appliance.daemon.heatwatch import HeatWatch
    from appliance.daemon.objectbook import ObjectBook
    from appliance.daemon.sinks import Sinks
    from appliance.pipeline import Lane, Pipeline
    from appliance.pipeline.pace import Pace
    from appliance.reports.reporter import Reporter
    from appliance.selection.environment import Environment
    from appliance.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Unit:
    """A wired appliance.

    Attributes:
        lanes: of its cameras, also when the pipeline has retired them.
        known: the last lane of every camera that there was; one that comes back counts on from it.
        book: what every camera counted, for ever.
    """

    settings: Settings
    environment: Environment
    device: str
    engine: Engine
    lanes: tuple[Lane, ...]
    known: dict[str, Lane]
    pipeline: Pipeline
    pace: Pace
    heat: HeatWatch
    reporter: Reporter
    telemetry: Telemetry
    sinks: Sinks
    book: ObjectBook

    def start(self) -> None:
        """Start what does not run yet, and the search for an accelerator that is away."""
        self.pipeline.start()
        self.engine.start()

    def stop(self) -> None:
        """End everything.

        Raises:
            StalledError: a thread hangs and only the process's end can end it.
        """
        try:
            self.pipeline.stop()
        finally:
            self.engine.close()
            for lane in self.lanes:
                lane.end("stopped")

    def _layout_reason(self) -> str:
        """Return why there are so many workers and threads; asked anew, for it is measured late."""
        taken = self.engine.selection
        known = self.engine.layouts.of(taken.finding, taken.accelerator, taken.model)
        return known.why if known == taken.layout else taken.layout.why

    def publish_info(self) -> None:
        """Publish who we are, and what Home Assistant needs to find us."""
        wanted = self.settings.homeassistant
        if wanted.discovery:
            board = board_name(self.environment.root)
            payload = discovery(self.settings, self.device, board=board, software=__version__)
            self.reporter.discovery(wanted.prefix, payload)
        model = self.engine.model
        self.reporter.info(
            software=__version__,
            board=board_name(self.environment.root),
            python=platform.python_version(),
            accelerator=self.engine.accelerator,
            threads=self.engine.selection.layout.threads,
            layout=self._layout_reason(),
            accelerators=tuple(
                AcceleratorFinding(
                    name=one.name, found=one.found, detail=one.detail, devices=one.devices
                )
                for one in self.engine.selection.findings
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
                    detections=camera.detections,
                    objects=camera.objects.enabled,
                )
                for camera in self.settings.camera
            ),
        )
