"""Does the harness still work with this Home Assistant? ``python -m tests.homeassistant.smoke``.

Publishes the device of fifteen entities that Home Assistant is known to take, and looks at what
it makes of that. No test of the product, so pytest does not collect it.
"""

# ruff: noqa: T201 - a script that reports what it shows

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.demo_broker import start_broker
from tests.helpers import Subscriber, wait_for
from tests.homeassistant.client import HomeAssistant, RefusedError, State

P = "appliance/front"
TEMPERATURE = {"dev_cla": "temperature", "unit_of_meas": "°C", "stat_cla": "measurement"}
DURATION = {"dev_cla": "duration", "unit_of_meas": "ms", "stat_cla": "measurement"}
RATE = {"dev_cla": "frequency", "unit_of_meas": "Hz", "stat_cla": "measurement"}
ON_OFF = "{{{{ 'ON' if value_json.{} else 'OFF' }}}}"


def component(platform: str, name: str, **more: object) -> dict[str, object]:
    unique = "appliance_1_" + name.lower().replace(" ", "_")
    return {"p": platform, "uniq_id": unique, "name": name, **more}


def diagnostic(platform: str, name: str, **more: object) -> dict[str, object]:
    return component(platform, name, ent_cat="diagnostic", **more)


def setting(platform: str, name: str, command: str, **more: object) -> dict[str, object]:
    return component(platform, name, ent_cat="config", cmd_t=f"{P}/cmd/{command}", **more)


def of_state(key: str) -> str:
    return f"{{{{ value_json.{key} }}}}"


MODES = ["full", "degraded", "paused"]
PEOPLE = "{{ 'ON' if value|int > 0 else 'OFF' }}"
DISCOVERY = {
    "dev": {
        "ids": ["appliance_10000000abcd1234"], "name": "Front camera", "mf": "Example",
        "mdl": "Pi 5 + IMX708", "mdl_id": "cam-1", "sw": "1.0.0", "hw": "Raspberry Pi 5 Rev 1.0",
        "sn": "10000000abcd1234", "cu": "http://appliance.local:8080/", "sa": "Garden",
    },
    "o": {"name": "appliance", "sw": "1.0.0", "url": "https://example.org/appliance"},
    "avty": [{"t": f"{P}/status"}],
    "avty_mode": "all",
    "stat_t": f"{P}/state",
    "qos": 1,
    "e": "utf-8",
    "cmps": {
        "soc_temp": diagnostic(
            "sensor", "SoC temperature", **TEMPERATURE, sug_dsp_prc=1, exp_aft=120,
            val_tpl=of_state("soc_celsius"),
        ),
        "inference": diagnostic(
            "sensor", "Inference time", **DURATION, sug_dsp_prc=1, val_tpl=of_state("inference_ms")
        ),
        "fps": component("sensor", "Frame rate", **RATE, val_tpl=of_state("fps")),
        "mode": component(
            "sensor", "Operating mode", dev_cla="enum", ops=MODES, val_tpl=of_state("mode")
        ),
        "boot": diagnostic(
            "sensor", "Last boot", dev_cla="timestamp", val_tpl=of_state("boot_time")
        ),
        "throttled": diagnostic(
            "binary_sensor", "Throttled", dev_cla="problem", val_tpl=ON_OFF.format("throttled")
        ),
        "person": component(
            "binary_sensor", "Person", dev_cla="occupancy", stat_t=f"{P}/objects/person",
            val_tpl=PEOPLE,
        ),
        "last": component("image", "Last detection", img_t=f"{P}/image", cont_type="image/jpeg"),
        "cam": component("camera", "Preview", t=f"{P}/preview"),
        "update": setting("update", "Software", "update", stat_t=f"{P}/update", pl_inst="install"),
        "restart": setting("button", "Restart", "restart", dev_cla="restart"),
        "detect": setting("switch", "Detection", "detect", val_tpl=ON_OFF.format("detect")),
        "threshold": setting(
            "number", "Score threshold", "threshold", min=0, max=1, step=0.05, mode="slider",
            val_tpl=of_state("threshold"),
        ),
        "model": setting(
            "select", "Model", "model", ops=["fast", "accurate"], val_tpl=of_state("model")
        ),
        "event": component(
            "event", "Sighting", stat_t=f"{P}/ha_event", evt_typ=["person", "car"],
            dev_cla="motion",
        ),
    },
}  # fmt: skip
STATE = {
    "soc_celsius": 51.2, "inference_ms": 12.5, "fps": 29.9, "mode": "full", "throttled": False,
    "boot_time": "2026-11-21T08:00:00+00:00", "detect": False, "threshold": 0.5, "model": "fast",
}  # fmt: skip
UPDATE = {"installed_version": "1.0.0", "latest_version": "1.1.0"}
# All but those whose state is the time at which something arrived, a token or nothing.
EXPECTED = {
    "sensor.front_camera_soc_temperature": "51.2",
    "sensor.front_camera_inference_time": "12.5",
    "sensor.front_camera_frame_rate": "29.9",
    "sensor.front_camera_operating_mode": "full",
    "sensor.front_camera_last_boot": "2026-11-21T08:00:00+00:00",
    "binary_sensor.front_camera_throttled": "off",
    "binary_sensor.front_camera_person": "on",
    "camera.front_camera_preview": "idle",
    "update.front_camera_software": "on",
    "button.front_camera_restart": "unknown",
    "switch.front_camera_detection": "off",
    "number.front_camera_score_threshold": "0.5",
    "select.front_camera_model": "fast",
}
EVENT, IMAGE = "event.front_camera_sighting", "image.front_camera_last_detection"


