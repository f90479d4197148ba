"""A real Home Assistant: every entity with the right state, and nothing left behind."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from appliance.cli.demo_broker import start_broker
from tests.helpers import Subscriber, wait_for
from tests.homeassistant.client import HomeAssistant
from tests.test_daemon import Systemd, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.cli.demo_broker import DemoBroker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SECONDS = 90.0
"""Home Assistant asks for all again some seconds after it is born, and busy machines are slow."""

SCENE = """
labels = ["person", "traffic light"]
[[camera.zone]]
name = "left-half"
polygon = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
[[camera.line]]
name = "middle"
start = [0.5, 0]
end = [0.5, 1]
[camera.objects]
occupancy_seconds = 1
"""


@pytest.fixture
def unit(tmp_path: Path, broker: DemoBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unit]:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    one = Unit(tmp_path, broker.port, Systemd(tmp_path), device="unit-ha")
    yield one
    one.close()


@pytest.fixture
def home(tmp_path: Path, broker: DemoBroker) -> Iterator[HomeAssistant]:
    with HomeAssistant(broker.port, tmp_path / "home") as one:
        yield one


class House:
    """What Home Assistant knows of the unit, by the end of its unique ids."""

    def __init__(self, home: HomeAssistant) -> None:
        self.home = home

    def entities(self) -> dict[str, dict[str, Any]]:
        return {one["unique_id"]: one for one in self.home.entities()}

    def state(self, key: str) -> Any:
        entity = self.entities().get(f"unit-ha_{key}")
        if entity is None:
            return None
        found = self.home.states().get(entity["entity_id"])
        return found["state"] if found else None

    def number(self, key: str) -> float:
        """Return the state as a number; -1 where it is none yet."""
        try:
            return float(self.state(key))
        except (TypeError, ValueError):
            return -1.0

    def attributes(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self.home.states()[self.id_of(key)]["attributes"]
        return found

    def id_of(self, key: str) -> str:
        return str(self.entities()[f"unit-ha_{key}"]["entity_id"])

    def becomes(self, key: str, *states: str, seconds: float = SECONDS) -> None:
        wait_for(lambda: self.state(key) in states, seconds, f"{key} is {states}")


def test_who_is_there_what_crossed_and_what_can_be_switched(
    unit: Unit, broker: DemoBroker, home: HomeAssistant
) -> None:
    house = House(home)
    with closing(Subscriber(broker.port)) as subscriber:
        unit.configure(more=SCENE)
        unit.start()
        house.becomes("front_person_occupancy", "on")
        house.becomes("front_person_count", "1")
        house.becomes("front_traffic_light_occupancy", "off")
        house.becomes("front_left_half_person_occupancy", "on")
        house.becomes("front_left_half_person_occupancy", "off")
        until(lambda: house.number("front_middle_in_person") >= 1)
        house.becomes("front_connected", "on")
        until(lambda: house.number("front_fps") > 1)
        until(lambda: "T" in str(house.state("front_last_seen")))
        until(lambda: house.attributes("front_object").get("label") == "person")
        assert house.attributes("front_object")["event_type"] in {"new", "end"}
        assert house.attributes("front_person_occupancy")["device_class"] == "occupancy"
        assert house.attributes("front_person_count")["state_class"] == "measurement"
        assert house.attributes("front_middle_in_person")["state_class"] == "total_increasing"
        assert house.attributes("front_fps")["unit_of_measurement"] == "Hz"
        devices = {one["name"]: one for one in home.devices()}
        child, parent = devices["unit-ha Front"], devices["unit-ha"]
        assert child["via_device_id"] == parent["id"]
        assert parent["sw_version"] and parent["model"]

        house.becomes("front_threshold", "0.5")
        home.call("number", "set_value", entity_id=house.id_of("front_threshold"), value=0.99)
        house.becomes("front_threshold", "0.99")
        house.becomes("front_person_occupancy", "off")  # nothing is so sure
        home.call("number", "set_value", entity_id=house.id_of("front_threshold"), value=0.5)
        house.becomes("front_person_occupancy", "on")
        home.call("switch", "turn_off", entity_id=house.id_of("detection"))
        house.becomes("detection", "off")
        house.becomes("front_person_occupancy", "unavailable")
        seen = len(subscriber.of("front/detections"))
        home.call("switch", "turn_on", entity_id=house.id_of("detection"))
        house.becomes("front_person_occupancy", "on")
        assert len(subscriber.of("front/detections")) > seen
        home.call("switch", "turn_off", entity_id=house.id_of("front_enabled"))
        house.becomes("front_enabled", "off")
        home.call("switch", "turn_on", entity_id=house.id_of("front_enabled"))
        house.becomes("front_enabled", "on")
        home.call("button", "press", entity_id=house.id_of("restart"))
        assert unit.ended()[0] == 0
        house.becomes("front_person_occupancy", "unavailable")
        unit.start()
        house.becomes("front_person_occupancy", "on")
        assert home.warnings() == []


def test_occupancy_does_not_flap(unit: Unit, broker: DemoBroker, home: HomeAssistant) -> None:
    house = House(home)
    unit.configure(more='labels = ["person"]')
    with closing(Subscriber(broker.port)) as subscriber:
        unit.start()
        house.becomes("front_person_occupancy", "on")
        changed = home.states()[house.id_of("front_person_occupancy")]["last_changed"]
        before = len(subscriber.of("front/metrics"))
        until(lambda: len(subscriber.of("front/metrics")) > before + 20)  # a second each
        assert house.state("front_person_occupancy") == "on"
        assert home.states()[house.id_of("front_person_occupancy")]["last_changed"] == changed


def until(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    wait_for(condition, seconds)


def kept(broker: DemoBroker) -> set[str]:
    """Return the topics that the broker keeps something on."""
    with closing(Subscriber(broker.port)) as late:
        until(lambda: late.of("info"))  # it is kept, too
        late.publish("end", "")
        until(lambda: late.raw("end"))
        return {one.topic for one in late.messages if one.retain}


def test_what_is_renamed_or_removed_leaves_nothing_behind(
    unit: Unit, broker: DemoBroker, home: HomeAssistant
) -> None:
    house = House(home)
    path = unit.configure(more=SCENE)
    process = unit.start()
    house.becomes("front_left_half_person_occupancy", "on", "off")
    before = house.entities()
    unit.configure(more='labels = ["person"]')  # no zone, no line
    process.send_signal(signal.SIGHUP)
    until(lambda: "unit-ha_front_left_half_person_occupancy" not in house.entities())
    until(lambda: "unit-ha_front_middle_in_person" not in house.entities())
    assert "unit-ha_front_person_occupancy" in house.entities()
    path.write_text(path.read_text().replace('"front"', '"gate"'))
    process.send_signal(signal.SIGHUP)
    house.becomes("gate_person_occupancy", "on")
    until(lambda: not [one for one in house.entities() if "_front_" in one])
    assert [one["name"] for one in home.devices() if "Front" in str(one["name"])] == []
    until(lambda: not [topic for topic in kept(broker) if "front" in topic])
    path.write_text(path.read_text() + "\n[homeassistant]\ndiscovery = false\n")
    process.send_signal(signal.SIGHUP)
    until(lambda: not [one for one in house.entities() if one.startswith("unit-ha")])
    until(lambda: not [one for one in kept(broker) if one.startswith("homeassistant/device")])
    assert len(before) > 10
    # Once a device is gone, Home Assistant empties its topic itself, and hears its own echo.
    echo = "No device components to cleanup"
    assert [one for one in home.warnings() if echo not in one] == []


def test_the_last_picture_is_shown_and_another_can_be_asked_for(
    unit: Unit, broker: DemoBroker, home: HomeAssistant
) -> None:
    house = House(home)
    with closing(Subscriber(broker.port)) as subscriber:
        path = unit.configure(more='labels = ["person"]\n[camera.pictures]\nenabled = true\n')
        process = unit.start()
        until(lambda: "T" in str(house.state("front_image")))
        seen = len([one for one in subscriber.messages if one.topic.endswith("front/snapshot")])
        home.call("button", "press", entity_id=house.id_of("front_snapshot"))
        until(
            lambda: (
                len([m for m in subscriber.messages if m.topic.endswith("front/snapshot")]) > seen
            )
        )
        path.write_text(path.read_text().replace("enabled = true", "enabled = false"))
        process.send_signal(signal.SIGHUP)
        until(lambda: "unit-ha_front_image" not in house.entities())
        until(lambda: not [topic for topic in kept(broker) if topic.endswith("/image")])
        assert home.warnings() == []


@pytest.mark.parametrize("broker_too", [False, True], ids=["home", "home and broker"])
def test_all_is_right_again_after_a_restart(
    unit: Unit,
    broker: DemoBroker,
    home: HomeAssistant,
    record_property: Callable[[str, object], None],
    *,
    broker_too: bool,
) -> None:
    house = House(home)
    unit.configure(more=SCENE)
    unit.start()
    house.becomes("front_person_occupancy", "on")
    known = set(house.entities())
    home.stop()
    with ExitStack() as stack:
        if broker_too:  # what it kept is gone with it
            broker.stop()
            again = start_broker("mosquitto", broker.port)
            stack.callback(again.stop)
        home.start()
        began = time.monotonic()
        house.becomes("front_person_occupancy", "on")
        record_property("seconds", round(time.monotonic() - began, 1))
        assert set(house.entities()) == known
        house.becomes("front_connected", "on")
        assert home.warnings() == []
