"""Is a sound unit ever blamed? Cameras of every pace run side by side, and every reason is printed.

Usage: python scripts/clean_hour.py [--minutes 60] [--video FILE]

Three units at once: one of synthetic cameras at 20 FPS, at 1 FPS and behind a motion gate (and a
video, played at its pace, with --video); one of sixteen cameras; one that is given pictures as fast
as it takes them, for the first two minutes only, since it would take the processor from the others.
Exit code 1 where any of them was anything but starting or ok, or sent an alert.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon_run import daemon

if TYPE_CHECKING:
    from daemon_run import Watched

FILE_MINUTES = 2.0
SMALL = "width=320, height=240"
LAZY = "motion={gate=true, threshold=0.9}"


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--video", type=Path)
    options = parser.parse_args()
    paces = [
        f"{{name='steady', source='synthetic', fps=20, {SMALL}}}",
        f"{{name='slow', source='synthetic', fps=1, {SMALL}}}",
        f"{{name='gated', source='synthetic', fps=10, {SMALL}, motion={{gate=true}}}}",
    ]
    if options.video:
        play = "options={real_time=true, loop=true}"
        paces += [
            f"{{name='video', source='video:{options.video}', fps=5, {play}}}",
            f"{{name='still', source='video:{options.video}', fps=5, {play}, {LAZY}}}",
        ]
    many = [f"{{name='c{n}', source='synthetic', fps={1 + n % 3}, {SMALL}}}" for n in range(16)]
    file = f"{{name='file', source='synthetic', {SMALL}, options={{rate='file'}}}}"
    units = {
        "paces": ((*paces,), options.minutes),
        "sixteen": ((*many,), options.minutes),
        "file": ((file,), min(FILE_MINUTES, options.minutes)),
    }
    faults: list[str] = []
    threads = [
        threading.Thread(target=watch, args=(name, cameras, minutes, faults))
        for name, (cameras, minutes) in units.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("\n".join(faults) or "no false reason, no alert")
    return 1 if faults else 0


def watch(name: str, cameras: tuple[str, ...], minutes: float, faults: list[str]) -> None:
    """Run a unit and note every state that a sound one is never in."""
    states: dict[str, int] = {}
    with ExitStack() as stack:
        one = stack.enter_context(daemon(f"camera=[{', '.join(cameras)}]", "accelerator.name=cpu"))
        seen = -1
        alert = None
        while time.monotonic() - one.began < minutes * 60:
            time.sleep(0.2)
            health = one.last.get("health")
            if health is not None and health["seq"] != seen:
                seen = health["seq"]
                states[health["state"]] = states.get(health["state"], 0) + 1
                if health["state"] == "degraded":
                    faults.append(f"{name} after {elapsed(one):.0f} s: {health['reasons']}")
            if one.process.poll() is not None:
                faults.append(f"{name} after {elapsed(one):.0f} s: ended, {one.process.returncode}")
                break
            if one.last.get("alerts") is not alert:
                alert = one.last["alerts"]
                faults.append(f"{name} after {elapsed(one):.0f} s: alert {what(alert)}")
        told = {
            of_camera["camera"]: of_camera["frames"]["processed"] for of_camera in of_cameras(one)
        }
        results = sum(told.values())
        idle = [camera for camera, count in told.items() if not count]
        if not states or not results or idle:
            faults.append(f"{name}: nothing was looked at: states {states}, no results of {idle}")
    print(f"{name}: {minutes:g} minutes, states {states}, results of all cameras {results}")


def elapsed(one: Watched) -> float:
    """Return seconds since the unit was started."""
    return time.monotonic() - one.began


def what(alert: dict[str, Any] | None) -> str:
    """Return an alert in short."""
    return f"{alert['kind']}: {alert['reason']}" if alert else ""


def of_cameras(one: Watched) -> list[dict[str, Any]]:
    """Return the newest metrics of each camera."""
    return list(one.metrics.values())


if __name__ == "__main__":
    sys.exit(main())
