"""/metrics against MQTT, against promtool, and a real Prometheus against both dashboards."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import socket
import subprocess
import threading
import urllib.parse
import urllib.request
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from appliance.config import CameraSettings, Settings
from appliance.config.scene import LineSettings, ZoneSettings
from appliance.config.settings import (
    AcceleratorSettings,
    GovernorSettings,
    MetricsSettings,
    MqttSettings,
    TelemetrySettings,
)
from appliance.daemon.lifecycle import Daemon
from appliance.daemon.requests import Requests
from appliance.daemon.sinks import make_sinks
from appliance.daemon.systemd import ServiceManager
from appliance.reports.messages import HealthMessage
from appliance.sinks.journal import MESSAGE_IDS, JournalOutlet
from tests.helpers import ROOT, environment, free_port, wait_for
from tests.memory import MemoryOutlet
from tests.scripted import Direct, stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.cli.demo_broker import DemoBroker

DEPLOY = ROOT / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
PI5 = ROOT / "tests/fixtures/roots/pi5"
HISTOGRAM = re.compile(r"_(bucket|sum|count|created)$")


def fetch(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - ours, http
        return str(answer.read().decode())


@contextmanager
def unit(
    tmp_path: Path, port: int, broker: DemoBroker | None = None, textfile: str = ""
) -> Iterator[MemoryOutlet]:
    """A unit on a Pi 5 whose processor is at 79 °C and slowed: everything has a value there."""
    root = tmp_path / "root"
    shutil.copytree(PI5, root)
    (root / "sys/class/thermal/thermal_zone0/temp").write_text("79000\n")
    settings = Settings(
        device="unit-1",
        mqtt=MqttSettings(host="127.0.0.1", port=broker.port)
        if broker
        else MqttSettings(enabled=False),
        accelerator=AcceleratorSettings(name="cpu", workers=1),
        governor=GovernorSettings(min_fps=0.5),
        metrics=MetricsSettings(window_seconds=1),
        telemetry=TelemetrySettings(interval_seconds=1),
        sinks={"prometheus": {"port": port}, "textfile": {"path": textfile}},
        camera=(
            CameraSettings(
                name="front",
                source="synthetic",
                width=320,
                height=240,
                fps=15,
                labels=("person",),
                zone=(ZoneSettings(name="left", polygon=((0, 0), (0.5, 0), (0.5, 1), (0, 1))),),
                line=(LineSettings(name="middle", start=(0.5, 0), end=(0.5, 1)),),
            ),
        ),
    )
    memory, requests = MemoryOutlet(), Requests()
    surroundings = replace(environment(tmp_path), root=root)
    daemon = Daemon(
        lambda: settings, surroundings, requests, ServiceManager({}), extra_outlets=(memory,)
    )
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        wait_for(lambda: sum(one.kind == "metrics" for one in tuple(memory.messages)) >= 2, 20)
        yield memory
    finally:
        requests.ask_stop()
        thread.join(20)
    assert not thread.is_alive()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def reasons(memory: MemoryOutlet) -> tuple[str, ...]:
    """Return what the newest health message says of the metrics."""
    health: Any = [one for one in tuple(memory.messages) if one.kind == "health"][-1].message
    return tuple(text for text in health.reasons if "metrics on" in text)


def samples(text: str) -> dict[str, float]:
    rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


def test_the_numbers_are_those_of_mqtt(tmp_path: Path) -> None:
    port = free_port()
    with unit(tmp_path, port) as memory:
        wait_for(
            lambda: "appliance_governor_target_fps" in fetch(f"http://127.0.0.1:{port}/metrics")
        )
        before = [one for one in tuple(memory.messages) if one.kind == "metrics"]
        values = samples(fetch(f"http://127.0.0.1:{port}/metrics"))
        after = [one for one in tuple(memory.messages) if one.kind == "metrics"]
        told: list[Any] = [one.message for one in (before[-1], *after[len(before) :])]
        got = values['appliance_end_to_end_fps{camera="front"}']
        assert got in {one.end_to_end_fps for one in told}
        alone = values['appliance_inference_only_fps{camera="front"}']
        assert alone in {one.inference_only_fps for one in told}
        processed = values['appliance_frames_processed_total{camera="front"}']
        assert processed in {one.frames.processed for one in told}
        assert values["appliance_temperature_celsius"] == 79.0
        assert values['appliance_temperature_limit_celsius{limit="soft"}'] == 80.0
        assert values['appliance_throttle_active{cause="soft_temperature_limit"}'] == 1.0
        assert values['appliance_throttle_active{cause="under_voltage"}'] == 0.0
        assert values['appliance_governor_mode{mode="eased"}'] == 1.0
        assert values["appliance_fan_level_ratio"] == pytest.approx(0.49)
        assert values['appliance_collector_success{collector="thermal"}'] == 1.0
        last = [one.message for one in tuple(memory.messages) if one.kind == "health"][-1]
        assert isinstance(last, HealthMessage)
        assert set(last.sinks) == {"memory", "objects", "prometheus"}
        assert 0 < values['appliance_sink_messages_total{sink="memory"}'] <= memory.count
        assert values['appliance_sink_waiting{sink="memory"}'] >= 0
        for reason in ("dropped", "failed"):
            assert values[f'appliance_sink_lost_total{{reason="{reason}",sink="memory"}}'] == 0.0


def test_what_is_not_there_has_no_sample(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(mqtt=MqttSettings(enabled=False), sinks={"prometheus": {"port": port}})
    sinks = make_sinks(settings, environment(tmp_path))
    try:
        wait_for(lambda: listens(port))
        text = fetch(f"http://127.0.0.1:{port}/metrics")
    finally:
        sinks.close()
    there = {line for line in text.splitlines() if line.startswith("appliance_")}
    born = {line for line in there if line.startswith("appliance_alerts_total")}
    assert there == born | {line for line in there if line.startswith("appliance_alerts_created")}
    assert all(line.endswith(" 0.0") for line in born)
    with pytest.raises(OSError, match="refused"):
        fetch(f"http://127.0.0.1:{port}/metrics")


def test_a_taken_port_stops_nothing_and_is_taken_up_when_it_is_free(tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with unit(tmp_path, port) as memory:
            wait_for(lambda: any("another program listens" in text for text in reasons(memory)))
            taken.close()
            wait_for(lambda: not reasons(memory) and listens(port), 40)
            text = fetch(f"http://127.0.0.1:{port}/metrics")
            assert samples(text)['appliance_latency_seconds_count{camera="front"}'] > 0


def test_the_textfile_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "appliance.prom"
    with unit(tmp_path, 0, textfile=str(path)):
        wait_for(path.exists)
        text = path.read_text()
    assert "appliance_temperature_celsius 79.0" in text
    assert "process_" not in text  # node_exporter tells of its own
    assert not path.exists()


def test_promtool_finds_nothing_to_say(tmp_path: Path) -> None:
    port = free_port()
    with unit(tmp_path, port):
        text = fetch(f"http://127.0.0.1:{port}/metrics")
    checked = promtool("check", "metrics", input=text)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not checked.stdout + checked.stderr


def test_alert_rules_pass_their_tests() -> None:
    folder = DEPLOY / "prometheus"
    for words in (
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "appliance.rules.yml"),
        ("test", "rules", "appliance.rules.test.yml"),
    ):
        done = promtool(*words, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_query_of_both_dashboards_has_data(tmp_path: Path, broker: DemoBroker) -> None:
    """A real Prometheus scrapes a real unit; nothing is named that is not exported."""
    port, own = free_port(), free_port()
    with unit(tmp_path, port, broker), prometheus(tmp_path, own, port) as base:
        wait_for(lambda: ask(base, 'appliance_governor_mode{mode="eased"} == 1'), 40)
        wait_for(lambda: ask(base, "rate(appliance_latency_seconds_count[5s]) > 0"), 20)
        names = set(json.loads(fetch(f"{base}/api/v1/label/__name__/values"))["data"])
        for path in DASHBOARDS:
            for panel, expression in expressions(path):
                concrete = without_variables(expression)
                used = set(re.findall(r"\b(?:appliance|process)_\w+", expression))
                assert {name for name in used if name not in names} == set(), panel
                assert ask(base, concrete), f"{path.name}, {panel}: no data for {concrete}"
        rules = (DEPLOY / "prometheus/appliance.rules.yml").read_text()
        assert set(re.findall(r"\bappliance_\w+", rules)) <= names


def promtool(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt install prometheus")
    return subprocess.run(
        ["promtool", *words], text=True, capture_output=True, timeout=60, check=False, **options
    )


@contextmanager
def prometheus(tmp_path: Path, port: int, target: int) -> Iterator[str]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: apt install prometheus")
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: appliance\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{target}']}}]\n"
    )
    process = subprocess.Popen(
        [program, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
         f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"],
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def ask(base: str, expression: str) -> list[Any]:
    query = urllib.parse.urlencode({"query": expression})
    try:
        answer = json.loads(fetch(f"{base}/api/v1/query?{query}"))
    except OSError:
        return []  # not up yet
    result: list[Any] = answer["data"]["result"]
    return result


def expressions(path: Path) -> list[tuple[str, str]]:
    board = json.loads(path.read_text())
    return [(p["title"], t["expr"]) for p in board["panels"] for t in p["targets"]]


def without_variables(expression: str) -> str:
    for name, value in (
        ("$__rate_interval", "10s"), ("$__range", "1m"), ("$__interval", "5s"),
        ("$job", ".+"), ("$instance", ".+"), ("$camera", ".+"),
    ):  # fmt: skip
        expression = expression.replace(name, value)
    return expression


# --- the rules of Grafana's dashboard linter, as far as they concern us


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_a_dashboard_keeps_the_linters_rules(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["editable"] is False
    assert board["uid"]
    assert board["schemaVersion"] <= 42
    variables = {one["name"]: one for one in board["templating"]["list"]}
    source = variables.pop("datasource")
    assert (source["type"], source["query"], source["label"]) == (
        "datasource", "prometheus", "Data Source",
    )  # fmt: skip
    for name in ("job", "instance"):
        one = variables[name]
        assert (one["label"], one["multi"], one["allValue"], one["refresh"]) == (
            name,
            True,
            ".+",
            2,
        )
    for one in variables.values():
        assert one["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        for target in panel["targets"]:
            check_target(target["expr"])
            assert target["datasource"]["uid"] == "${datasource}"
    for one, other in itertools.combinations(board["panels"], 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def check_target(expression: str) -> None:
    promql = pytest.importorskip("promql_parser")
    promql.parse(without_variables(expression))
    selectors = re.findall(r"\{([^}]*)\}", expression)
    assert selectors
    for selector in selectors:
        assert 'job=~"$job"' in selector
        assert 'instance=~"$instance"' in selector
    for match in re.finditer(r"(\w+)\(\w+\{[^}]*\}(\[[^\]]+\])?", expression):
        function, window = match.groups()
        if function in {"rate", "increase", "irate"}:
            assert window in {"[$__rate_interval]", "[$__range]"}
    for name in re.findall(r"(\w+_total)\{", expression):
        assert re.search(rf"(rate|increase)\({name}", expression), name


def overlap(a: dict[str, int], b: dict[str, int]) -> bool:
    aside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
    apart = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
    return not (aside or apart)


def test_the_dashboards_are_what_the_script_makes() -> None:
    pytest.importorskip("grafana_foundation_sdk")
    import sys

    command = [sys.executable, "scripts/make_dashboards.py", "--check"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)


# --- the journal


def test_alerts_reach_the_journal_with_stable_ids(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as journal:
        journal.bind(str(path))
        journal.settimeout(5)
        sink = JournalOutlet(path)
        sink.open()
        scene = stage(Direct(sink))
        scene.reporter.alert(
            "throttling_began", cause="under_voltage", reason="two\nlines", duration_seconds=None
        )
        text = journal.recv(4096).decode()
        sink.close()
    assert f"MESSAGE_ID={MESSAGE_IDS['throttling_began']}\n" in text
    assert "MESSAGE=throttling_began: two lines\n" in text
    assert "PRIORITY=4\n" in text
    assert "APPLIANCE_CAUSE=under_voltage\n" in text


def test_every_kind_of_alert_has_its_id() -> None:
    from typing import get_args, get_type_hints

    from appliance.reports.messages import AlertMessage

    assert set(MESSAGE_IDS) == set(get_args(get_type_hints(AlertMessage)["kind"]))
    assert len(set(MESSAGE_IDS.values())) == len(MESSAGE_IDS)


def test_a_journal_that_is_away_is_no_trouble(tmp_path: Path) -> None:
    sink = JournalOutlet(tmp_path / "none")
    sink.open()
    scene = stage(Direct(sink))
    scene.reporter.alert("governor", reason="x")
    sink.close()
