"""Count the instructions of a frame: a figure that other work on the machine does not touch.

    python scripts/instructions.py [--json FILE]

Each work is run twice under valgrind's callgrind, for N and for 3 N frames; what they differ in is
what 2 N frames cost, without the start. One thread of inference. valgrind knows AVX2 but not VNNI,
so that inference takes the share that it has on processors without (a Raspberry Pi's, say).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from appliance.bench.source import PreloadedSource, preload
from appliance.clock import SystemClock
from appliance.config import CameraSettings, Settings
from appliance.config.settings import AcceleratorSettings, ModelSettings, MqttSettings
from appliance.daemon.sinks import make_sinks
from appliance.daemon.tuning import keep_quiet
from appliance.daemon.wiring import wire
from appliance.models import Labels
from appliance.objects.admission import Admission
from appliance.objects.scene import Scene
from appliance.objects.tally import Tally
from appliance.objects.watch import ObjectWatch
from appliance.selection.choose import select
from appliance.selection.environment import Environment
from appliance.selection.proof import golden_frame, load_frame
from appliance.sources import create_source
from appliance.values import ClockOrigin, Detections, Observation, StageTimes

if TYPE_CHECKING:
    from collections.abc import Callable

FRAMES = 30
_COLLECTED = re.compile(r"Collected : (\d+)")
_SIZE = (1280, 720)
_FPS = 15.0
_LABELS = Labels(("person",))


def _settings(*, objects: bool) -> Settings:
    camera = CameraSettings(source="synthetic", options={"rate": "file"})
    if not objects:
        camera = CameraSettings(
            source="synthetic",
            options={"rate": "file"},
            objects=type(camera.objects)(enabled=False),
        )
    return Settings(
        camera=(camera,),
        model=ModelSettings(name="ssdlite-mobilenet-v2-int8"),
        accelerator=AcceleratorSettings(name="cpu", workers=1, threads=1),
        mqtt=MqttSettings(enabled=False),
    )


def invoke(frames: int) -> None:
    """Infer, and nothing else."""
    chosen = select(_settings(objects=False), Environment())
    detector = chosen.accelerator.open(chosen.model, threads=1)
    load_frame(detector, golden_frame(0.0, _SIZE)[0])
    for _ in range(frames):
        detector.infer()
    detector.close()


def pipeline(frames: int, *, objects: bool) -> None:
    """Run the pipeline from memory to the end of its source."""
    settings, environment = _settings(objects=objects), Environment()
    camera = settings.camera[0]
    pool = preload(create_source(camera, input_size=(300, 300), clock=environment.clock))
    sinks = make_sinks(settings, environment)
    unit = wire(
        settings,
        environment,
        sinks,
        make_source=lambda _camera, _size: PreloadedSource(pool, frames, None, environment.clock),
    )
    keep_quiet()
    unit.pipeline.start()
    while not unit.pipeline.finished():
        unit.pipeline.check()
        threading.Event().wait(0.2)
    unit.pipeline.stop()
    sinks.close()
    unit.engine.close()


def follow(frames: int, *, objects: int) -> None:
    """Follow so many people that walk through the picture, as the filter of a camera does."""
    camera = CameraSettings()
    scene = Scene(camera, ("person",), _LABELS.name, Tally(), SystemClock().utc)
    watch = ObjectWatch(Admission(camera, _LABELS, ModelSettings()), scene)
    chance = np.random.default_rng(7)
    places, speeds = chance.uniform(0, 1, (objects, 2)), chance.uniform(-0.1, 0.1, (objects, 2))
    for number in range(frames):
        there = np.abs((places + speeds * number / _FPS) % 2 - 1) * [0.9, 0.7]
        noise = chance.normal(0, 0.002, (objects, 4))
        boxes = (np.hstack([there, there + np.array([0.08, 0.25])]) + noise).astype(np.float32)
        seen = chance.random(objects) > 0.1  # a miss in ten looks
        scores = chance.uniform(0.6, 0.9, objects).astype(np.float32)
        found = Detections.of(boxes, scores, np.zeros(objects, np.int32)).where(seen)
        times = StageTimes(*(round(number * 1e9 / _FPS),) * 6)
        watch.apply(Observation("camera", number, *_SIZE, ClockOrigin.READ, found, times))


WORK: dict[str, Callable[[int], None]] = {
    "invoke": invoke,
    "pipeline": partial(pipeline, objects=False),
    "pipeline with objects": partial(pipeline, objects=True),
    "following 5": partial(follow, objects=5),
    "following 20": partial(follow, objects=20),
}


def count(name: str, frames: int) -> int:
    """Return the instructions of a work's process."""
    done = subprocess.run(
        [
            *("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"),
            *(sys.executable, __file__, "--work", name, "--frames", str(frames)),
        ],
        env={**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = _COLLECTED.search(done.stderr)
    if done.returncode or found is None:
        sys.exit(f"{name}: {done.stderr[-2000:]}")
    return int(found[1])


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", choices=WORK, help="only do this, uncounted")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--json", type=Path, help="write the figures there")
    given = parser.parse_args()
    if given.work:
        WORK[given.work](given.frames)
        return
    figures = {}
    for name in WORK:
        few, many = count(name, given.frames), count(name, 3 * given.frames)
        figures[name] = (many - few) / (2 * given.frames)
        share = figures[name] / figures["invoke"]
        print(f"{name:24} {figures[name] / 1e6:9.3f} million a frame, {share:7.2%} of an invoke")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