def publish(outside: Subscriber) -> None:
    outside.publish("homeassistant/device/front/config", json.dumps(DISCOVERY), retain=True)
    outside.publish(f"{P}/status", "online", retain=True)
    outside.publish(f"{P}/state", json.dumps(STATE), retain=True)
    outside.publish(f"{P}/update", json.dumps(UPDATE), retain=True)
    outside.publish(f"{P}/objects/person", "2", retain=True)
    outside.publish(f"{P}/image", "no real picture", retain=True)


def shown(states: dict[str, State]) -> dict[str, str]:
    return {name: states[name]["state"] for name in EXPECTED if name in states}


def seen(home: HomeAssistant) -> None:
    """Wait until all entities show what was published."""
    wait_for(lambda: shown(home.states()) == EXPECTED, 15, "the states that were published")
    wait_for(lambda: home.states()[IMAGE]["state"] != "unknown", 15, "the picture")
    assert len(home.states()) == len(home.entities()) == len(EXPECTED) + 2


def check_registries(home: HomeAssistant) -> None:
    (device,) = home.devices()
    assert device["identifiers"] == [["mqtt", "appliance_10000000abcd1234"]], device
    assert (device["serial_number"], device["sw_version"]) == ("10000000abcd1234", "1.0.0")
    assert {entity["device_id"] for entity in home.entities()} == {device["id"]}
    attributes = home.states()["sensor.front_camera_soc_temperature"]["attributes"]
    assert attributes["unit_of_measurement"] == "°C", attributes


def check_commands(home: HomeAssistant, outside: Subscriber) -> None:
    home.call("switch", "turn_on", entity_id="switch.front_camera_detection")
    wait_for(lambda: outside.raw(f"{P}/cmd/detect") == [b"ON"], 10, "the command")
    home.call("number", "set_value", entity_id="number.front_camera_score_threshold", value=0.75)
    wait_for(lambda: outside.raw(f"{P}/cmd/threshold") == [b"0.75"], 10, "the number")
    try:
        home.call("number", "set_value", entity_id="number.front_camera_score_threshold", value=7)
    except RefusedError as error:
        print(f"refused, as it should be: {error}")
    else:
        raise AssertionError("a number out of range was taken")


def check_events(home: HomeAssistant, outside: Subscriber) -> None:
    assert home.states()[EVENT]["state"] == "unknown"
    outside.publish(f"{P}/ha_event", json.dumps({"event_type": "person", "score": 0.9}))
    wait_for(lambda: home.states()[EVENT]["attributes"].get("event_type") == "person", 10)
    assert home.states()[EVENT]["attributes"]["score"] == 0.9


def timed(what: str, work: Any) -> None:
    began = time.monotonic()
    work()
    print(f"{what}: {time.monotonic() - began:.1f} s")


def main() -> int:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeassistant-")))
        broker = start_broker("mosquitto")
        stack.callback(broker.stop)
        try:
            home = HomeAssistant(broker.port, folder)
        except pytest.skip.Exception as reason:
            print(reason, file=sys.stderr)
            return 75
        outside = Subscriber(broker.port)
        stack.callback(outside.close)
        stack.callback(home.kill)
        timed("start", home.start)
        publish(outside)
        timed("all entities, with their states", lambda: seen(home))
        check_registries(home)
        check_commands(home, outside)
        check_events(home, outside)
        timed("birth", lambda: wait_for(lambda: b"online" in outside.raw("homeassistant/status")))
        before = home.entities()
        outside.publish(f"{P}/status", "offline", retain=True)
        wait_for(lambda: set(shown(home.states()).values()) == {"unavailable"}, 10, "unavailable")
        outside.publish(f"{P}/status", "online", retain=True)
        assert home.warnings() == [], home.warnings()
        timed("stop", home.stop)
        assert outside.raw("homeassistant/status")[-1] == b"offline"
        timed("start again", home.start)
        assert home.entities() == before
        timed("the same entities again", lambda: seen(home))
        assert home.warnings() == [], home.warnings()
    print("the harness works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
