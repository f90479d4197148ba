"""Make the Grafana dashboards in deploy/grafana/dashboards (classic JSON, any Grafana from 10 on).

Usage: python scripts/make_dashboards.py [--check]

Needs grafana-foundation-sdk==0.0.21: other numbers of that package belong to other Grafanas.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import (
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

FOLDER = Path(__file__).resolve().parent.parent / "deploy/grafana/dashboards"
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
UNIT = 'job=~"$job",instance=~"$instance"'
CAMERA = f'{UNIT},camera=~"$camera"'
WIDTH = 24


class Grid:
    """Places panels from left to right, row after row."""

    def __init__(self) -> None:
        self._x = self._y = self._row_height = 0

    def place(self, panel: Any, width: int, height: int) -> Any:
        """Give the panel the next place."""
        if self._x + width > WIDTH:
            self._x, self._y = 0, self._y + self._row_height
        panel.grid_pos(models_grid(self._x, self._y, width, height))
        self._x += width
        self._row_height = height
        return panel


def models_grid(x: int, y: int, w: int, h: int) -> Any:
    """Return a position."""
    return models.GridPos(x=x, y=y, w=w, h=h)


def query(expression: str, legend: str = "", *, instant: bool = False, heat: bool = False) -> Any:
    """Return a target."""
    one = (
        prometheus.Dataquery().expr(expression).datasource(SOURCE).legend_format(legend or "__auto")
    )
    if heat:
        return one.format("heatmap").range()
    if instant:
        return one.instant().format("table")
    return one.range()


def panel(kind: Any, title: str, text: str, unit: str, *targets: Any) -> Any:
    """Return a panel of a kind with what every panel needs."""
    one = kind.title(title).description(text).unit(unit).datasource(SOURCE)
    for number, target in enumerate(targets):
        one = one.with_target(target.ref_id(chr(ord("A") + number)))
    return one


def thresholds(*steps: tuple[float | None, str]) -> Any:
    """Return colours from values on."""
    return (
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=value, color=colour) for value, colour in steps])
    )


def lines(title: str, text: str, unit: str, *targets: Any) -> Any:
    """Return a time series."""
    return panel(timeseries.Panel(), title, text, unit, *targets).span_nulls(False)


def figure(title: str, text: str, unit: str, *targets: Any) -> Any:
    """Return one number."""
    return panel(stat.Panel(), title, text, unit, *targets)


def variable(name: str, values: str) -> Any:
    """Return a variable that selects label values."""
    return (
        dashboard.QueryVariable(name)
        .label(name)
        .datasource(SOURCE)
        .query({"query": values, "refId": name})
        .definition(values)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(models.VariableOption(text="All", value="$__all", selected=True))
    )


def start(title: str, uid: str, text: str) -> Any:
    """Return a dashboard without panels."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(text)
        .tags(["appliance"])
        .readonly()
        .refresh("10s")
        .time("now-3h", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data Source").type("prometheus")
        )
        .with_variable(variable("job", "label_values(appliance_build_info, job)"))
        .with_variable(
            variable("instance", 'label_values(appliance_build_info{job=~"$job"}, instance)')
        )
    )


