"""``appliance telemetry``: what the board's sensors say; recorded, and replayed to the governor."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.cli.common import print_json
from appliance.clock import NS_PER_SECOND, SystemClock
from appliance.errors import MediaError, UsageError
from appliance.heat import Action
from appliance.heat.causes import Causes
from appliance.heat.episodes import describe as describe_episode
from appliance.heat.watch import HeatPolicy, HeatState, Work
from appliance.telemetry import Snapshot, Telemetry, unflattened
from appliance.telemetry import describe as describe_readings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

MOST = 86_400.0


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a recording."""

    at_ns: int
    snapshot: Snapshot


class _Line(msgspec.Struct, frozen=True):
    at_ns: int
    snapshot: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--root", type=Path, default=Path("/"), help="read under another root")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write readings, one a line")
    parser.add_argument(
        "--interval", type=float, default=10.0, metavar="S", help="between two recorded readings"
    )
    parser.add_argument(
        "--seconds", type=float, default=0.0, metavar="S", help="of recording; 0 until interrupted"
    )
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="what the governor would have made of a file"
    )
    parser.add_argument("--fps", type=float, default=10.0, help="frame rate assumed in a replay")
    parser.add_argument("--min-fps", type=float, default=5.0, help="the governor's floor there")


def run(options: argparse.Namespace) -> int:
    """Print one snapshot, record many, or replay a recording."""
    for name in ("interval", "fps", "min_fps"):
        if not 0 < getattr(options, name) <= MOST:
            raise UsageError(f"--{name.replace('_', '-')}: expected above 0 and at most {MOST:g}")
    if options.record and options.record.exists():
        raise UsageError(f"--record {options.record}: is there already", hint="another name")
    if options.replay:
        for line in replay(_read(options.replay), fps=options.fps, min_fps=options.min_fps):
            print_json(line) if options.json else print(line.text)
        return 0
    telemetry = Telemetry.over(options.root, SystemClock())
    if options.record:
        return _record(telemetry, options)
    snapshot = telemetry.snapshot()
    if options.json:
        print_json(snapshot.flat())
    else:
        for text in describe(snapshot):
            print(text)
    return 0


def _record(telemetry: Telemetry, options: argparse.Namespace) -> int:
    clock, never = SystemClock(), threading.Event()
    began_ns = clock.monotonic_ns()
    with options.record.open("ab") as file:
        while True:
            at_ns = clock.monotonic_ns() - began_ns
            taken = telemetry.snapshot().flat()
            line = msgspec.json.encode({"at_ns": at_ns, "snapshot": taken})
            file.write(line + b"\n")
            file.flush()
            if options.seconds and at_ns >= options.seconds * NS_PER_SECOND:
                return 0
            clock.wait(never, options.interval)


def _read(path: Path) -> Iterator[Record]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise MediaError(f"recording {path}: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        try:
            tree = msgspec.json.decode(line, type=_Line)
            yield Record(tree.at_ns, unflattened(tree.snapshot))
        except msgspec.DecodeError as error:
            raise MediaError(
                f"recording {path}: line {number}: {error}",
                hint="made by `appliance telemetry --record`?",
            ) from error


@dataclass(frozen=True, slots=True)
class Event:
    """What happened in a replay: seconds from its start, and the line for a person."""

    seconds: float
    kind: str
    text: str


def replay(records: Iterator[Record], *, fps: float, min_fps: float) -> Iterator[Event]:
    """Yield episodes and what the governor would have done, in the recording's own time."""
    state = HeatState(HeatPolicy("act", min_fps))
    for record in records:
        governor, seconds = state.governor, record.at_ns / NS_PER_SECOND
        target_fps = governor.target_fps if governor else None
        rate = fps if target_fps is None else min(fps, target_fps)
        state.window(Work(fps=rate or None))  # nothing runs in a pause
        for event in state.poll(record.at_ns, record.snapshot):
            if isinstance(event, Action):
                target = "no limit" if event.target_fps is None else f"{event.target_fps:g} FPS"
                kind, words = "governor", f"{event.mode}, {target}: {event.reason}"
            else:
                kind, words = event.kind, describe_episode(event.episode)
            yield Event(seconds, kind, f"{seconds:8.1f} s  {kind}: {words}")


def describe(snapshot: Snapshot) -> list[str]:
    """Return the snapshot as lines for a person."""
    causes = Causes()
    told = causes.look(snapshot)
    now = ", ".join(told or ()) or ("no" if causes.tells_of_heat else "not known here")
    lines = [*describe_readings(snapshot.readings), f"throttled    now: {now}"]
    for name, status in snapshot.collectors.items():
        if status.error:
            lines.append(f"{name:<12} failed: {status.error}")
        elif name not in snapshot.readings:
            lines.append(f"{name:<12} not on this board")
    return lines
