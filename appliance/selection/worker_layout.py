"""How many detectors run side by side with how many threads each: arithmetic and choice, pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_WORKERS = 4
"""Of the layout taken unmeasured: more detectors cost memory each and seldom gain anything."""
_AS_GOOD = 0.97
"""Layouts this close in what is aimed for are as good: then the other aim decides."""

Aim = Literal["throughput", "latency"]
Wanted = int | Literal["auto"]


@dataclass(frozen=True, slots=True)
class WorkerLayout:
    """How many detectors run side by side, and how many threads each has.

    Attributes:
        workers, threads: the two numbers.
        why: where they come from, for people.
    """

    workers: int
    threads: int
    why: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.workers}x{self.threads}"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What one layout did.

    Attributes:
        workers, threads: the layout.
        fps: frames a second of all workers together: resize, inference and decoding.
        frame_ms: median time of one frame in its worker.
        wrong: what it saw wrongly on the golden pictures; empty if nothing.
    """

    workers: int
    threads: int
    fps: float
    frame_ms: float
    wrong: str = ""

    @property
    def layout(self) -> WorkerLayout:
        """Return the layout that was tried."""
        return WorkerLayout(self.workers, self.threads)


def candidates(cpus: int) -> tuple[WorkerLayout, ...]:
    """Return the layouts worth trying, the one that is taken unmeasured first.

    Those that use every CPU once, one that leaves a CPU to the rest of the system, and one with a
    worker more than CPUs, which resizes and decodes while the others infer.

    Args:
        cpus: that we may use.
    """
    pairs = [(min(cpus, MAX_WORKERS), 1)]
    pairs += [(cpus // t, t) for t in range(1, cpus + 1) if cpus % t == 0]
    pairs += [(max(1, cpus - 1), 1), (cpus + 1, 1)]
    return tuple(WorkerLayout(w, t) for w, t in dict.fromkeys(pairs))


def unmeasured(cpus: int, most: int | None, workers: Wanted, threads: Wanted) -> WorkerLayout:
    """Return what is configured, the rest filled in: one single-threaded worker a CPU.

    Args:
        cpus: that we may use.
        most: how many detectors the accelerator opens at once; None for any number.
        workers: as configured.
        threads: as configured.
    """
    limit = most or MAX_WORKERS
    if workers == "auto":
        share = cpus if threads == "auto" else max(1, cpus // threads)
        count, why = min(share, limit), f"a worker a CPU, at most {limit}; not measured"
    else:
        count, why = min(workers, most or workers), "configured"
    if threads == "auto":
        return WorkerLayout(count, 1 if workers == "auto" else max(1, cpus // count), why)
    return WorkerLayout(count, threads, "configured")


def best(trials: Iterable[Trial], aim: Aim) -> Trial | None:
    """Return the layout to take; None if none saw what it should."""
    right = [one for one in trials if not one.wrong and one.fps > 0]
    if not right:
        return None

    def merits(one: Trial) -> tuple[float, float]:
        rate, quickness = one.fps, 1 / one.frame_ms
        return (rate, quickness) if aim == "throughput" else (quickness, rate)

    top = max(merits(one)[0] for one in right)
    good = (one for one in right if merits(one)[0] >= _AS_GOOD * top)
    return max(good, key=lambda one: merits(one)[1])


def reason(trials: Iterable[Trial], taken: Trial, aim: Aim) -> str:
    """Return why a layout was taken, in a sentence."""
    others = ", ".join(
        f"{one.layout} {one.wrong or _shown(one)}"
        for one in sorted(trials, key=lambda one: -one.fps)
        if one.layout != taken.layout
    )
    return f"measured for {aim}: {taken.layout} {_shown(taken)}; {others or 'nothing to compare'}"


def _shown(one: Trial) -> str:
    return f"{one.fps:.1f} FPS, {one.frame_ms:.1f} ms"
