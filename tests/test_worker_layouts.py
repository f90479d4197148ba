"""The layout of workers and threads is chosen by measurement, kept, and told with its reason."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.accelerators import Finding
from appliance.accelerators.cpu import CpuAccelerator
from appliance.clock import SystemClock
from appliance.config import CameraSettings, Settings
from appliance.config.settings import AcceleratorSettings, MetricsSettings, MqttSettings
from appliance.daemon.lifecycle import Daemon
from appliance.daemon.requests import Requests
from appliance.daemon.systemd import ServiceManager
from appliance.errors import DetectorError
from appliance.selection import LayoutStore, Prover, WorkerLayout
from appliance.selection.layout_meter import LayoutMeter
from appliance.selection.worker_layout import Trial, best, candidates, reason, unmeasured
from tests.helpers import Subscriber, environment, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.cli.demo_broker import DemoBroker
    from appliance.models import Model
    from appliance.selection.worker_layout import Aim, Wanted

CPU = CpuAccelerator()
FOUND = Finding("cpu", found=True, detail="", runtime="runtime 1")


def trial(workers: int, threads: int, fps: float, frame_ms: float = 10, wrong: str = "") -> Trial:
    return Trial(workers=workers, threads=threads, fps=fps, frame_ms=frame_ms, wrong=wrong)


@given(st.integers(1, 128))
def test_candidates_begin_with_the_one_taken_unmeasured_and_stay_few(cpus: int) -> None:
    some = candidates(cpus)
    assert some[0] == unmeasured(cpus, None, "auto", "auto")
    assert len(set(some)) == len(some) <= 20
    assert all(one.threads <= cpus and one.workers <= cpus + 1 for one in some)


def test_what_two_and_four_cores_try() -> None:
    assert [str(one) for one in candidates(2)] == ["2x1", "1x2", "1x1", "3x1"]
    assert [str(one) for one in candidates(4)] == ["4x1", "2x2", "1x4", "3x1", "5x1"]


def test_a_device_that_opens_few_detectors_is_left_alone(
    tmp_path: Path, default_model: Model
) -> None:
    class Few(CpuAccelerator):
        max_detectors = 3  # type: ignore[assignment]

    one = Few()
    assert layouts(tmp_path / "x").to_measure(FOUND, one, default_model) == ()
    assert str(layouts(tmp_path / "x").of(FOUND, one, default_model)) == "3x1"


def test_what_two_processes_keep_is_both_kept(tmp_path: Path, default_model: Model) -> None:
    path = tmp_path / "layouts.json"
    mine, theirs = layouts(path), layouts(path, board="another")
    mine.keep(FOUND, CPU, default_model, (trial(2, 2, 90),))
    theirs.keep(FOUND, CPU, default_model, (trial(1, 4, 90),))
    assert str(layouts(path).of(FOUND, CPU, default_model)) == "2x2"


def test_a_measurement_in_which_nothing_was_right_is_not_kept(
    tmp_path: Path, default_model: Model
) -> None:
    one = layouts(tmp_path / "layouts.json")
    one.keep(FOUND, CPU, default_model, (trial(2, 2, 90, wrong="out of memory"),))
    assert one.to_measure(FOUND, CPU, default_model)


@pytest.mark.parametrize(
    ("workers", "threads", "expected"),
    [("auto", "auto", "4x1"), ("auto", 2, "2x2"), (1, "auto", "1x4"), (3, 2, "3x2"), (9, 1, "9x1")],
)
def test_what_is_configured_is_kept(workers: Wanted, threads: Wanted, expected: str) -> None:
    assert str(unmeasured(4, None, workers, threads)) == expected


def test_the_best_is_right_and_fast_and_of_equals_the_other_aim_decides() -> None:
    some = [
        trial(2, 1, 100, 20),
        trial(1, 2, 80, 12),
        trial(3, 1, 101, 30),
        trial(4, 1, 500, 1, "wrong"),
    ]
    throughput, latency = best(some, "throughput"), best(some, "latency")
    assert throughput is not None
    assert latency is not None
    assert str(throughput.layout) == "2x1"  # 3x1 gains one in a hundred, and is slower
    assert str(latency.layout) == "1x2"
    assert best([trial(4, 1, 500, 1, "wrong")], "throughput") is None
    why = reason(some, throughput, "throughput")
    assert why.startswith("measured for throughput: 2x1 100.0 FPS, 20.0 ms; ")
    assert "4x1 wrong" in why


def layouts(
    path: Path, *, cpus: int = 4, board: str = "a board", aim: Aim = "throughput"
) -> LayoutStore:
    return LayoutStore(path, board, cpus, workers="auto", threads="auto", aim=aim)


def test_a_measurement_is_kept_for_model_runtime_board_and_cpus(
    tmp_path: Path, default_model: Model
) -> None:
    path, some = tmp_path / "state/layouts.json", (trial(2, 2, 90, 20), trial(1, 4, 70, 15))
    first = layouts(path)
    assert first.of(FOUND, CPU, default_model).why == "a worker a CPU, at most 4; not measured"
    assert len(first.to_measure(FOUND, CPU, default_model)) == 5
    first.keep(FOUND, CPU, default_model, some)
    again = layouts(path)
    assert str(again.of(FOUND, CPU, default_model)) == "2x2"
    assert again.to_measure(FOUND, CPU, default_model) == ()
    assert str(layouts(path, aim="latency").of(FOUND, CPU, default_model)) == "1x4"
    others = [
        (layouts(path, cpus=2), FOUND, default_model),
        (layouts(path, board="another"), FOUND, default_model),
        (again, replace(FOUND, runtime="runtime 2"), default_model),
        (again, FOUND, replace(default_model, sha256="other")),
    ]
    assert all(one.to_measure(found, CPU, model) for one, found, model in others)


def test_a_damaged_file_costs_a_new_measurement_only(tmp_path: Path, default_model: Model) -> None:
    path = tmp_path / "layouts.json"
    path.write_text("{")
    assert str(layouts(path).of(FOUND, CPU, default_model)) == "4x1"


@pytest.mark.parametrize(
    ("cpus", "expected"),
    [
        (1, ["1x1", "2x1"]),
        (3, ["3x1", "1x3", "2x1", "4x1"]),
        (6, ["4x1", "6x1", "3x2", "2x3", "1x6", "5x1", "7x1"]),
        (8, ["4x1", "8x1", "4x2", "2x4", "1x8", "7x1", "9x1"]),
    ],
)
def test_layouts_that_use_every_cpu_one_less_and_one_more(cpus: int, expected: list[str]) -> None:
    assert [str(one) for one in candidates(cpus)] == expected


@pytest.mark.parametrize(
    ("cpus", "most", "workers", "threads", "expected", "why"),
    [
        (4, None, "auto", "auto", "4x1", "a worker a CPU, at most 4; not measured"),
        (8, None, "auto", "auto", "4x1", "a worker a CPU, at most 4; not measured"),
        (2, 3, "auto", "auto", "2x1", "a worker a CPU, at most 3; not measured"),
        (8, 6, "auto", "auto", "6x1", "a worker a CPU, at most 6; not measured"),
        (8, None, "auto", 3, "2x3", "configured"),
        (2, None, "auto", 5, "1x5", "configured"),
        (4, None, 2, "auto", "2x2", "configured"),
        (4, None, 8, "auto", "8x1", "configured"),
        (4, 1, 3, "auto", "1x4", "configured"),
        (4, 1, 3, 2, "1x2", "configured"),
        (4, None, 3, 2, "3x2", "configured"),
    ],
)
def test_what_is_not_configured_is_filled_in_and_said(
    cpus: int, most: int | None, workers: Wanted, threads: Wanted, expected: str, why: str
) -> None:
    one = unmeasured(cpus, most, workers, threads)
    assert (str(one), one.why) == (expected, why)


def test_why_a_layout_was_taken_is_no_part_of_it() -> None:
    assert WorkerLayout(2, 1, "measured") == WorkerLayout(2, 1)
    assert WorkerLayout(2, 1).why == ""
    assert trial(2, 3, 10).layout == WorkerLayout(2, 3)


@pytest.mark.parametrize(("fps", "taken"), [(97.0, "1x2"), (96.9, "2x1")])
def test_three_in_a_hundred_are_as_good(fps: float, taken: str) -> None:
    found = best([trial(2, 1, 100, 20), trial(1, 2, fps, 10)], "throughput")
    assert found is not None
    assert str(found.layout) == taken


@pytest.mark.parametrize(("frame_ms", "taken"), [(10.3, "2x1"), (10.4, "1x2")])
def test_for_latency_the_rate_decides_among_equals(frame_ms: float, taken: str) -> None:
    found = best([trial(1, 2, 50, 10), trial(2, 1, 90, frame_ms)], "latency")
    assert found is not None
    assert str(found.layout) == taken


def test_a_layout_that_did_nothing_is_not_taken() -> None:
    assert best([trial(1, 1, 0, 0)], "throughput") is None
    assert best([], "latency") is None
    found = best([trial(1, 1, 0.5, 2000)], "latency")
    assert found is not None


def test_the_reason_names_what_was_compared_fastest_first() -> None:
    some = [trial(1, 1, 30, 33.3), trial(2, 1, 50.04, 40), trial(4, 1, 90, 1, "wrong")]
    assert reason(some, some[1], "latency") == (
        "measured for latency: 2x1 50.0 FPS, 40.0 ms; 4x1 wrong, 1x1 30.0 FPS, 33.3 ms"
    )
    alone = reason(some[:1], some[0], "throughput")
    assert alone == "measured for throughput: 1x1 30.0 FPS, 33.3 ms; nothing to compare"


@pytest.mark.parametrize(("workers", "threads"), [(2, "auto"), ("auto", 2), (2, 2)])
def test_where_something_is_configured_nothing_is_measured(
    workers: Wanted, threads: Wanted, tmp_path: Path, default_model: Model
) -> None:
    path = tmp_path / "layouts.json"
    layouts(path).keep(FOUND, CPU, default_model, (trial(1, 1, 90),))
    one = LayoutStore(path, "a board", 4, workers=workers, threads=threads, aim="throughput")
    assert one.to_measure(FOUND, CPU, default_model) == ()
    assert one.of(FOUND, CPU, default_model) == unmeasured(4, None, workers, threads)


def test_a_kept_measurement_says_why(tmp_path: Path, default_model: Model) -> None:
    path = tmp_path / "layouts.json"
    one = layouts(path)
    one.keep(FOUND, CPU, default_model, (trial(1, 1, 30, 33), trial(2, 1, 50, 40)))
    assert one.of(FOUND, CPU, default_model).why == (
        "measured for throughput: 2x1 50.0 FPS, 40.0 ms; 1x1 30.0 FPS, 33.0 ms"
    )
    (kept,) = json.loads(path.read_text()).values()
    assert (kept["accelerator"], kept["model_id"]) == ("cpu", default_model.id)
    assert one.cpus == 4


def test_kept_trials_of_which_none_is_right_are_as_good_as_none(
    tmp_path: Path, default_model: Model
) -> None:
    """Earlier versions may have kept them."""
    path = tmp_path / "layouts.json"
    one = layouts(path)
    one.keep(FOUND, CPU, default_model, (trial(1, 1, 30, 33),))
    path.write_text(path.read_text().replace('"wrong": ""', '"wrong": "blind"'))
    again = layouts(path)
    assert again.of(FOUND, CPU, default_model) == unmeasured(4, None, "auto", "auto")


def test_the_real_runtime_is_measured_in_every_layout(default_model: Model) -> None:
    meter = LayoutMeter(Prover(CPU, SystemClock()), SystemClock(), threading.Event())
    some = meter.measure(
        CPU, default_model, default_model, (WorkerLayout(1, 1), WorkerLayout(2, 1)), 0
    )
    assert [str(one.layout) for one in some] == ["1x1", "2x1"]
    assert all(one.fps > 0 and one.frame_ms > 0 and not one.wrong for one in some)


def test_only_whole_rounds_count_and_each_turn_is_announced(default_model: Model) -> None:
    turns: list[int] = []
    clock = SystemClock()
    meter = LayoutMeter(Prover(CPU, clock), clock, threading.Event(), lambda: turns.append(1))
    some = meter.measure(
        CPU, default_model, default_model, (WorkerLayout(1, 1), WorkerLayout(1, 2)), 0.1
    )
    assert len(turns) == len(some) == 2


@pytest.mark.parametrize("breaks", [DetectorError("it broke"), ZeroDivisionError("it broke")])
def test_a_layout_that_sees_something_else_or_fails_is_never_taken(
    breaks: Exception, default_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SystemClock()
    blind, never = Prover(CPU, clock), threading.Event()
    monkeypatch.setattr(blind, "judge", lambda *_: (False, "sees nothing"))
    some = LayoutMeter(blind, clock, never).measure(
        CPU, default_model, None, (WorkerLayout(1, 1),), 0
    )
    assert some[0].wrong == "sees nothing"

    class Failing:
        max_detectors, name = None, "cpu"

        def open(self, model: Model, *, threads: int) -> object:
            detector = CPU.open(model, threads=threads)

            def fail() -> None:
                raise breaks

            monkeypatch.setattr(detector, "infer", fail)
            return detector

    sound = Prover(CPU, clock)
    monkeypatch.setattr(sound, "judge", lambda *_: (True, ""))
    meter = LayoutMeter(sound, clock, never)
    some = meter.measure(Failing(), default_model, None, (WorkerLayout(2, 1),), 0)  # type: ignore[arg-type]
    assert some[0].wrong == "it broke"


@pytest.mark.slow
def test_a_unit_measures_when_it_has_settled_and_says_why(
    broker: DemoBroker, tmp_path: Path
) -> None:
    settings = Settings(
        sinks={"prometheus": {"port": 0}},  # others run beside it
        device="unit-1",
        mqtt=MqttSettings(host="127.0.0.1", port=broker.port),
        accelerator=AcceleratorSettings(name="cpu"),
        metrics=MetricsSettings(window_seconds=1),
        camera=(CameraSettings(name="front", source="synthetic", width=320, height=240, fps=15),),
    )
    subscriber, requests = Subscriber(broker.port), Requests()
    daemon = Daemon(
        lambda: settings, environment(tmp_path), requests, ServiceManager({}), settle_seconds=0.5
    )
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        wait_for(lambda: subscriber.of("front/detections"), 30)
        assert subscriber.of("info")[0]["layout"] == "a worker a CPU, at most 4; not measured"
        wait_for(lambda: subscriber.of("info")[-1]["layout"].startswith("measured for"), 45)
        before = len(subscriber.of("front/detections"))
        wait_for(lambda: len(subscriber.of("front/detections")) > before + 5, 20, "work goes on")
        info = subscriber.of("info")[-1]
        assert f"{info['workers']}x{info['threads']}" in info["layout"].split(";")[0]
        assert (environment(tmp_path).state_folder() / "layouts.json").is_file()
    finally:
        requests.ask_stop()
        thread.join(20)
        subscriber.close()
    assert not thread.is_alive()
