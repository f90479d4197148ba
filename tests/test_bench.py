"""The benchmark: both methods, any model, several cameras, comparisons, pictures."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from appliance.bench.alone import Alone
from appliance.bench.plan import Round
from appliance.bench.published import published
from appliance.bench.source import preload
from appliance.cli import main
from appliance.models import Catalogue, find_models_folder
from appliance.pipeline import Counts
from appliance.values import Frame, PixelFormat
from tests.tiny_model import tiny_classifier

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.cli.demo_broker import DemoBroker
    from tests.samples import Samples

SMALL = ["--preload", "--width", "320", "--height", "240", "--accelerator", "cpu", "--runs", "3"]


def bench(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["bench", "--json", *words]) == 0
    figures: dict[str, Any] = json.loads(capsys.readouterr().out)
    return figures


def test_preloaded_frames_stay_when_the_camera_has_its_memory_back() -> None:
    memory = np.zeros((2, 12, 16), np.uint8)

    class Recycling:
        live = True
        seq = 0

        def open(self) -> None:
            pass

        def read(self) -> Frame:
            self.seq += 1
            mine = memory[self.seq % 2]
            mine[:] = self.seq
            planes = (mine[:8], mine[8:, :8], mine[8:, 8:])
            return Frame(planes, PixelFormat.I420, 16, 8, 0, self.seq)

        def close(self) -> None:
            memory[:] = 255

    kept = preload(Recycling(), 6)
    assert [{int(one) for one in np.unique(plane)} for frame in kept for plane in frame.planes] == [
        {number} for number in range(1, 7) for _ in range(3)
    ]


def test_both_methods_stand_beside_what_was_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--frames", "20", *SMALL]) == 0
    printed = capsys.readouterr().out
    for words in (
        "end to end",
        "detector alone",
        "method of 2019",
        "3888x2916 resized once",
        "published, inference only",
        "Jetson Nano, nano               39.0",
        "Q-engineering",
    ):
        assert words in printed


def test_the_published_figures_are_the_comparison_s() -> None:
    rows = {(one["accelerator"], one["board"]): one["fps"] for one in published()}
    assert rows == {
        ("cpu", "Pi 3"): 2.6,
        ("cpu", "Pi 4"): 4.7,
        ("ncnn", "Pi 3"): 3.7,
        ("ncnn", "Pi 4"): 5.8,
        ("ncs", "NCS2 on Pi 3"): 11,
        ("ncs", "NCS2 on Pi 4"): 41,
        ("edgetpu", "USB on Pi 3"): 17,
        ("edgetpu", "USB on Pi 4"): 55,
        ("edgetpu", "Dev Board"): 48,
        ("nano", "Jetson Nano"): 39,
    }


def test_the_method_of_2019_sees_its_fruit(
    data: Samples, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(data / "models/seed_mobilenet_v1.tflite")
    picture = ["--picture", str(data / "fruit.jpg"), "--model", model]
    video = ["--source", str(data / "video/vtest.avi")]
    figures = bench(capsys, "--frames", "20", *SMALL, *picture, *video)
    assert figures["size"] == [768, 576]  # what came, not what was asked of a synthetic source
    old = figures["method_2019"]
    assert old["size"] == [3888, 2916]
    assert old["runs"] == 3
    assert {"banana", "apple"} <= set(old["sees"])
    assert old["fps"] == pytest.approx(1000 / old["mean_ms"], rel=0.01)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_a_model_that_is_no_detector_is_timed(
    dtype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "classifier.tflite"
    path.write_bytes(tiny_classifier(dtype))
    figures = bench(capsys, "--frames", "20", *SMALL, "--model", str(path))
    assert "e2e_fps" not in figures
    assert figures["inference_only_fps"] > 0
    assert figures["method_2019"]["sees"] == []
    assert main(["bench", "--frames", "20", *SMALL, "--model", str(path)]) == 0
    assert "timed only" in capsys.readouterr().out
    assert main(["detect", "x.jpg", "--accelerator", "cpu", "--model", str(path)]) == 65


def test_an_int8_input_holds_pixels_less_128(tmp_path: Path) -> None:
    from appliance.accelerators.cpu import CpuAccelerator

    path = tmp_path / "classifier.tflite"
    path.write_bytes(tiny_classifier("int8"))
    model = Catalogue(find_models_folder(), timing=True).load(str(path))
    detector = CpuAccelerator().open(model, threads=1)
    with detector.input() as tensor:
        tensor[:] = (0, 128, 255)
    del tensor
    detector.infer()
    interpreter = detector._interpreter
    assert interpreter.get_tensor(1).ravel().tolist() == [-128, 0, 127]


def test_several_cameras_share_the_detector(capsys: pytest.CaptureFixture[str]) -> None:
    figures = bench(capsys, "--frames", "60", *SMALL, "--cameras", "3")
    assert figures["cameras"] == 3
    assert figures["frames"]["captured"] == figures["frames"]["processed"] == 3 * 25
    assert figures["slowest_camera_fps"] > 0


def test_publishing_is_measured_at_a_real_broker(
    broker: DemoBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"127.0.0.1:{broker.port}"
    figures = bench(capsys, "--frames", "20", *SMALL, "--rate", "20", "--mqtt", address)
    assert figures["publish_ms"] > 0
    parts = figures["latency_ms"]["p50"] + figures["publish_ms"]
    inference = figures["stages_ms"]["inference"]["p50"]
    assert figures["overhead_ms"] == pytest.approx(parts - inference, abs=0.01)


@pytest.mark.slow
def test_layouts_and_models_compete_in_one_run(
    data: Samples, capsys: pytest.CaptureFixture[str]
) -> None:
    other = str(data / "models/seed_mobilenet_v1.tflite")
    figures = bench(capsys, "--frames", "20", *SMALL, "--compare", f"1x1,1x2,{other}@1x1")
    rows = {row["name"]: row for row in figures["compare"]}
    assert (rows["1x2"]["workers"], rows["1x2"]["threads"]) == (1, 2)
    assert rows[f"{other}@1x1"]["map"] == 0.221
    assert rows["1x1"]["map"] == 0.325
    assert any(row["pareto"] for row in figures["compare"])
    assert main(["bench", "--frames", "20", *SMALL, "--compare", "1x1"]) == 0
    assert "* 1x1" in capsys.readouterr().out


@pytest.mark.slow
def test_auto_measures_every_layout_and_keeps_the_best(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    words = ["--frames", "20", *SMALL[:5], "--runs", "3"]
    figures = bench(capsys, *words, "--compare", "auto", "--seconds", "1")
    cpu = [row["name"] for row in figures["compare"] if row["name"].startswith("cpu@")]
    assert sorted(cpu) == ["cpu@1x1", "cpu@1x2", "cpu@2x1", "cpu@3x1"]
    auto = figures["auto"]
    assert auto["why"].startswith("measured for throughput") or auto["accelerator"] != "cpu"
    again = bench(capsys, *words, "--accelerator", "cpu")
    assert again["layout"].startswith("measured for throughput")


@pytest.mark.parametrize("name", ["waterfall.svg", "waterfall.png"])
def test_it_is_drawn(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    bench(capsys, "--frames", "20", *SMALL, "--plot", str(path))
    if path.suffix == ".svg":
        words = " ".join(ET.parse(path).getroot().itertext())  # noqa: S314 - our own
        assert all(one in words for one in ("capture", "inference", "p99"))
    else:
        assert cv2.imread(str(path)) is not None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--plot", "x.gif"], 2, ".svg or .png"),
        (["--plot", "/nowhere/x.svg"], 2, "no folder"),
        (["--cameras", "0"], 2, "--cameras 0"),
        (["--width", "0"], 2, "--width 0"),
        (["--workers", "-1"], 2, "expected auto or 1 to 64"),
        (["--mqtt", "127.0.0.1:99999"], 2, "HOST:PORT"),
        (["--mqtt", "127.0.0.1:9", "--frames", "20", *SMALL], 69, "took no messages"),
        (["--sustained", "--compare", "cpu"], 2, "cannot be combined with --compare"),
        (["--compare", ""], 2, "a name is empty"),
        (["--mqtt", ":x"], 2, "HOST:PORT"),
        (["--compare", "cpu@fast"], 2, "workers x threads"),
        (["--compare", "cpu,nothing"], 2, "--compare nothing: no accelerator, model or layout"),
        (["--compare", "0x3"], 2, "--compare 0x3: no accelerator, model or layout"),
        (["--picture", "/nowhere.jpg", "--frames", "20", *SMALL], 65, "cannot be read"),
        (["--workers", "many"], 2, "'many'"),
    ],
)
def test_mistakes_are_named(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        got = main(["bench", *words])
    except SystemExit as error:  # argparse
        got = int(error.code or 0)
    assert got == code
    assert said in capsys.readouterr().err


def one_round(*, camera_fps: float | None) -> Round:
    return Round(
        selection=None,  # type: ignore[arg-type]
        size=(320, 240),
        end_to_end_fps=9.0,
        camera_fps=camera_fps,
        slowest_fps=9.0,
        alone=Alone(fps=10.0, cpu_seconds=0.1),
        times=[],
        publish_ms=None,
        counts=(Counts(6, 6, 0), Counts(4, 4, 0)),
        cpu_seconds=1.1,
        memory_mib=1.0,
    )


def test_efficiency_and_cost_are_what_the_design_says() -> None:
    assert one_round(camera_fps=None).efficiency == pytest.approx(0.9)
    assert one_round(camera_fps=9.0).efficiency == pytest.approx(1.0)
    assert one_round(camera_fps=30.0).efficiency == pytest.approx(0.9)
    assert one_round(camera_fps=None).cpu_ratio == pytest.approx(1.1)
