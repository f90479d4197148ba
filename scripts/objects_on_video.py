"""What following objects costs and keeps on a real film: docs/objects.md's figures and picture.

    python scripts/objects_on_video.py FILM [--plot docs/tracks.svg]

Tracks of every frame are the reference; those of every second frame are held against them. Then two
cameras of one daemon play the film at its own pace, one publishing every frame's detections, the
other those that say something new, and the bytes that a subscriber gets are counted by topic.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import Counter, defaultdict
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from daemon_run import daemon

from appliance.clock import SystemClock
from appliance.config import CameraSettings, Settings
from appliance.config.settings import ModelSettings
from appliance.objects.admission import Admission, lowest_of
from appliance.objects.tracker import Tracker
from appliance.selection.choose import select
from appliance.selection.environment import Environment
from appliance.sources import create_source
from appliance.values import Detections
from appliance.vision.preprocess import Preprocessor, View, boxes_to_source

mpl.use("svg")
import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.objects.tracker import Track

SAME_OVERLAP = 0.5
"""Least overlap (IoU) of two tracks' boxes of one frame that are one object."""
POLICIES = ("every", "changed")
Look = tuple[int, Detections]


def see(settings: Settings) -> tuple[list[Look], float]:
    """Return what is seen in each frame, with its time, and the picture's aspect."""
    chosen = select(settings, Environment())
    model = chosen.model
    detector = chosen.accelerator.open(model, threads=2)
    preprocessor = Preprocessor(View(), model.input_width, model.input_height)
    size = model.input_width, model.input_height
    source = create_source(settings.camera[0], input_size=size, clock=SystemClock())
    source.open()
    looks, aspect = [], 1.0
    while (frame := source.read()) is not None:
        aspect = frame.width / frame.height
        with detector.input() as tensor:
            plan = preprocessor.run(frame, tensor)
        del tensor
        detector.infer()
        seen = detector.detections(lowest_of(settings))
        boxes = boxes_to_source(seen.boxes, plan, *size)
        frame.release()
        now_ns = round(len(looks) * 1e9 / settings.camera[0].fps)
        looks.append((now_ns, Detections.of(boxes, seen.scores, seen.label_ids)))
    source.close()
    detector.close()
    return looks, aspect


def follow(looks: Iterable[Look], aspect: float, admission: Admission) -> dict[int, list[Track]]:
    """Return the tracks of each look, by its time."""
    tracker, told = Tracker(), {}
    for now_ns, seen in looks:
        found = admission.possible(seen)
        told[now_ns] = tracker.step(found, admission.sure(found), aspect=aspect, now_ns=now_ns)
    return told


def overlap(one: Track, other: Track) -> float:
    """Return the intersection over union of two boxes."""
    a, b = np.asarray(one.box), np.asarray(other.box)
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    both = float(np.prod(sides))
    return both / (float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - both)


def hold_against(
    reference: dict[int, list[Track]], held: dict[int, list[Track]]
) -> dict[int, list[tuple[int, int]]]:
    """Return, for each track of the reference, which track stood for it and when; 0 for none."""
    lives: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for now_ns, tracks in held.items():
        free = [one for one in tracks if one.seen]
        for track in (one for one in reference[now_ns] if one.seen):
            best = max(free, key=lambda one: overlap(track, one), default=None)
            number = 0
            if best is not None and overlap(track, best) >= SAME_OVERLAP:
                number = best.number
                free.remove(best)
            lives[track.number].append((now_ns, number))
    return dict(lives)


def tell_tracks(lives: dict[int, list[tuple[int, int]]]) -> None:
    """Print how well identities were kept."""
    switches = pieces = broken = 0
    for life in lives.values():
        numbers = [number for number, _ in itertools.groupby(number for _, number in life)]
        stood = [number for number in numbers if number]
        switches += sum(one != other for one, other in itertools.pairwise(stood))
        pieces += len(stood)
        broken += len(set(stood)) > 1
    covered = [number > 0 for life in lives.values() for _, number in life]
    print(
        f"{len(lives)} tracks of the reference: {switches} switches, {pieces} pieces, "
        f"{broken} under more than one identity; found in {np.mean(covered):.0%} of their looks"
    )


def plot(lives: dict[int, list[tuple[int, int]]], fps: float, target: Path) -> None:
    """Draw a line for each track of the reference, in the colour of what stood for it."""
    figure, axes = plt.subplots(figsize=(8, 0.16 * len(lives) + 1.1))
    colours = plt.get_cmap("tab20").colors  # type: ignore[attr-defined] # of listed maps
    for row, life in enumerate(sorted(lives.values(), key=lambda life: life[0])):
        for number, part in itertools.groupby(life, key=lambda look: look[1]):
            times = [now_ns / 1e9 for now_ns, _ in part]
            colour = colours[number % len(colours)] if number else "#dddddd"
            axes.plot([times[0], times[-1] + 1.9 / fps], [row, row], color=colour, lw=3)
    axes.set_xlabel("seconds of the film")
    axes.set_ylabel("tracks at the full rate")
    axes.set_yticks([])
    axes.set_title("at half the rate; another colour is another identity, grey none", fontsize=9)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


def traffic(film: Path, seconds: float) -> dict[str, Counter[str]]:
    """Return the bytes of payload that a subscriber gets, by camera and topic."""
    cameras = ", ".join(
        f'{{name="{name}", source="video:{film.resolve()}", labels=["person"], '
        f'detections="{name}", options={{real_time=true}}}}'
        for name in POLICIES
    )
    with daemon(f"camera=[{cameras}]", "homeassistant.discovery=false") as watched:
        watched.wait_for("detections", 60)
        Event().wait(seconds - 1)  # the film's end ends the daemon
    bytes_of: dict[str, Counter[str]] = {name: Counter() for name in POLICIES}
    for topic, size in watched.sizes.items():
        _, _, camera, *kind = topic.split("/")
        if camera in bytes_of:
            bytes_of[camera]["/".join(kind)] += size
    return bytes_of


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("--fps", type=float, default=10.0, help="of the film")
    parser.add_argument("--plot", type=Path, help="draw the tracks there (SVG)")
    given = parser.parse_args()
    camera = CameraSettings(source=f"video:{given.film}", fps=given.fps, labels=("person",))
    settings = Settings(camera=(camera,), model=ModelSettings(name="auto"))
    looks, aspect = see(settings)
    admission = Admission(camera, select(settings, Environment()).model.labels, settings.model)
    began = time.thread_time()
    whole = follow(looks, aspect, admission)
    spent_ms = (time.thread_time() - began) * 1e3 / len(looks)
    lives = hold_against(whole, follow(looks[::2], aspect, admission))
    print(f"{len(looks)} frames, {spent_ms:.2f} ms of tracking a frame")
    tell_tracks(lives)
    if given.plot:
        plot(lives, given.fps, given.plot)
    counted = traffic(given.film, len(looks) / given.fps)
    whole_bytes = {name: sum(one.values()) for name, one in counted.items()}
    for name, one in counted.items():
        print(f"{name:8} {whole_bytes[name]:9,} bytes: {_shares(one)}")
    saved = 1 - counted["changed"]["detections"] / counted["every"]["detections"]
    print(f"less: {saved:.1%} of detections, ", end="")
    print(f"{1 - whole_bytes['changed'] / whole_bytes['every']:.1%} of all")


def _shares(counts: Counter[str]) -> str:
    return ", ".join(f"{topic} {size:,}" for topic, size in counts.most_common())


if __name__ == "__main__":
    main()
