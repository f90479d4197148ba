"""Figures as tables for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.bench.published import MODEL, SOURCE, published

if TYPE_CHECKING:
    from collections.abc import Mapping


def render(figures: dict[str, Any]) -> str:
    """Return both methods and the published figures, then the stages."""
    lines = [_title(figures), "", *_methods(figures)]
    if "e2e_fps" in figures:
        lines += ["", *_stages(figures), "", *_costs(figures)]
    return "\n".join(lines)


def _title(figures: Mapping[str, Any]) -> str:
    layout = f"{figures['workers']} x {figures['threads']} thread"
    title = f"{figures['model']} on {figures['accelerator']}, {layout}"
    if "e2e_fps" not in figures:
        return f"{title}: no detector that we can decode, so timed only"
    size = f"{figures['size'][0]}x{figures['size'][1]}"
    where = " in memory" if figures["preload"] else ""
    cameras = f"{figures['cameras']} x " if figures["cameras"] > 1 else ""
    return f"{title}, {cameras}{figures['source']} {size}{where}"


def _methods(figures: dict[str, Any]) -> list[str]:
    """Return what each method gives, side by side, slowest claims last."""
    rows: list[tuple[str, float, str]] = []
    if "e2e_fps" in figures:
        rows.append(("end to end", figures["e2e_fps"], "every stage included"))
    rows.append(
        ("detector alone", figures["inference_only_fps"], "the same workers and threads, no frames")
    )
    old = figures["method_2019"]
    seen = f"; sees {', '.join(old['sees'])}" if old["sees"] else ""
    picture = f"{old['size'][0]}x{old['size'][1]} resized once"
    rows.append(("method of 2019", old["fps"], f"one detector, {picture}, invoke alone{seen}"))
    lines = [f"{'measured here':<28}{'FPS':>8}"]
    lines += [f"{name:<28}{fps:8.2f}   {words}" for name, fps, words in rows]
    lines += ["", f"{'published, inference only':<28}{'FPS':>8}   {MODEL} ({SOURCE})"]
    for one in published():
        name = f"{one['board']}, {one['accelerator']}"
        lines.append(f"{name:<28}{one['fps']:8.1f}")
    return lines


def _stages(figures: dict[str, Any]) -> list[str]:
    stages = {**figures["stages_ms"], "latency": figures["latency_ms"]}
    lines = [f"{'stage':<14}{'mean':>9}{'p50':>9}{'p95':>9}{'p99':>9}  ms"]
    lines += [
        f"{name:<14}" + "".join(f"{one[key]:9.2f}" for key in ("mean", "p50", "p95", "p99"))
        for name, one in stages.items()
    ]
    if figures["publish_ms"] is not None:
        lines.append(f"{'publish':<14}{'':>9}{figures['publish_ms']:9.2f}")
    return lines


def _costs(figures: dict[str, Any]) -> list[str]:
    camera = figures["camera_fps"]
    dropped = {k: v for k, v in figures["frames"]["dropped"].items() if v}
    counts = figures["frames"]
    return [
        f"camera FPS          {camera:8.2f}"
        if camera
        else "camera FPS                 -   back-pressure",
        f"efficiency          {figures['efficiency']:8.3f}   end to end over what is possible",
        f"overhead            {figures['overhead_ms']:8.2f}   ms, p50 latency less p50 inference",
        (
            f"CPU a frame         {figures['cpu_seconds_per_frame'] * 1000:8.2f}   ms, "
            f"{figures['cpu_ratio']:.3f} of an invoke alone"
        ),
        (
            f"frames: {counts['captured']} captured, {counts['processed']} processed, dropped "
            f"{dropped or 'none'}; peak memory {figures['rss_mib']:.0f} MiB, median of "
            f"{figures['rounds']} rounds"
        ),
    ]


def render_comparison(figures: dict[str, Any]) -> str:
    """Return a comparison; a star is where nothing else is better in every way."""
    width = max((len(row["name"]) for row in figures["compare"]), default=8) + 2
    lines = [
        (
            f"  {'':<{width}}{'FPS e2e':>9}{'alone':>8}{'p99 ms':>9}{'CPU ms':>8}{'mAP':>7}"
            f"{'MiB':>6}  right"
        )
    ]
    for row in figures["compare"]:
        if "e2e_fps" not in row:
            lines.append(f"  {row['name']:<{width}}NO: {row['model']} {row['parity']}")
            continue
        right = {True: "yes", False: "NO", None: "?"}[row["right"]]
        accuracy = "-" if row["map"] is None else f"{row['map']:.3f}"
        lines.append(
            f"{'*' if row['pareto'] else ' '} {row['name']:<{width}}{row['e2e_fps']:9.1f}"
            f"{row['inference_only_fps']:8.1f}{row['latency_ms']['p99']:9.1f}"
            f"{row['cpu_seconds_per_frame'] * 1000:8.1f}{accuracy:>7}{row['rss_mib']:6.0f}  "
            f"{right}: {row['parity']}"
        )
    auto = figures["auto"]
    lines += [
        "",
        "* nothing else is better in FPS, p99, CPU and mAP at once",
        f"auto takes: {auto['accelerator']}, {auto['workers']}x{auto['threads']} ({auto['why']})",
    ]
    if figures["kept"]:
        lines.append(f"kept in {figures['kept']}; run as root on a unit to keep it for its service")
    return "\n".join(lines)


def render_sustained(figures: dict[str, Any]) -> str:
    """Return what a sustained run gave."""
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
