"""What the daemon and the update script tell each other, and what the network may ask.

The script itself is run in a container: tests/e2e/updates.sh, tests/e2e/power_cuts.sh.
"""

from __future__ import annotations

import json
import re
import threading
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.cli import main
from appliance.config import CameraSettings, Settings
from appliance.config.settings import (
    AcceleratorSettings,
    MqttSettings,
    TelemetrySettings,
    UpdateSettings,
)
from appliance.daemon.lifecycle import Daemon
from appliance.daemon.requests import Requests
from appliance.daemon.systemd import ServiceManager
from appliance.update.state import PROGRESS, REQUEST, STATE, UpdateState, read_pairs, read_state
from tests.helpers import Subscriber, environment, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from appliance.cli.demo_broker import DemoBroker


def write_state(root: Path, **pairs: str) -> None:
    path = root / STATE
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name("new")
    fresh.write_text("".join(f"{key}={value}\n" for key, value in pairs.items()))
    fresh.replace(path)


@contextmanager
def unit(tmp_path: Path, broker: DemoBroker, *, origin: str) -> Iterator[None]:
    settings = Settings(
        device="unit",
        mqtt=MqttSettings(host="127.0.0.1", port=broker.port),
        accelerator=AcceleratorSettings(name="cpu", workers=1),
        telemetry=TelemetrySettings(interval_seconds=1),
        sinks={"prometheus": {"port": 0}},
        update=UpdateSettings(origin=origin),
        camera=(CameraSettings(name="front", source="synthetic", width=64, height=64, fps=5),),
    )
    requests = Requests()
    surroundings = replace(environment(tmp_path), root=tmp_path)
    daemon = Daemon(lambda: settings, surroundings, requests, ServiceManager({}))
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        yield
    finally:
        requests.ask_stop()
        thread.join(20)
    assert not thread.is_alive()


def test_the_state_is_on_its_topic_and_follows(tmp_path: Path, broker: DemoBroker) -> None:
    write_state(tmp_path, phase="idle", installed="1.0", available="1.1")
    with closing(Subscriber(broker.port)) as subscriber, unit(tmp_path, broker, origin="https://x"):
        wait_for(lambda: subscriber.of("update"))
        first = subscriber.of("update")[-1]
        assert (first["installed_version"], first["latest_version"]) == ("1.0", "1.1")
        assert first["in_progress"] is False
        write_state(tmp_path, phase="installing", installed="1.0", available="1.1")
        wait_for(lambda: subscriber.of("update")[-1]["in_progress"])
        write_state(
            tmp_path, phase="idle", installed="1.0", available="1.1", result="taken back",
            reason="saw nothing",
        )  # fmt: skip
        wait_for(lambda: not subscriber.of("update")[-1]["in_progress"])
        assert subscriber.of("update")[-1]["release_summary"] == "taken back: saw nothing"


def test_an_update_can_be_asked_for(tmp_path: Path, broker: DemoBroker) -> None:
    with closing(Subscriber(broker.port)) as subscriber, unit(tmp_path, broker, origin="https://x"):
        wait_for(lambda: subscriber.of("info"))
        subscriber.publish("appliance/unit/cmd/update", "install")
        wait_for(lambda: subscriber.of("cmd/update/result"))
        assert subscriber.of("cmd/update/result")[-1]["ok"] is True
        assert (tmp_path / REQUEST).exists()


def test_what_is_no_command_is_answered_and_not_done(tmp_path: Path, broker: DemoBroker) -> None:
    with closing(Subscriber(broker.port)) as subscriber, unit(tmp_path, broker, origin="https://x"):
        wait_for(lambda: subscriber.of("info"))
        subscriber.publish("appliance/unit/cmd/reboot", "now")
        subscriber.publish("appliance/unit/cmd/update", "rm -rf /")
        wait_for(lambda: subscriber.of("cmd/update/result"))
        assert subscriber.of("cmd/update/result")[-1]["ok"] is False
        assert not subscriber.of("cmd/reboot/result")  # not even listened to
        assert not (tmp_path / REQUEST).exists()


