"""The command line: help is quick, mistakes are named, exit codes are the design's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from appliance.cli import VERBS, main
from appliance.reports.messages import MESSAGES, json_schema
from tests.helpers import wait_for

if TYPE_CHECKING:
    from appliance.cli.demo_broker import DemoBroker

ROOTS = Path(__file__).parent / "fixtures" / "roots"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "appliance", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    result = run(verb, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith("usage:")


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from appliance.cli import main\n"
    code += "try: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([m for m in ('numpy', 'cv2', 'paho', 'msgspec', 'rich') if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["fly"], 2, "invalid choice"),
        (["detect", "/nowhere.jpg"], 65, "no such picture"),
        (["detect", "x.jpg", "--model", "/nowhere.tflite"], 65, "no such file"),
        (["detect", "x.jpg", "--model", "yolo"], 65, "not in the catalogue"),
        (["detect", "x.jpg", "--accelerator", "warp"], 2, "known: auto, cpu"),
        (["detect", "x.jpg", "--threshold", "7"], 2, "expected 0 to 1"),
        (["bench", "--source", "/nowhere.avi", "--frames", "20"], 65, "no such file"),
        (["bench", "--frames", "1"], 2, "at least 10"),
        (["bench", "--rate", "-3"], 2, "above 0"),
        (["run", "--config", "/nowhere.toml"], 78, "no such file"),
        (["check", "--set", "mqtt.prot=1"], 78, "did you mean port"),
        (["check", "--set", "nonsense"], 78, "KEY=VALUE"),
        (
            [
                "run",
                "--set",
                "camera=[{source='video:/nowhere.avi'}]",
                "--set",
                "mqtt.enabled=false",
            ],
            65,
            "no such file",
        ),
        (["run", "--set", "model.labels=['persn']", "--set", "mqtt.enabled=false"], 65, "persn"),
        (["run", "--set", "mqtt.password_file=/nowhere"], 78, "cannot be read"),
        (["models", "fetch", "nothing"], 2, "no such model"),
        (["watch", "--port", "9", "--host", "127.0.0.1"], 69, "is it running"),
    ],
)
def test_mistakes_are_named(words: list[str], code: int, part: str) -> None:
    result = run(*words)
    assert result.returncode == code, result.stderr
    assert part in result.stderr
    assert "Traceback" not in result.stderr


def test_a_damaged_picture_does_not_stop_the_others(tmp_path: Path, picture: Path) -> None:
    whole = picture.read_bytes()
    (tmp_path / "bad.jpg").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "good.jpg").write_bytes(whole)
    result = run("detect", str(tmp_path), "--json")
    assert result.returncode == 65
    assert "bad.jpg: damaged JPEG" in result.stderr
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["image"].endswith("good.jpg")


def test_a_password_file_for_everybody_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("s3cret")
    path.chmod(0o644)
    result = run("run", "--set", f"mqtt.password_file={path}")
    assert result.returncode == 78
    assert "chmod 0600" in result.stderr
    assert "s3cret" not in result.stderr


def test_bench_prints_what_scripts_rely_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            ["bench", "--frames", "20", "--preload", "--json", "--width", "320", "--height", "240"]
        )
        == 0
    )
    figures = json.loads(capsys.readouterr().out)
    assert figures["camera_fps"] is None
    assert figures["accelerator"] == "cpu"  # what auto took, not "auto"
    assert figures["frames"]["captured"] == figures["frames"]["processed"]
    assert set(figures["stages_ms"]) == {
        "capture",
        "queue",
        "preprocess",
        "inference",
        "postprocess",
    }
    for key in (
        "e2e_fps",
        "inference_only_fps",
        "efficiency",
        "latency_ms",
        "cpu_seconds_per_frame",
        "rss_mib",
        "model",
        "accelerator",
        "warmup",
    ):
        assert figures[key], key


def test_bench_of_a_live_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            [
                "bench",
                "--frames",
                "20",
                "--rate",
                "30",
                "--json",
                "--width",
                "320",
                "--height",
                "240",
            ]
        )
        == 0
    )
    figures = json.loads(capsys.readouterr().out)
    assert figures["camera_fps"] > 0  # a file has none
    assert figures["frames"]["captured"] >= figures["frames"]["processed"] > 0


def test_telemetry_of_another_root(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["telemetry", "--root", str(ROOTS / "pi4-undervolt"), "--json"]) == 0
    snapshot = json.loads(capsys.readouterr().out)
    assert snapshot["throttle"]["now"] == ["under_voltage", "throttled"]
    assert main(["telemetry", "--root", str(ROOTS / "pi4-undervolt")]) == 0
    assert "now: under_voltage, throttled" in capsys.readouterr().out


def test_probe_says_what_auto_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["auto"] == "cpu"


def test_schemas_are_valid_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in MESSAGES:
        assert main(["schema", kind, "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed == json_schema(kind)
        jsonschema.Draft202012Validator.check_schema(printed)


def test_check_tells_what_works(broker: DemoBroker) -> None:
    camera = ["--set", "camera=[{source='synthetic'}]", "--set", "mqtt.host=127.0.0.1"]
    good = run("check", *camera, "--set", f"mqtt.port={broker.port}", "--json")
    assert good.returncode == 0
    assert all(json.loads(line)["ok"] for line in good.stdout.splitlines())
    bad = run("check", *camera, "--set", "mqtt.port=9", "--json")
    assert bad.returncode == 69
    rows = {row["check"]: row for row in map(json.loads, bad.stdout.splitlines())}
    assert rows["camera camera"]["ok"]
    assert "is it running" in rows["broker"]["detail"]


def test_models_are_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0]["state"] == "here, verified (default)"


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_the_demo_ends_by_itself_and_can_be_watched(kind: str) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "appliance", "demo", "--frames", "120", "--broker", kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    demo.stdout.readline()
    port = demo.stdout.readline().split(" -p ")[1].split()[0]
    watch = run("watch", "--host", "127.0.0.1", "--port", port, "--json", "--count", "20")
    assert watch.returncode == 0
    topics = {json.loads(line)["topic"].rpartition("/")[2] for line in watch.stdout.splitlines()}
    assert "detections" in topics
    out, errors = demo.communicate(timeout=60)
    assert demo.returncode == 0
    assert "Bye" in out
    assert "Traceback" not in errors
    wait_for(lambda: demo.poll() is not None)


def test_the_settings_are_printed_without_passwords(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "appliance.toml"
    path.write_text(
        '[[camera]]\nname = "a"\nsource = "rtsp://admin:sEcret9@host/x?token=sEcret8"\n'
        '[sinks.telegram]\nbot_token = "sEcret7"\nproxy = "http://me:sEcret6@proxy/"\n'
    )
    assert main(["check", "--dump", "--config", str(path)]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["camera"][0]["source"] == "rtsp://host/x"
    assert "sEcret" not in printed


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('labels = ["persn"]', "camera[door].labels"),
        ("thresholds = {persn = 0.5}", "camera[door].thresholds"),
        (
            'zone = [{name = "a", polygon = [[0, 0], [1, 0], [1, 1]], labels = ["persn"]}]',
            "camera[door].zone[a].labels",
        ),
        (
            'line = [{name = "a", start = [0, 0], end = [1, 0], labels = ["persn"]}]',
            "camera[door].line[a].labels",
        ),
        (
            'ignore = [{polygon = [[0, 0], [1, 0], [1, 1]], labels = ["persn"]}]',
            "camera[door].ignore[1].labels",
        ),
    ],
)
def test_check_says_of_every_label_what_run_would_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, key: str
) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        "[mqtt]\nenabled = false\n[sinks.prometheus]\nport = 0\n"
        f'[[camera]]\nname = "door"\nsource = "synthetic"\n{text}\n'
    )
    assert main(["check", "--config", str(path), "--json", "--offline"]) == 65
    rows = {row["check"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert not rows["model"]["ok"]
    assert key in rows["model"]["detail"]
    assert "did you mean 'person'?" in rows["model"]["detail"]
    assert main(["run", "--config", str(path)]) == 65
    assert key in capsys.readouterr().err
