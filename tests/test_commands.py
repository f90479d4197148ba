"""Commands over MQTT: a result for each, in force, kept, and never an exception."""

from __future__ import annotations

import json
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import cv2
import jsonschema
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import CameraSettings, Settings
from appliance.config.changes import CameraChange, Changes, overlay
from appliance.daemon.commands import COMMANDS, command_schema, decide
from appliance.reports.messages import json_schema
from tests.helpers import Subscriber, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.cli.demo_broker import DemoBroker
    from tests.test_daemon import Unit

SETTINGS = Settings(camera=(CameraSettings(name="front"), CameraSettings(name="back")))
KEYS = [
    *("camera", "enabled", "threshold", "labels", "id", "paused", "x", "settings", "seconds"),
    *("zone", "name", "polygon", "controls", "gain", "source", "max_area", "thresholds"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
PAYLOADS = st.binary(max_size=60) | JSON.map(lambda tree: json.dumps(tree).encode())


@given(st.sampled_from([*COMMANDS, "reboot", ""]), PAYLOADS)
def test_whatever_comes_is_answered(name: str, payload: bytes) -> None:
    decision = decide(name, payload, Changes(), SETTINGS)
    assert decision.detail
    if decision.ok:
        says_nothing = payload.strip() in {b"", b"PRESS", b"install"}
        value = {} if says_nothing else json.loads(payload)
        jsonschema.validate(value, command_schema(name))
    else:
        assert (decision.changes, decision.act) == (None, "")
    if decision.changes is not None:
        kept = msgspec.json.decode(msgspec.json.encode(decision.changes), type=Changes)
        assert kept == decision.changes
        overlay(SETTINGS, kept)


@pytest.mark.parametrize(
    ("name", "payload", "words"),
    [
        ("threshold", b"0.5", "Expected `object`"),
        ("threshold", b'{"threshold": 2}', "Expected `float` <= 1.0"),
        ("threshold", b'{"treshold": 0.5}', "unknown field `treshold`"),
        ("camera", b'{"camera": "door", "enabled": true}', "there are: front, back"),
        ("camera", b'{"camera": "front"}', "missing required field `enabled`"),
        ("labels", b"[" * 5000, '"labels": ...'),
        ("update", b"rm -rf /", "malformed"),
        ("config/try", b"{}", "missing required field `settings`"),
        ("config/try", b'{"settings": {"treshold": 0.5}}', "did you mean threshold?"),
        ("config/try", b'{"settings": {"max_area": 0}}', "camera[front].min_area: got 0.0"),
        ("config/try", b'{"settings": {"fps": 9}, "seconds": 1}', "`float` >= 5.0"),
        ("config/apply", b'{"settings": {"source": "video:/etc/shadow"}}', "only the files set it"),
        ("config/apply", b'{"settings": {"zone": [{"name": "a"}]}}', "polygon: is missing"),
        ("config/apply", b'{"settings": {"rotation": 180}}', "rotation: only the files set it"),
        ("config/apply", b"", "nothing is tried now"),
        (
            "config/apply",
            b'{"settings": ' + b'{"controls":' * 300 + b"1" + b"}" * 301,
            "unknown key",
        ),
        ("labels", b" " * 20_001, "more than 20000 bytes"),
        ("reboot", b"", "there are: pause, resume"),
    ],
)
def test_what_is_wrong_is_said(name: str, payload: bytes, words: str) -> None:
    decision = decide(name, payload, Changes(), SETTINGS)
    assert not decision.ok
    assert words in decision.detail


def test_a_command_for_no_camera_is_for_all_and_null_is_what_the_files_say() -> None:
    both = decide("threshold", b'{"threshold": 0.7}', Changes(), SETTINGS).changes
    assert both is not None
    assert [one.threshold for one in overlay(SETTINGS, both).camera] == [0.7, 0.7]
    one = decide("threshold", b'{"camera": "back", "threshold": null}', both, SETTINGS).changes
    assert one is not None
    assert [camera.threshold for camera in overlay(SETTINGS, one).camera] == [0.7, None]


SETS = st.dictionaries(
    st.sampled_from(["threshold", "min_area", "controls", "thresholds"]),
    st.none()
    | st.floats(0, 0.9)
    | st.dictionaries(st.sampled_from(["dog", "gain"]), st.none() | st.just(0.5), max_size=2),
    max_size=3,
)


@given(st.lists(SETS, max_size=4))
def test_patches_say_what_a_merge_patch_says(patches: list[dict[str, Any]]) -> None:
    change = CameraChange()
    expected: dict[str, Any] = {}
    for patch in patches:
        change = change.patched(patch)
        for key, value in patch.items():
            if isinstance(value, dict):
                old = expected.get(key)
                inner = {**(old if isinstance(old, dict) else {}), **value}
                expected[key] = {k: v for k, v in inner.items() if v is not None} or None
            else:
                expected[key] = value
    assert change.settings == {key: value for key, value in expected.items() if value is not None}


class Owner:
    """Sends commands and waits for their results."""

    def __init__(self, unit: Unit, broker: DemoBroker) -> None:
        self.subscriber = Subscriber(broker.port)
        self._base = f"appliance/{unit.device}"

    def say(self, command: str, **fields: Any) -> dict[str, Any]:
        before = len(self.subscriber.of(f"cmd/{command}/result"))
        payload = json.dumps({**fields, "id": f"n{before}"})
        self.subscriber.publish(f"{self._base}/cmd/{command}", payload)
        wait_for(lambda: len(self.subscriber.of(f"cmd/{command}/result")) > before)
        result: dict[str, Any] = self.subscriber.of(f"cmd/{command}/result")[-1]
        jsonschema.validate(result, json_schema("result"))
        assert result["id"] == f"n{before}"
        return result

    def state(self) -> dict[str, Any]:
        wait_for(lambda: self.subscriber.of("state"))
        state: dict[str, Any] = self.subscriber.of("state")[-1]
        jsonschema.validate(state, json_schema("state"))
        return state

    def count(self, suffix: str) -> int:
        return len(self.subscriber.of(suffix))


def test_paused_means_that_nobody_looks_until_somebody_says_so(
    unit: Unit, broker: DemoBroker
) -> None:
    owner = Owner(unit, broker)
    unit.configure()
    unit.start()
    wait_for(lambda: owner.count("front/detections") > 3)
    assert owner.say("pause")["ok"]
    wait_for(lambda: owner.subscriber.of("health")[-1]["state"] == "paused")
    assert owner.state()["paused"]
    wait_for(lambda: not owner.subscriber.of("front/objects")[-1]["watched"])
    seen, healths = owner.count("front/detections"), owner.count("health")
    wait_for(lambda: owner.count("health") > healths + 2)  # a second each
    assert owner.count("front/detections") == seen
    assert owner.subscriber.of("health")[-1]["reasons"] == []
    unit.stop()
    unit.start()
    wait_for(lambda: owner.subscriber.of("status")[-1] == "online")
    healths = owner.count("health")
    wait_for(lambda: owner.count("health") > healths + 2)
    assert owner.subscriber.of("health")[-1]["state"] == "paused"
    assert owner.count("front/detections") == seen
    assert owner.say("resume")["ok"]
    wait_for(lambda: owner.count("front/detections") > seen + 3)
    wait_for(lambda: owner.subscriber.of("health")[-1]["state"] == "ok")
    frames = owner.subscriber.of("front/metrics")[-1]["frames"]
    assert frames["captured"] == (
        frames["processed"] + sum(frames["dropped"].values()) + frames["in_flight"]
    )
    unit.stop()
    owner.subscriber.close()


def test_threshold_and_labels_take_effect_and_stay(unit: Unit, broker: DemoBroker) -> None:
    owner = Owner(unit, broker)
    unit.configure()
    process = unit.start()
    wait_for(lambda: any(one["detections"] for one in owner.subscriber.of("front/detections")))
    assert owner.say("labels", camera="front", labels=["zebra"])["ok"]
    seen = owner.count("front/detections")
    wait_for(lambda: owner.count("front/detections") > seen + 5)
    assert owner.subscriber.of("front/detections")[-1]["detections"] == []
    refused = owner.say("labels", camera="front", labels=["zebar"])
    assert not refused["ok"]
    assert "zebra" in refused["detail"]
    assert owner.state()["cameras"]["front"]["labels"] == ["zebra"]
    assert owner.say("threshold", threshold=0.9)["ok"]
    process.send_signal(signal.SIGHUP)  # a reload of the files keeps what commands changed
    state = owner.state()["cameras"]["front"]
    assert (state["threshold"], state["labels"]) == (0.9, ["zebra"])
    unit.stop()
    seen = owner.count("state")
    unit.start()
    wait_for(lambda: owner.count("state") > seen)
    assert owner.state()["cameras"]["front"] == state
    assert owner.say("labels", labels=None)["ok"]
    assert owner.state()["cameras"]["front"]["labels"] == []
    unit.stop()
    owner.subscriber.close()


ZONE = {"name": "door", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}


def test_what_is_tried_goes_by_itself_and_what_is_applied_stays(
    unit: Unit, broker: DemoBroker
) -> None:
    owner = Owner(unit, broker)
    unit.configure()
    unit.start()
    wait_for(lambda: owner.count("front/detections") > 3)
    tried = owner.say("config/try", camera="front", settings={"zone": [ZONE]}, seconds=5)
    assert (tried["ok"], tried["detail"]) == (True, "in force for 5 s")
    assert owner.state()["tried"]
    assert owner.state()["cameras"]["front"]["settings"] == {"zone": [ZONE]}
    wait_for(lambda: "door" in owner.subscriber.of("front/objects")[-1]["zones"])
    assert owner.say("threshold", threshold=0.42)["ok"]
    wait_for(lambda: owner.count("cmd/config/try/result") == 2)
    back = owner.subscriber.of("cmd/config/try/result")[-1]
    assert (back["ok"], back["id"]) == (False, tried["id"])
    assert back["detail"] == "taken back: the time to try is over"
    assert not owner.state()["tried"]
    assert owner.state()["cameras"]["front"]["settings"] == {"threshold": 0.42}
    assert owner.subscriber.of("health")[-1]["reasons"] == []
    assert owner.say("config/try", camera="front", settings={"zone": [ZONE]})["ok"]
    assert owner.say("config/apply")["ok"]
    assert not owner.state()["tried"]
    unit.stop()
    seen = owner.count("state")
    unit.start()
    wait_for(lambda: owner.count("state") > seen)
    assert owner.state()["cameras"]["front"]["settings"] == {"threshold": 0.42, "zone": [ZONE]}
    owner.say("config/apply", settings={"zone": None, "threshold": None})
    assert owner.state()["cameras"]["front"]["settings"] == {}
    unit.stop()
    owner.subscriber.close()


def test_what_is_only_tried_does_not_outlive_the_process(unit: Unit, broker: DemoBroker) -> None:
    owner = Owner(unit, broker)
    unit.configure()
    for end in (signal.SIGKILL, signal.SIGTERM):
        process = unit.start()
        seen = owner.count("front/detections")
        wait_for(lambda seen=seen: owner.count("front/detections") > seen + 3)  # type: ignore[misc]
        assert owner.say("config/try", camera="front", settings={"zone": [ZONE]})["ok"]
        wait_for(lambda: owner.state()["cameras"]["front"]["settings"] == {"zone": [ZONE]})
        process.send_signal(end)
        unit.ended()
    states = owner.count("state")
    unit.start()
    wait_for(lambda: owner.count("state") > states)
    assert owner.state()["cameras"]["front"]["settings"] == {}
    unit.stop()
    owner.subscriber.close()


class Door(BaseHTTPRequestHandler):
    """A network camera that can refuse whoever opens it anew."""

    def do_GET(self) -> None:
        server: Any = self.server
        self.send_response(503 if server.refuses.is_set() else 200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        between, number = threading.Event(), 0
        try:
            while not server.refuses.is_set() and not between.wait(0.05):
                number += 1
                picture = cv2.imencode(".jpg", np.full((240, 320, 3), number % 256, np.uint8))[1]
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}"
                self.wfile.write(head.encode() + b"\r\n\r\n" + picture.tobytes() + b"\r\n")
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def door() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    server.refuses = threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.refuses.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_settings_that_stop_the_frames_are_taken_back(
    unit: Unit, broker: DemoBroker, door: Any
) -> None:
    owner = Owner(unit, broker)
    unit.configure(source=f"http://127.0.0.1:{door.server_port}/")
    unit.start()
    wait_for(lambda: owner.count("front/detections") > 3)
    door.refuses.set()
    began = time.monotonic()
    assert owner.say("config/apply", camera="front", settings={"fps": 10})["ok"]
    wait_for(lambda: owner.count("cmd/config/apply/result") == 2, 50)
    assert 30 <= time.monotonic() - began < 40
    door.refuses.clear()
    back = owner.subscriber.of("cmd/config/apply/result")[-1]
    assert back["detail"] == "taken back: camera front had no result for 30 s"
    seen = owner.count("front/detections")
    wait_for(lambda: owner.count("front/detections") > seen + 5)
    told = ["settings taken back: camera front had no result for 30 s"]
    wait_for(lambda: owner.subscriber.of("health")[-1]["reasons"] == told)
    unit.stop()
    seen = owner.count("state")
    unit.start()
    wait_for(lambda: owner.count("state") > seen)
    assert owner.state()["cameras"]["front"]["settings"] == {}
    unit.stop()
    owner.subscriber.close()


def test_restart_ends_the_process_where_somebody_starts_it_again(
    unit: Unit, broker: DemoBroker
) -> None:
    owner = Owner(unit, broker)
    unit.configure()
    unit.start()
    wait_for(lambda: owner.count("front/detections"))
    assert owner.say("restart")["ok"]
    code, _ = unit.ended()
    assert code == 0
    owner.subscriber.close()


def test_who_does_not_want_commands_hears_none(unit: Unit, broker: DemoBroker) -> None:
    owner = Owner(unit, broker)
    path = unit.configure()
    path.write_text(path.read_text().replace("[mqtt]", "[mqtt]\ncommands = false"))
    unit.start()
    wait_for(lambda: owner.count("front/detections"))
    owner.subscriber.publish(f"appliance/{unit.device}/cmd/pause", "")
    seen = owner.count("front/detections")
    wait_for(lambda: owner.count("front/detections") > seen + 10)
    assert not owner.count("cmd/pause/result")
    unit.stop()
    owner.subscriber.close()


def test_what_does_not_fit_any_more_does_not_keep_it_from_starting(
    unit: Unit, broker: DemoBroker, tmp_path: Path
) -> None:
    owner = Owner(unit, broker)
    kept = tmp_path / "state" / f"changes-{unit.device}.json"
    kept.parent.mkdir()
    kept.write_text('{"cameras": {"front": {"settings": {"labels": ["hovercraft"]}}}}')
    unit.configure()
    unit.start()
    wait_for(lambda: owner.count("front/detections") > 3)
    wait_for(lambda: owner.subscriber.of("health")[-1]["reasons"])
    (reason,) = owner.subscriber.of("health")[-1]["reasons"]
    assert "what commands changed is not in force" in reason
    assert owner.state()["cameras"]["front"]["labels"] == []
    unit.stop()
    owner.subscriber.close()


def test_nobody_can_end_the_unit_by_what_he_publishes_as_its_info(
    unit: Unit, broker: DemoBroker
) -> None:
    owner = Owner(unit, broker)
    unit.configure()
    unit.start()
    wait_for(lambda: owner.subscriber.of("info"))
    for payload in ('{"x":' + "[" * 2000, "\xff", "[]", '{"boot_id": 7}', ""):
        owner.subscriber.publish(f"appliance/{unit.device}/info", payload)
    seen = owner.count("front/detections")
    wait_for(lambda: owner.count("front/detections") > seen + 20)
    assert unit.stop()[0] == 0
    owner.subscriber.close()