def test_a_retained_command_is_not_obeyed(tmp_path: Path, broker: DemoBroker) -> None:
    with closing(Subscriber(broker.port)) as subscriber:
        subscriber.publish("appliance/unit/cmd/update", "install", retain=True)
        with unit(tmp_path, broker, origin="https://x"):
            wait_for(lambda: subscriber.of("info"))
            subscriber.publish("appliance/unit/cmd/update", "x")  # comes after it
            wait_for(lambda: subscriber.of("cmd/update/result"))
            assert [one["ok"] for one in subscriber.of("cmd/update/result")] == [False]
            assert not (tmp_path / REQUEST).exists()


def test_without_an_origin_no_update_is_listened_to(tmp_path: Path, broker: DemoBroker) -> None:
    with closing(Subscriber(broker.port)) as subscriber, unit(tmp_path, broker, origin=""):
        wait_for(lambda: subscriber.of("info"))
        subscriber.publish("appliance/unit/cmd/update", "install")
        seen = len(subscriber.of("front/detections"))
        wait_for(lambda: len(subscriber.of("front/detections")) > seen + 5)
        assert not subscriber.of("cmd/update/result")


def test_the_progress_is_told(tmp_path: Path, broker: DemoBroker) -> None:
    with unit(tmp_path, broker, origin=""):
        wait_for(lambda: int(read_pairs(tmp_path / PROGRESS).get("processed", 0)) > 3)
    assert {"pid", "processed", "software"} == read_pairs(tmp_path / PROGRESS).keys()


def test_no_state_is_idle(tmp_path: Path) -> None:
    assert read_state(tmp_path) == UpdateState()


@given(content=st.binary(max_size=200))
def test_whatever_the_state_holds_it_is_read(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / STATE).parent.mkdir(parents=True)
    (root / STATE).write_bytes(content)
    assert read_state(root).phase in {"idle", "staging", "installing", "proving", "going-back"}


def test_the_verb_prints_the_state(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["update", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["phase"] == "idle"


def test_without_the_package_the_verb_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["update", "--check"]) == 69
    assert "Debian package" in capsys.readouterr().err


def test_nothing_scheduled_without_an_origin() -> None:
    assert main(["update", "--scheduled"]) == 0


def discovered(subscriber: Subscriber) -> dict[str, Any]:
    wait_for(lambda: subscriber.raw("homeassistant/device/unit/config"))
    found: dict[str, Any] = json.loads(subscriber.raw("homeassistant/device/unit/config")[-1])
    return found


def test_home_assistant_is_told_of_topics_that_exist(tmp_path: Path, broker: DemoBroker) -> None:
    with closing(Subscriber(broker.port)) as subscriber, unit(tmp_path, broker, origin="https://x"):
        found = discovered(subscriber)
        assert found["device"]["identifiers"] == ["unit"] and found["origin"]["name"]
        topics = {
            value
            for part in found["components"].values()
            for key, value in part.items()
            if key.endswith("_topic") and key != "command_topic"
        } | {one["topic"] for one in found["availability"]}
        for topic in topics - {"appliance/unit/alerts"}:  # nothing happens here
            wait_for(partial(subscriber.raw, topic), 20, topic)
        ids = [part["unique_id"] for part in found["components"].values()]
        assert len(set(ids)) == len(ids)
        update = found["components"]["update"]
        assert update["command_topic"] == "appliance/unit/cmd/update"
        # Home Assistant refuses a message with other keys than these.
        named = set(re.findall(r"'(\w+)': value_json\.(\w+)", update["value_template"]))
        assert {key for key, _ in named} == {
            "installed_version", "latest_version", "title", "release_summary", "in_progress"
        }  # fmt: skip
        assert all(key == field for key, field in named)
        assert {field for _, field in named} <= subscriber.of("update")[-1].keys()
