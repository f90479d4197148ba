"""The sustained bench, its picture, and recordings of telemetry that are replayed."""

from __future__ import annotations

import json
import shutil
import statistics
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import pytest

from appliance.bench.plan import BenchPlan
from appliance.bench.plot import Chart, Line, draw
from appliance.bench.sustained import (
    STEADY_WINDOWS,
    Sample,
    draw_curve,
    steady,
    sustain,
    until_steady,
)
from appliance.cli import main
from appliance.clock import SystemClock
from appliance.config import CameraSettings, Settings
from appliance.config.settings import AcceleratorSettings, MqttSettings
from appliance.errors import UsageError
from scripts.heat_simulation.plant import PI4, State
from scripts.heat_simulation.run import write_tree
from tests.helpers import ROOT, environment

if TYPE_CHECKING:
    import threading
    from pathlib import Path


def window(seconds: float, fps: float, celsius: float | None) -> Sample:
    return Sample(seconds, fps, celsius, 1500.0, (), 80.0)


def test_steady_needs_a_minute_of_both() -> None:
    calm = [window(5.0 * n, 10.0, 60.0) for n in range(STEADY_WINDOWS)]
    assert steady(calm)
    assert not steady(calm[1:])
    assert not steady([replace(one, celsius=60.0 + n / 6) for n, one in enumerate(calm)])
    assert not steady([replace(one, fps=10.0 - n / 6) for n, one in enumerate(calm)])
    assert steady([replace(one, celsius=None) for one in calm])


def test_it_runs_until_it_is_steady() -> None:
    warming = [window(5.0 * n, 20.0 - n, 50.0 + n) for n in range(1, 6)]
    flat = [window(5.0 * n, 12.0, 60.0) for n in range(6, 30)]
    told: list[Sample] = []
    samples = until_steady(iter([*warming, *flat]).__next__, 3600, told.append)
    assert samples == told == [*warming, *flat][: len(warming) + STEADY_WINDOWS]


def test_it_ends_when_time_is_up_or_nothing_comes_any_more() -> None:
    rising = [window(5.0 * n, 20.0, 50.0 + n) for n in range(1, 30)]
    samples = until_steady(iter(rising).__next__, 40, lambda _: None)
    assert samples == rising[:8]
    given: list[Sample | None] = [*rising[:3], None]
    assert until_steady(iter(given).__next__, 3600, lambda _: None) == rising[:3]


def test_what_it_finds_is_told_and_drawn(tmp_path: Path) -> None:
    settings = Settings(
        mqtt=MqttSettings(enabled=False),
        sinks={"prometheus": {"port": 0}},
        accelerator=AcceleratorSettings(name="cpu", workers=1),
        camera=(CameraSettings(source="synthetic", width=320, height=240, fps=20),),
    )
    plan = BenchPlan(settings, frames=0, preload=False, rate=20.0)
    surroundings = replace(environment(tmp_path), root=ROOT / "tests/fixtures/roots/pi5")
    figures = sustain(plan, surroundings, longest_seconds=1, window_seconds=0.5)
    assert not figures["steady"]
    rates = [one["fps"] for one in figures["curve"]]
    assert figures["sustained_fps"] == pytest.approx(statistics.median(rates), abs=0.001)
    assert figures["seconds"] == figures["curve"][-1]["seconds"] >= 1
    assert figures["causes"] == ["soft_temperature_limit"]
    assert figures["seconds_to_first_throttle"] == figures["curve"][0]["seconds"]
    assert figures["celsius_end"] == 58.2
    draw_curve(figures, tmp_path / "curve.svg")
    ET.parse(tmp_path / "curve.svg")  # noqa: S314 - our own


class Warming(SystemClock):
    """A board whose processor is slowed while the first window runs, and only then."""

    def __init__(self, counter: Path, window_seconds: float) -> None:
        super().__init__()
        self._counter = counter
        self._window_seconds = window_seconds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if seconds == self._window_seconds:
            self._counter.write_text("1000\n")
        return super().wait(event, seconds)


