"""``appliance bench``: how fast is it, end to end, and how fast would the detector be alone?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.bench.compare import compare
from appliance.bench.measure import BenchPlan, measure
from appliance.bench.sustained import LONGEST_SECONDS, WINDOW_SECONDS, Sample, picture, sustain
from appliance.cli.common import accelerator_settings, add_accelerator_arguments, print_json
from appliance.config import Camera, Settings
from appliance.config.settings import Model, Mqtt
from appliance.environment import Environment
from appliance.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from appliance.selection.layout import Wanted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    defaults = Camera()
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
    parser.add_argument("--workers", type=_count, default="auto", metavar="N|auto")
    parser.add_argument("--threads", type=_count, default="auto", metavar="N|auto")
    parser.add_argument(
        "--compare", metavar="A,B,...", help="several accelerators in one run, taking turns"
    )
    parser.add_argument(
        "--sustained", action="store_true", help="run until temperature and rate are steady"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=LONGEST_SECONDS,
        metavar="S",
        help="longest time of --sustained",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw --sustained")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _count(text: str) -> Wanted:
    """Return a number of workers or threads."""
    return "auto" if text == "auto" else int(text)


def run(options: argparse.Namespace) -> int:
    """Measure and print."""
    plan = BenchPlan(_settings(options), options.frames, options.preload, options.rate)
    if options.sustained:
        figures, show = _sustained(plan, options), render_sustained
    elif options.compare:
        names = tuple(name.strip() for name in options.compare.split(","))
        figures, show = compare(plan, names, _progress()), render_comparison
    else:
        figures, show = measure(plan, _progress()), render
    if options.json:
        print_json(figures)
    else:
        print(show(figures))
    return 0


def _sustained(plan: BenchPlan, options: argparse.Namespace) -> dict[str, Any]:
    if options.seconds < WINDOW_SECONDS:
        raise UsageError(f"--seconds {options.seconds:g}: at least {WINDOW_SECONDS:g} are needed")

    if options.plot and not options.plot.parent.is_dir():
        raise UsageError(f"--plot {options.plot}: {options.plot.parent} is no folder")

    def tell(sample: Sample) -> None:
        if sys.stderr.isatty():
            heat = "" if sample.celsius is None else f", {sample.celsius:.1f} °C"
            print(f"{sample.seconds:6.0f} s  {sample.fps:6.2f} FPS{heat}", file=sys.stderr)

    figures = sustain(plan, Environment(), longest_seconds=options.seconds, progress=tell)
    if options.plot:
        options.plot.write_text(picture(figures))
    return figures


def render_sustained(figures: dict[str, Any]) -> str:
    """Return what a sustained run gave, for a person."""
    throttle = figures["seconds_to_first_throttle"]
    start, end = figures["celsius_start"], figures["celsius_end"]
    heat = "cannot be read here" if start is None else f"{start:.1f} to {end:.1f} °C"
    steady = "" if figures["steady"] else ", not steady yet"
    causes = f" ({', '.join(figures['causes'])})" if figures["causes"] else ""
    first = "never" if throttle is None else f"after {throttle:.0f} s{causes}"
    lines = [
        f"{figures['model']} on {figures['accelerator']}",
        f"cold FPS         {figures['cold_fps']:8.2f}",
        f"sustained FPS    {figures['sustained_fps']:8.2f}",
        f"after            {figures['seconds']:8.0f} s{steady}",
        f"temperature      {heat}",
        f"first throttled  {first}",
    ]
    return "\n".join(lines)


def _settings(options: argparse.Namespace) -> Settings:
    if options.rate is not None and options.rate <= 0:
        raise UsageError(f"--rate {options.rate}: expected frames per second above 0")
    live = options.rate is not None
    source: str = options.source
    camera_options: dict[str, Any] = {}
    path = Path(source)
    if source == "synthetic":
        camera_options = {"rate": "live" if live and not options.preload else "file"}
    elif path.is_dir() or path.suffix.lower() in {".jpg", ".jpeg", ".png"}:
        source, camera_options = f"images:{source}", {"loop": True}
    elif ":" not in source or path.exists():
        source, camera_options = f"video:{source}", {"real_time": live, "loop": True}
    camera = Camera(
        source=source,
        width=options.width,
        height=options.height,
        fps=options.rate or Camera().fps,
        options=camera_options,
    )
    return Settings(
        mqtt=Mqtt(enabled=False),
        model=Model(name=options.model),
        accelerator=accelerator_settings(options, workers=options.workers, threads=options.threads),
        camera=(camera,),
    )


def _progress() -> Callable[[int, int], None]:
    if not sys.stderr.isatty():
        return lambda _done, _all: None
    from rich.console import Console  # noqa: PLC0415 - terminal only
    from rich.progress import Progress  # noqa: PLC0415 - terminal only

    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task("measuring", total=None)
    bar.start()

    def show(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if done == total:
            bar.stop()

    return show


def render_comparison(figures: dict[str, Any]) -> str:
    """Return a comparison as a table for a person."""
    lines = [f"{'':<12}{'FPS e2e':>9}{'FPS alone':>11}{'p99 ms':>8}{'CPU ms':>8}{'MiB':>6}  right"]
    for row in figures["compare"]:
        if "e2e_fps" not in row:
            lines.append(f"{row['accelerator']:<54}  NO: {row['model']} {row['parity']}")
            continue
        right = {True: "yes", False: "NO", None: "?"}[row["right"]]
        lines.append(
            f"{row['accelerator']:<12}{row['e2e_fps']:9.1f}{row['inference_only_fps']:11.1f}"
            f"{row['latency_ms']['p99']:8.1f}{row['cpu_seconds_per_frame'] * 1000:8.1f}"
            f"{row['rss_mib']:6.0f}  {right}: {row['model']} {row['parity']}"
        )
    lines += ["", f"auto takes: {figures['auto']}"]
    return "\n".join(lines)


def render(figures: dict[str, Any]) -> str:
    """Return the figures as a table for a person."""
    camera = figures["camera_fps"]
    dropped = {k: v for k, v in figures["frames"]["dropped"].items() if v}
    lines = [
        (
            f"{figures['model']} on {figures['accelerator']}, {figures['workers']} x "
            f"{figures['threads']} thread, {figures['source']} {figures['size'][0]}x"
            f"{figures['size'][1]}{' in memory' if figures['preload'] else ''}"
        ),
        "",
        f"end-to-end FPS      {figures['e2e_fps']:8.2f}   every stage included",
        f"inference-only FPS  {figures['inference_only_fps']:8.2f}   what others print",
        f"camera FPS          {camera:8.2f}"
        if camera
        else "camera FPS                 -   back-pressure",
        f"efficiency          {figures['efficiency']:8.3f}",
        "",
        f"{'stage':<14}{'mean':>9}{'p50':>9}{'p95':>9}{'p99':>9}  ms",
    ]
    stages = {**figures["stages_ms"], "latency": figures["latency_ms"]}
    lines += [
        f"{name:<14}" + "".join(f"{one[key]:9.2f}" for key in ("mean", "p50", "p95", "p99"))
        for name, one in stages.items()
    ]
    lines += [
        "",
        (
            f"frames: {figures['frames']['captured']} captured, {figures['frames']['processed']} "
            f"processed, dropped {dropped or 'none'}"
        ),
        (
            f"CPU {figures['cpu_seconds_per_frame'] * 1000:.2f} ms a frame, peak memory "
            f"{figures['rss_mib']:.0f} MiB, median of {figures['rounds']} rounds"
        ),
    ]
    return "\n".join(lines)
