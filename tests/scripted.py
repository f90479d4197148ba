"""A pipeline in slow motion: scripted detector, manual clock, steps instead of threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.accelerators.fake import FakeDetector
from appliance.clock import ManualClock
from appliance.messages import AcceleratorFinding, CameraInfo, ModelInfo, OutboxInfo
from appliance.models import Labels, Vocabulary
from appliance.pipeline import Lane
from appliance.pipeline.pace import Pace
from appliance.pipeline.slot import Exchange
from appliance.pipeline.worker import Worker
from appliance.preprocess import View
from appliance.reporter import Identity, Reporter
from appliance.telemetry import Telemetry
from appliance.values import Detections
from tests.helpers import seen, source

if TYPE_CHECKING:
    from appliance.filters import Filter
    from appliance.sinks import Sink

LABELS = Labels(("", "person", "bicycle", "car"))
PI4 = Path(__file__).parent / "fixtures" / "roots" / "pi4"


def script(number: int) -> Detections:
    """One person walking right, a car every third frame, nothing every tenth."""
    if number % 10 == 9:
        return Detections.empty()
    x = number / 100
    rows = [(x, 0.2, x + 0.1, 0.8, 0.9, 1)]
    if number % 3 == 0:
        rows.append((0.5, 0.5, 0.7, 0.6, 0.65, 3))
    return seen(*rows)


@dataclass
class Stage:
    """Everything a scripted run needs, driven by ``step``."""

    clock: ManualClock
    lane: Lane
    worker: Worker
    exchange: Exchange[Lane]
    reporter: Reporter
    pace: Pace

    def step(self) -> bool:
        """Capture one frame and process it; False at the end."""
        more = self.lane.capture_one(self.exchange, threading.Event())
        self.worker.work_one(self.exchange, 0)
        return more

    def publish_metrics(self) -> None:
        self.reporter.metrics(
            self.lane.name,
            self.lane.statistics.roll(self.clock.monotonic_ns()),
            self.lane.ledger.counts(),
            live=True,
            valid_for=timedelta(seconds=30),
        )

    def publish_health(self) -> None:
        self.reporter.health(
            Telemetry.over(PI4, self.clock).snapshot(),
            reasons=(),
            starting=False,
            uptime_seconds=1.5,
            outbox=OutboxInfo(messages=0, bytes=0, dropped=0),
            valid_for=timedelta(seconds=30),
        )

    def publish_info(self) -> None:
        self.reporter.info(
            software="0.0.0",
            board="Raspberry Pi 4 Model B Rev 1.4",
            python="3.13.0",
            accelerator="fake",
            threads=1,
            layout="configured",
            accelerators=(AcceleratorFinding(name="cpu", found=True, detail="fake"),),
            model=ModelInfo(id="fake", sha256="00", input=(300, 300)),
            cameras=(CameraInfo(name="front", source="synthetic", width=320, height=240, fps=20),),
        )


def stage(*sinks: Sink, frames: int = 60, filters: tuple[Filter, ...] = ()) -> Stage:
    clock = ManualClock()
    identity = Identity("unit-1", "boot00000000", 1, Vocabulary(LABELS))
    reporter = Reporter(identity, sinks, clock)
    exchange: Exchange[Lane] = Exchange(1)
    pace = Pace()
    lane = Lane(
        index=0,
        name="front",
        source=source(
            "synthetic", clock, fps=20, width=320, height=240, options={"frames": frames}
        ),
        view=View(),
        filters=filters,
        emit=lambda observation, _lane: reporter.detections(observation),
        on_event=reporter.camera_event,
        clock=clock,
        pace=pace.lane(),
    )
    worker = Worker(
        name="worker 0",
        detector=FakeDetector(script, seconds=0.03, clock=clock),
        vocabulary=Vocabulary(LABELS),
        score_threshold=0.5,
        clock=clock,
    )
    lane.source.open()
    return Stage(clock, lane, worker, exchange, reporter, pace)
