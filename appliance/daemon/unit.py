"""A wired appliance: what it is made of, and what it says of itself."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance import __version__
from appliance.board.identity import board_name, board_of
from appliance.config.addresses import without_secrets
from appliance.config.scene import labels_of, threshold_of
from appliance.daemon.ownership import topics_of
from appliance.reports.homeassistant import discoveries
from appliance.reports.messages import (
    AcceleratorFinding,
    CameraInfo,
    CameraStateInfo,
    ModelInfo,
)

if TYPE_CHECKING:
    from appliance.album.photographer import Photographer
    from appliance.config import Settings
    from appliance.config.changes import Changes
    from appliance.daemon.engine import Engine
    from appliance.daemon.heatwatch import HeatWatch
    from appliance.daemon.objectbook import ObjectBook
    from appliance.daemon.ownership import Ownership
    from appliance.daemon.sinks import Sinks
    from appliance.objects.watch import ObjectWatch
    from appliance.pipeline import Lane, Pipeline
    from appliance.pipeline.pace import Pace
    from appliance.reports.homeassistant import Discovery
    from appliance.reports.reporter import Reporter
    from appliance.selection.environment import Environment
    from appliance.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Unit:
    """A wired appliance.

    Attributes:
        lanes: of its cameras, also when the pipeline has retired them.
        watches: what makes objects of detections, of each camera.
        photographers: take the pictures of each camera that wants any.
        known: the last lane of every camera that there was; one that comes back counts on from it.
        book: what every camera counted, for ever.
        ownership: of retained topics.
    """

    settings: Settings
    environment: Environment
    device: str
    engine: Engine
    lanes: tuple[Lane, ...]
    watches: dict[str, ObjectWatch]
    photographers: dict[str, Photographer]
    known: dict[str, Lane]
    pipeline: Pipeline
    pace: Pace
    heat: HeatWatch
    reporter: Reporter
    telemetry: Telemetry
    sinks: Sinks
    book: ObjectBook
    ownership: Ownership

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

    def publish_state(
        self,
        settings: Settings,
        changes: Changes,
        scheduled: frozenset[str],
        *,
        is_tried: bool,
    ) -> None:
        """Publish what commands can change.

        Args:
            settings: in force from now on.
            changes: what commands made other than the files say.
            scheduled: cameras at which nobody looks at this time.
            is_tried: they are taken back by themselves.
        """
        cameras = {
            camera.name: CameraStateInfo(
                enabled=changes.of(camera.name).enabled,
                threshold=threshold_of(camera, settings.model),
                labels=labels_of(camera, settings.model),
                scheduled=camera.name in scheduled,
                settings=changes.of(camera.name).settings,
            )
            for camera in settings.camera
        }
        self.reporter.state(paused=changes.paused, tried=is_tried, cameras=cameras)

    def publish_info(self) -> None:
        """Publish who we are, and what Home Assistant needs to find us."""
        settings = self.settings
        devices: tuple[Discovery, ...] = ()
        if settings.homeassistant.discovery:
            devices = discoveries(
                settings,
                self.device,
                board=board_of(self.environment.root),
                software=__version__,
                labels=self.engine.selection.model.labels.names,
            )
        topics = topics_of(settings, self.device, devices)
        self.ownership.publish(self.reporter, topics, devices)
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
