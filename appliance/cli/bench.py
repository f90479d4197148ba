"""``appliance bench``: how fast is it, end to end, and how fast would the detector be alone?"""

from __future__ import annotations

import argparse
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.bench.compare import compare
from appliance.bench.methods import RUNS, measure
from appliance.bench.plan import BenchPlan
from appliance.bench.plot import check_picture, draw_measurement
from appliance.bench.sustained import LONGEST_SECONDS, WINDOW_SECONDS, Sample, draw_curve, sustain
from appliance.bench.tables import render, render_comparison, render_sustained
from appliance.cli.common import accelerator_settings, add_accelerator_arguments, print_json
from appliance.config import CameraSettings, Settings
from appliance.config.settings import ModelSettings, MqttSettings
from appliance.errors import UsageError
from appliance.selection.environment import Environment
from appliance.sources.images import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.bench.measure import Progress
    from appliance.selection.worker_layout import Wanted


_LIMITS = (("cameras", 1, 64), ("runs", 1, 10**6), ("width", 16, 8192), ("height", 16, 8192))
_NOT_SUSTAINED = ("compare", "mqtt", "preload", "picture")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    defaults = CameraSettings()
    parser.add_argument(
        "--source", default="synthetic", metavar="PATH|synthetic|KIND:TARGET", help="frames"
    )
    add_accelerator_arguments(parser)
    parser.add_argument("--frames", type=int, default=300, metavar="N", help="results to measure")
    parser.add_argument("--preload", action="store_true", help="keep the frames in memory")
    parser.add_argument(
        "--rate", type=float, metavar="FPS", help="a live source at this rate; else back-pressure"
    )
    parser.add_argument("--width", type=int, default=defaults.width, help="of a synthetic source")
    parser.add_argument("--height", type=int, default=defaults.height, help="of a synthetic source")
    parser.add_argument(
        "--cameras", type=int, default=1, metavar="N", help="so many of that source at once"
    )
    parser.add_argument("--workers", type=_count, default="auto", metavar="N|auto")
    parser.add_argument("--threads", type=_count, default="auto", metavar="N|auto")
    parser.add_argument(
        "--mqtt", metavar="HOST[:PORT]", help="publish to this broker, so that it is measured too"
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="for the method of 2019; else a synthetic one"
    )
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help="of the method of 2019")
    parser.add_argument(
        "--compare",
        metavar="A,B,...|auto",
        help="accelerators, models or layouts in one run, taking turns: cpu,ncnn or 2x1,1x2 or "
        "cpu@2x1,MODEL@1x2; auto: all layouts of all accelerators, kept for later starts",
    )
    parser.add_argument(
        "--sustained", action="store_true", help="run until temperature and rate are steady"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="longest time of --sustained, or of --compare"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg|FILE.png", help="draw it")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _count(text: str) -> Wanted:
    """Return a number of workers or threads."""
    if text == "auto":
        return "auto"
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r}: expected auto or 1 to 64")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Measure and print."""
    _check(options)
    plan = BenchPlan(_settings(options), options.frames, options.preload, options.rate)
    if options.sustained:
        figures, show = _sustained(plan, options), render_sustained
    elif options.compare is not None:
        with _progress() as progress:
            figures = compare(plan, options.compare, progress, options.seconds)
        show = render_comparison
    else:
        with _progress() as progress:
            figures = measure(plan, progress, picture=options.picture, runs=options.runs)
        show = render
        if options.plot:
            _draw(figures, options.plot)
    if options.json:
        print_json(figures)
    else:
        print(show(figures))
    return 0


def _draw(figures: dict[str, Any], path: Path) -> None:
    if "e2e_fps" in figures:
        draw_measurement(figures, path)
    else:
        print(f"--plot {path}: nothing to draw of a model that is timed only", file=sys.stderr)


def _check(options: argparse.Namespace) -> None:
    """Raise UsageError for numbers that mean nothing, before anything is measured."""
    if options.rate is not None and options.rate <= 0:
        raise UsageError(f"--rate {options.rate}: expected frames per second above 0")
    for name, least, most in _LIMITS:
        value = getattr(options, name)
        if not least <= value <= most:
            raise UsageError(f"--{name} {value}: expected {least} to {most}")
    given = [name for name in _NOT_SUSTAINED if getattr(options, name)]
    if options.sustained and given:
        raise UsageError(f"--sustained: cannot be combined with --{given[0]}")
    if options.plot:
        check_picture(options.plot)
        if options.compare:
            raise UsageError("--plot: --compare prints a table; there is no picture of it")


def _sustained(plan: BenchPlan, options: argparse.Namespace) -> dict[str, Any]:
    longest = LONGEST_SECONDS if options.seconds is None else options.seconds
    if longest < WINDOW_SECONDS:
        raise UsageError(f"--seconds {longest:g}: at least {WINDOW_SECONDS:g} are needed")

    def tell(sample: Sample) -> None:
        if sys.stderr.isatty():
            heat = "" if sample.celsius is None else f", {sample.celsius:.1f} °C"
            print(f"{sample.seconds:6.0f} s  {sample.fps:6.2f} FPS{heat}", file=sys.stderr)

    figures = sustain(plan, Environment(), longest_seconds=longest, progress=tell)
    if options.plot:
        draw_curve(figures, options.plot)
    return figures


def _settings(options: argparse.Namespace) -> Settings:
    live = options.rate is not None
    source: str = options.source
    camera_options: dict[str, Any] = {}
    path = Path(source)
    if source == "synthetic":
        camera_options = {"rate": "live" if live and not options.preload else "file"}
    elif path.is_dir() or path.suffix.lower() in SUFFIXES:
        source, camera_options = f"images:{source}", {"loop": True}
    elif ":" not in source or path.exists():
        source, camera_options = f"video:{source}", {"real_time": live, "loop": True}
    names = [f"camera-{number}" for number in range(1, options.cameras + 1)]
    cameras = tuple(
        CameraSettings(
            name=name,
            source=source,
            width=options.width,
            height=options.height,
            fps=options.rate or CameraSettings().fps,
            options=camera_options,
        )
        for name in (names if options.cameras > 1 else ["camera"])
    )
    return Settings(
        mqtt=_mqtt(options.mqtt),
        sinks={"prometheus": {"port": 0}},
        model=ModelSettings(name=options.model),
        accelerator=accelerator_settings(options, workers=options.workers, threads=options.threads),
        camera=cameras,
    )


def _mqtt(broker: str | None) -> MqttSettings:
    if broker is None:
        return MqttSettings(enabled=False)
    host, _, port = broker.partition(":")
    if not host or not (port or "1883").isdigit() or not 1 <= int(port or 1883) <= 65535:
        raise UsageError(f"--mqtt {broker}: expected HOST or HOST:PORT")
    return MqttSettings(host=host, port=int(port or 1883), outbox="memory")


@contextmanager
def _progress() -> Iterator[Progress]:
    """Yield what shows progress and the time that is left, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _done, _all: None
        return
    from rich.console import Console  # noqa: PLC0415 - terminal only
    from rich.progress import Progress as Bar  # noqa: PLC0415 - terminal only

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("measuring", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