def appliance() -> Any:
    """Return the dashboard of one unit, or of a few."""
    board = start(
        "Appliance", "appliance-unit", "One camera detection unit: speed, heat, throttling."
    )
    cameras = f"label_values(appliance_end_to_end_fps{{{UNIT}}}, camera)"
    board = board.with_variable(variable("camera", cameras))
    grid = Grid()
    rate = "[$__rate_interval]"
    latency = f"sum by (le) (rate(appliance_latency_seconds_bucket{{{CAMERA}}}{rate}))"
    place = [
        (
            figure(
                "Degraded",
                "1 while something is wrong; the health topic says what.",
                "none",
                query(f'appliance_health_state{{{UNIT},state="degraded"}}', "{{instance}}"),
            ).thresholds(thresholds((None, "green"), (1, "red"))),
            3,
            4,
        ),
        (
            figure(
                "Processor",
                "Temperature now.",
                "celsius",
                query(f"appliance_temperature_celsius{{{UNIT}}}", "{{instance}}"),
            ),
            4,
            4,
        ),
        (
            figure(
                "FPS end to end",
                "Results a second, every stage included.",
                "short",
                query(f"sum by (instance) (appliance_end_to_end_fps{{{CAMERA}}})", "{{instance}}"),
            ),
            4,
            4,
        ),
        (
            figure(
                "Latency p95",
                "Capture to hand-off, 95 of 100 frames.",
                "s",
                query(f"histogram_quantile(0.95, {latency})", "p95"),
            ),
            3,
            4,
        ),
        (
            figure(
                "Throttled",
                "Seconds slowed by the platform in the time shown.",
                "s",
                query(
                    f"sum by (instance) (increase(appliance_throttle_seconds_total{{{UNIT}}}[$__range]))",
                    "{{instance}}",
                ),
            ).thresholds(thresholds((None, "green"), (1, "orange"), (60, "red"))),
            4,
            4,
        ),
        (
            figure(
                "Dropped",
                "Frames a second without a result.",
                "short",
                query(
                    f"sum by (instance) (rate(appliance_frames_dropped_total{{{CAMERA}}}{rate}))",
                    "{{instance}}",
                ),
            ),
            3,
            4,
        ),
        (
            figure(
                "Outbox",
                "Messages that wait for the broker.",
                "short",
                query(f"appliance_outbox_messages{{{UNIT}}}", "{{instance}}"),
            ).thresholds(thresholds((None, "green"), (10, "orange"), (500, "red"))),
            3,
            4,
        ),
        (
            panel(
                statetimeline.Panel(),
                "Throttled, by cause",
                "What the platform says slows it: firmware flags, "
                "kernel counters, cooling devices; inferred is a guess from slower inferences.",
                "none",
                query(f"max by (cause) (appliance_throttle_active{{{UNIT}}})", "{{cause}}"),
            )
            .merge_values(True)
            .show_value("never")
            .row_height(0.9)
            .mappings(_active()),
            24,
            7,
        ),
        (
            panel(
                statetimeline.Panel(),
                "Governor",
                "Mode in which the unit works.",
                "none",
                query(f"max by (mode) (appliance_governor_mode{{{UNIT}}})", "{{mode}}"),
            )
            .merge_values(True)
            .show_value("never")
            .row_height(0.9)
            .mappings(_active()),
            24,
            5,
        ),
        (
            lines(
                "Temperature",
                "Zones of the board, and from where on the processor is slowed.",
                "celsius",
                query(f"appliance_zone_temperature_celsius{{{UNIT}}}", "{{zone}}"),
                query(f"appliance_temperature_limit_celsius{{{UNIT}}}", "limit: {{limit}}"),
            ),
            12,
            8,
        ),
        (
            lines(
                "FPS",
                "End to end is what you get; inference only is the number others print; the governor's "
                "target is there while it eases.",
                "short",
                query(f"sum(appliance_end_to_end_fps{{{CAMERA}}})", "end to end"),
                query(f"sum(appliance_inference_only_fps{{{CAMERA}}})", "inference only"),
                query(f"sum(appliance_camera_fps{{{CAMERA}}})", "camera"),
                query(f"sum(appliance_governor_target_fps{{{UNIT}}})", "target"),
            ),
            12,
            8,
        ),
        (
            lines(
                "Processor frequency",
                "Now, allowed, and what the hardware could.",
                "hertz",
                query(f"appliance_processor_frequency_hertz{{{UNIT}}}", "{{kind}}"),
            ),
            12,
            8,
        ),
        (
            lines(
                "Fan and supply",
                "Level of the fan; 1 while the board reports under-voltage.",
                "percentunit",
                query(f"appliance_fan_level_ratio{{{UNIT}}}", "fan"),
                query(f"appliance_supply_under_voltage{{{UNIT}}}", "under-voltage"),
            ),
            12,
            8,
        ),
        (
            panel(
                heatmap.Panel(),
                "Latency",
                "Capture to hand-off of every frame.",
                "s",
                query(
                    f"sum by (le) (increase(appliance_latency_seconds_bucket{{{CAMERA}}}{rate}))",
                    "{{le}}",
                    heat=True,
                ),
            ),
            12,
            8,
        ),
        (
            lines(
                "Latency percentiles",
                "Of every frame.",
                "s",
                *[
                    query(f"histogram_quantile({share}, {latency})", name)
                    for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
                ],
            ),
            12,
            8,
        ),
        (
            lines(
                "Stages",
                "Mean time of each stage of a frame.",
                "s",
                query(
                    f"sum by (stage) (rate(appliance_stage_duration_seconds_sum{{{CAMERA}}}{rate})) / "
                    f"sum by (stage) (rate(appliance_stage_duration_seconds_count{{{CAMERA}}}{rate}))",
                    "{{stage}}",
                ),
            ),
            12,
            8,
        ),
        (
            lines(
                "Frames without a result",
                "A second, by reason.",
                "short",
                query(
                    f"sum by (reason) (rate(appliance_frames_dropped_total{{{CAMERA}}}{rate}))",
                    "{{reason}}",
                ),
            ),
            12,
            8,
        ),
        (
            lines(
                "Detections",
                "A second, by label.",
                "short",
                query(
                    f"sum by (label) (rate(appliance_detections_total{{{CAMERA}}}{rate}))",
                    "{{label}}",
                ),
            ),
            8,
            8,
        ),
        (
            lines(
                "Processor time of the unit",
                "Cores in use by the daemon.",
                "short",
                query(f"rate(process_cpu_seconds_total{{{UNIT}}}{rate})", "{{instance}}"),
            ),
            8,
            8,
        ),
        (
            lines(
                "Memory of the unit",
                "Resident, and what the board has left.",
                "bytes",
                query(f"process_resident_memory_bytes{{{UNIT}}}", "daemon"),
                query(f"appliance_memory_available_bytes{{{UNIT}}}", "available"),
            ),
            8,
            8,
        ),
        (
            lines(
                "Objects there",
                "By label; the whole picture.",
                "short",
                query(
                    f'sum by (label) (appliance_objects{{{CAMERA}, zone=""}})',
                    "{{label}}",
                ),
            ),
            12,
            8,
        ),
        (
            lines(
                "Line crossings an hour",
                "By line, direction and label.",
                "short",
                query(
                    "3600 * sum by (line, direction, label) "
                    f"(rate(appliance_line_crossings_total{{{CAMERA}}}{rate}))",
                    "{{line}} {{direction}} {{label}}",
                ),
            ),
            12,
            8,
        ),
        (
            lines(
                "Zones: how long a stay lasts",
                "Mean of the stays that ended.",
                "s",
                query(
                    "sum by (zone, label) "
                    f"(rate(appliance_zone_stay_seconds_total{{{CAMERA}}}{rate})) / "
                    "sum by (zone, label) "
                    f"(rate(appliance_zone_stays_total{{{CAMERA}}}{rate}))",
                    "{{zone}} {{label}}",
                ),
            ),
            12,
            8,
        ),
        (
            lines(
                "Zones: occupied",
                "1 where an object is, or was just now.",
                "none",
                query(
                    f'appliance_occupied{{{CAMERA}, zone!=""}}',
                    "{{zone}} {{label}}",
                ),
            ),
            12,
            8,
        ),
        (
            lines(
                "Collectors",
                "1 where all that should be readable is.",
                "none",
                query(f"appliance_collector_success{{{UNIT}}}", "{{collector}}"),
            ),
            12,
            7,
        ),
        (
            lines(
                "Outbox",
                "Bytes that wait for the broker.",
                "bytes",
                query(f"appliance_outbox_bytes{{{UNIT}}}", "{{instance}}"),
            ),
            12,
            7,
        ),
    ]
    for one, width, height in place:
        board = board.with_panel(grid.place(one, width, height))
    return board