def test_throttling_counted_in_the_first_window_is_seen(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(ROOT / "tests/fixtures/roots/x86", root)
    counter = root / "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
    settings = Settings(
        mqtt=MqttSettings(enabled=False),
        sinks={"prometheus": {"port": 0}},
        accelerator=AcceleratorSettings(name="cpu", workers=1),
        camera=(CameraSettings(source="synthetic", width=320, height=240, fps=20),),
    )
    plan = BenchPlan(settings, frames=0, preload=False, rate=20.0)
    board = environment(tmp_path, Warming(counter, 0.6))
    figures = sustain(plan, replace(board, root=root), longest_seconds=1, window_seconds=0.6)
    assert [one["causes"] for one in figures["curve"]] == [("thermal",), ()]
    assert figures["seconds_to_first_throttle"] == figures["curve"][0]["seconds"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "curve.svg"
    words = ["bench", "--sustained", "--seconds", "5", "--rate", "10", "--width", "320"]
    words += ["--height", "240", "--accelerator", "cpu", "--plot", str(plot)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "sustained FPS" in printed
    assert "not steady yet" in printed
    assert "<svg" in plot.read_text()
    assert main(["bench", "--sustained", "--seconds", "1"]) == 2


def test_charts_say_what_they_show_and_the_same_figures_make_the_same_file(tmp_path: Path) -> None:
    chart = Chart("a < b", "°C", [Line("x & y", [(0, 1), (1, 1)])], [("limit > 3", 3.0)])
    for name in ("chart.svg", "chart.png"):
        draw([chart, chart], "seconds", tmp_path / name)
    words = " ".join(ET.parse(tmp_path / "chart.svg").getroot().itertext())  # noqa: S314 - our own
    for one in ("a < b", "°C", "x & y", "limit > 3", "seconds"):
        assert one in words
    before = (tmp_path / "chart.svg").read_bytes()
    draw([chart, chart], "seconds", tmp_path / "chart.svg")
    assert (tmp_path / "chart.svg").read_bytes() == before
    drawn = cv2.imread(str(tmp_path / "chart.png"))
    assert drawn is not None
    assert drawn.shape[1] == 1520
    with pytest.raises(ValueError, match="nothing"):
        draw([], "x", tmp_path / "x.svg")
    with pytest.raises(UsageError, match=r"svg or \.png"):
        draw([chart], "x", tmp_path / "x.gif")


def test_a_recording_is_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, file = tmp_path / "root", tmp_path / "heat.jsonl"
    rows: list[str] = []
    for number, celsius in enumerate((60, 64, 68, 72, 76, 80, 81, 78, 70, 65)):
        write_tree(PI4, root, State(float(celsius), 1500.0, throttled=celsius >= 80))
        one = tmp_path / f"{number}.jsonl"
        assert main(["telemetry", "--root", str(root), "--record", str(one), "--seconds",
                     "0.001", "--interval", "0.001"]) == 0  # fmt: skip
        line = json.loads(one.read_text().splitlines()[-1])
        rows.append(json.dumps({**line, "at_ns": number * 10_000_000_000}))
    file.write_text("\n".join(rows) + "\n")
    capsys.readouterr()
    assert main(["telemetry", "--replay", str(file), "--fps", "12"]) == 0
    printed = capsys.readouterr().out
    assert "began: throttled (soft temperature limit)" in printed
    assert "ended: throttled 20 s (soft temperature limit), up to 81.0 °C" in printed
    assert printed.index("governor: eased") < printed.index("began: throttled")


@pytest.mark.parametrize("content", [b"rubbish\n", b"{}\n", b"\xff\n"])
def test_a_damaged_recording_names_its_line(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jsonl").write_bytes(content)
    assert main(["telemetry", "--replay", str(tmp_path / "bad.jsonl")]) == 65
    assert "line 1" in capsys.readouterr().err
    assert main(["telemetry", "--replay", str(tmp_path / "none.jsonl")]) == 65
    for interval in ("0", "inf", "nan", "1e12"):
        assert main(["telemetry", "--interval", interval]) == 2
    assert main(["telemetry", "--record", str(tmp_path / "bad.jsonl")]) == 2


def test_without_matplotlib_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("appliance.bench.plot.find_spec", lambda _name: None)
    code = main(["bench", "--frames", "3", "--plot", str(tmp_path / "x.svg")])
    assert code == 69
    assert "pip install 'appliance[plot]'" in capsys.readouterr().err
