"""The detector alone: what everybody else's FPS counts."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from appliance.bench.processes import cpu_seconds
from appliance.clock import NS_PER_MS, NS_PER_SECOND, SystemClock
from appliance.errors import ApplianceError, FrameError, MediaError
from appliance.selection.proof import golden_frame, load_frame
from appliance.sources.images import read_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.accelerators import Detector
    from appliance.selection import Selection
    from appliance.values import Frame

WARM_UP = 5
PICTURE_SIZE = (3888, 2916)
"""Of the 2019 benchmarks' one picture."""
_SHOWN_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Alone:
    """Invokes of all workers together, in the pipeline's own layout.

    Attributes:
        fps: a second.
        cpu_seconds: processor time of one, child processes included.
    """

    fps: float
    cpu_seconds: float


def invoke_alone(chosen: Selection, invokes: int) -> Alone:
    """Return what the detectors sustain when nothing else is done.

    Args:
        chosen: accelerator, model and layout.
        invokes: to measure, all workers together.

    Raises:
        ApplianceError: a detector failed.
    """
    workers = chosen.layout.workers
    detectors = [
        chosen.accelerator.open(chosen.model, threads=chosen.layout.threads) for _ in range(workers)
    ]
    turns = iter(range(max(2 * workers, invokes)))
    ended_ns: list[int] = []
    gate = threading.Barrier(workers + 1)
    failures: list[ApplianceError] = []
    threads = [
        threading.Thread(target=_invoke, args=(detector, turns, ended_ns, gate, failures))
        for detector in detectors
    ]
    for thread in threads:
        thread.start()
    with contextlib.suppress(threading.BrokenBarrierError):  # one failed before it began
        gate.wait()
    began_cpu = cpu_seconds()
    for thread in threads:
        thread.join()
    used = cpu_seconds() - began_cpu
    for detector in detectors:
        detector.close()
    if failures:
        raise failures[0]
    elapsed_ns = max(ended_ns) - min(ended_ns)
    return Alone((len(ended_ns) - 1) * NS_PER_SECOND / elapsed_ns, used / len(ended_ns))


def _invoke(
    detector: Detector,
    turns: Iterator[int],
    ended_ns: list[int],
    gate: threading.Barrier,
    failures: list[ApplianceError],
) -> None:
    """Invoke as long as there are turns, which all workers share, as the pipeline shares frames."""
    try:
        warm_up(detector)
        gate.wait()
        for _ in turns:
            detector.infer()
            ended_ns.append(time.monotonic_ns())
    except ApplianceError as error:
        failures.append(error)
        gate.abort()
    except threading.BrokenBarrierError:
        return  # another one failed


def warm_up(detector: Detector) -> None:
    """Infer on a grey picture until memory is there and caches are filled.

    Raises:
        DetectorError: it cannot.
    """
    _fill(detector)
    for _ in range(WARM_UP):
        detector.infer()


def _fill(detector: Detector) -> None:
    """Load a grey picture; the view must not outlive this call."""
    with detector.input() as tensor:
        tensor[:] = 128


def method_of_2019(chosen: Selection, runs: int, frame: Frame) -> dict[str, Any]:
    """Return what the 2019 benchmarks measured: one picture, resized once, invoke alone.

    One detector; the first run, slower from loading, is left out; mean time.

    Raises:
        ApplianceError: the detector failed.
    """
    detector = chosen.accelerator.open(chosen.model, threads=chosen.layout.threads)
    try:
        load_frame(detector, frame)
        durations_ns = []
        for _ in range(runs + 1):
            before_ns = time.monotonic_ns()
            detector.infer()
            durations_ns.append(time.monotonic_ns() - before_ns)
        seen = detector.detections(_SHOWN_THRESHOLD)
    finally:
        detector.close()
    mean_ms = statistics.fmean(durations_ns[1:]) / NS_PER_MS
    return {
        "picture": frame.name,
        "size": [frame.width, frame.height],
        "runs": runs,
        "threads": chosen.layout.threads,
        "mean_ms": round(mean_ms, 3),
        "fps": round(1000 / mean_ms, 3),
        "sees": [chosen.model.labels.name(int(one)) for one in seen.label_ids],
    }


def one_picture(path: Path | None) -> Frame:
    """Return the picture for the method of 2019; without ``path`` a synthetic one of its size.

    Raises:
        MediaError: it cannot be read.
    """
    if path is not None:
        try:
            return read_image(path, SystemClock(), 0)
        except FrameError as error:
            raise MediaError(str(error)) from error
    return replace(golden_frame(0.0, PICTURE_SIZE)[0], name="synthetic")