def fleet() -> Any:
    """Return the dashboard of all units."""
    board = start(
        "Appliance fleet",
        "appliance-fleet",
        "All camera detection units: who is slowed, who is away.",
    )
    grid = Grid()
    throttled = f"max by (instance) (appliance_throttle_active{{{UNIT}}})"
    governed = f'(1 - max by (instance) (appliance_governor_mode{{{UNIT},mode="full"}}))'
    slowed = f"clamp_max({throttled} + on (instance) {governed}, 1)"
    fps = f"sum by (instance) (appliance_end_to_end_fps{{{UNIT}}})"
    best = f"sum by (instance) (max_over_time(appliance_end_to_end_fps{{{UNIT}}}[1h]))"
    place = [
        (figure("Units", "That answer.", "none", query(f"sum(up{{{UNIT}}})", "online")), 6, 4),
        (
            figure(
                "Away", "That do not answer.", "none", query(f"sum(1 - up{{{UNIT}}})", "offline")
            ).thresholds(thresholds((None, "green"), (1, "red"))),
            6,
            4,
        ),
        (
            figure(
                "Slowed now",
                "Units that the platform slows.",
                "none",
                query(f"sum({throttled})", "slowed"),
            ).thresholds(thresholds((None, "green"), (1, "orange"))),
            6,
            4,
        ),
        (
            figure(
                "FPS lost to heat and power",
                "Of units that the platform or the governor slows now: the best rate of the last hour "
                "less the present one.",
                "short",
                query(f"sum(clamp_min({best} - {fps}, 0) * on (instance) {slowed})", "lost"),
            ).thresholds(thresholds((None, "green"), (1, "orange"))),
            6,
            4,
        ),
        (
            panel(
                statetimeline.Panel(),
                "Slowed",
                "Each unit, whatever the cause.",
                "none",
                query(throttled, "{{instance}}"),
            )
            .merge_values(True)
            .show_value("never")
            .row_height(0.9)
            .mappings(_active()),
            12,
            9,
        ),
        (
            panel(
                statetimeline.Panel(),
                "Online",
                "Each unit.",
                "none",
                query(f"up{{{UNIT}}}", "{{instance}}"),
            )
            .merge_values(True)
            .show_value("never")
            .row_height(0.9)
            .mappings(_active("online", "offline")),
            12,
            9,
        ),
        (
            lines(
                "Processor",
                "Temperature of each unit.",
                "celsius",
                query(f"appliance_temperature_celsius{{{UNIT}}}", "{{instance}}"),
            ),
            12,
            8,
        ),
        (
            lines(
                "FPS lost to heat and power",
                "Each unit that is slowed.",
                "short",
                query(f"clamp_min({best} - {fps}, 0) * on (instance) {slowed}", "{{instance}}"),
            ),
            12,
            8,
        ),
        (
            lines("FPS end to end", "Each unit, all cameras.", "short", query(fps, "{{instance}}")),
            12,
            8,
        ),
        (
            lines(
                "Throttled",
                "Seconds a minute, by cause.",
                "s",
                query(
                    f"sum by (cause) (60 * rate(appliance_throttle_seconds_total{{{UNIT}}}[$__rate_interval]))",
                    "{{cause}}",
                ),
            ),
            12,
            8,
        ),
        (
            panel(
                table.Panel(),
                "What runs where",
                "Software, board, accelerator.",
                "none",
                query(f"appliance_build_info{{{UNIT}}}", instant=True),
                query(f"appliance_accelerator_info{{{UNIT}}}", instant=True),
            ),
            24,
            8,
        ),
    ]
    for one, width, height in place:
        board = board.with_panel(grid.place(one, width, height))
    return board


def _active(on: str = "yes", off: str = "no") -> list[Any]:
    options = {
        "0": models.ValueMappingResult(text=off, color="green", index=0),
        "1": models.ValueMappingResult(text=on, color="red", index=1),
    }
    if on == "online":
        options["0"].color, options["1"].color = "red", "green"
    return [models.ValueMap(options=options)]


def main() -> int:
    """Write the dashboards, or say which are out of date."""
    stale = []
    for name, make in (("appliance.json", appliance), ("fleet.json", fleet)):
        built = json.loads(JSONEncoder(sort_keys=True).encode(make().build()))
        for number, one in enumerate(built["panels"], 1):
            one["id"] = number
        text = json.dumps(built, indent=1, sort_keys=True) + "\n"
        path = FOLDER / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text)
    if stale and "--check" in sys.argv:
        print(f"out of date: {', '.join(stale)}; run scripts/make_dashboards.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
