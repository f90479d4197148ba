"""``appliance telemetry``: what the board's sensors say; recorded, and replayed to the governor."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from appliance.cli.common import print_json
from appliance.clock import NS_PER_SECOND, SystemClock
from appliance.errors import MediaError, UsageError
from appliance.heat import EpisodeTracker, Governor, GovernorPolicy
from appliance.heat.episodes import describe as describe_episode
from appliance.telemetry import Snapshot, Telemetry

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_MIB = 1 << 20
MOST = 86_400.0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a recording."""

    at_ns: int
    snapshot: Snapshot


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
        print_json(snapshot)
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
            line = msgspec.json.encode(Record(at_ns=at_ns, snapshot=telemetry.snapshot()))
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
            yield msgspec.json.decode(line, type=Record)
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
    tracker, governor = EpisodeTracker(), None
    for record in records:
        snapshot, seconds = record.snapshot, record.at_ns / NS_PER_SECOND
        celsius = snapshot.thermal.temperature_celsius if snapshot.thermal else None
        for transition in tracker.poll(record.at_ns, snapshot.causes, celsius):
            text = f"{seconds:8.1f} s  {transition.kind}: {describe_episode(transition.episode)}"
            yield Event(seconds, transition.kind, text)
        if governor is None and snapshot.thermal is not None:
            limits = snapshot.thermal.limits_celsius
            if "soft" in limits:
                hard = limits.get("hard", math.inf)
                governor = Governor(GovernorPolicy(min_fps, limits["soft"], hard))
        if governor is None:
            continue
        action = governor.poll(record.at_ns, celsius, governor.target_fps or fps)
        if action is not None:
            target = "no limit" if action.target_fps is None else f"{action.target_fps:g} FPS"
            text = f"{seconds:8.1f} s  governor: {action.mode}, {target}: {action.reason}"
            yield Event(seconds, "governor", text)


def describe(snapshot: Snapshot) -> list[str]:
    """Return the snapshot as lines for a person."""
    lines = []
    if snapshot.thermal:
        zones = ", ".join(f"{k} {v:.1f} °C" for k, v in snapshot.thermal.zones_celsius.items())
        limits = ", ".join(f"{k} {v:.0f}" for k, v in snapshot.thermal.limits_celsius.items())
        lines.append(f"temperature  {snapshot.thermal.temperature_celsius} °C ({zones})")
        lines.append(f"limits       {limits or 'not known'}")
    if snapshot.frequency:
        one = snapshot.frequency
        top = one.hardware_maximum_hertz / 1e6
        lines.append(
            f"frequency    {one.current_hertz / 1e6:.0f} MHz of {top:.0f}"
            f" (allowed {one.allowed_maximum_hertz / 1e6:.0f})"
        )
    causes = snapshot.causes
    now = "nothing here would say so" if causes is None else ", ".join(causes) or "no"
    lines.append(f"throttled    now: {now}")
    if snapshot.throttle:
        past = ", ".join(snapshot.throttle.since_boot) or "no"
        lines.append(f"             since boot: {past} ({snapshot.throttle.source})")
    lines += _more(snapshot)
    for name, status in snapshot.collectors.items():
        if status.error:
            lines.append(f"{name:<12} failed: {status.error}")
        elif getattr(snapshot, name) is None:
            lines.append(f"{name:<12} not on this board")
    return lines


def _more(snapshot: Snapshot) -> list[str]:
    lines = []
    if snapshot.cooling and snapshot.cooling.limited_by:
        lines.append(f"limited by   {', '.join(snapshot.cooling.limited_by)}")
    if snapshot.supply:
        volts = ", ".join(f"{name} {value:.2f} V" for name, value in snapshot.supply.volts.items())
        alarm = {True: "under-voltage", False: "enough", None: "no alarm"}
        lines.append(f"supply       {alarm[snapshot.supply.under_voltage]} {volts}".rstrip())
    if snapshot.fan and snapshot.fan.level_ratio is not None:
        lines.append(f"fan          {snapshot.fan.level_ratio:.0%}")
    if snapshot.accelerators:
        heat = snapshot.accelerators.temperatures_celsius.items()
        lines.append(f"accelerator  {', '.join(f'{k} {v:.1f} °C' for k, v in heat)}")
    if snapshot.memory:
        three = snapshot.memory
        lines.append(
            f"memory       {three.resident_bytes / _MIB:.0f} MiB ours, "
            f"{three.available_bytes / _MIB:.0f} of {three.total_bytes / _MIB:.0f} MiB available"
        )
    return lines
