"""Retained topics: what a configuration leaves behind is emptied, once, and after its entities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.board.identity import Board
from appliance.config import CameraSettings, Settings
from appliance.config.scene import ZoneSettings
from appliance.config.settings import HomeAssistantSettings
from appliance.daemon.ownership import ENTITIES_FIRST_SECONDS, Ownership, topics_of
from appliance.reports.homeassistant import discoveries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.reports.homeassistant import Discovery

ZONE = ZoneSettings(name="porch", polygon=((0, 0), (1, 0), (1, 1)))


class Book:
    """A reporter that notes what it is asked for."""

    def __init__(self) -> None:
        self.cleared: list[str] = []
        self.answers: list[Callable[[], None]] = []
        self.gone: dict[str, dict[str, str]] = {}

    def clear(self, topic: str, done: Callable[[], None]) -> None:
        self.cleared.append(topic)
        self.answers.append(done)

    def discovery(self, device: Discovery, *, gone: dict[str, str]) -> None:
        if gone:
            self.gone[device.topic] = gone


def publish(owner: Ownership, book: Any, settings: Settings, device: str = "unit") -> None:
    devices: tuple[Discovery, ...] = ()
    if settings.homeassistant.discovery:
        devices = discoveries(
            settings, device, board=Board("Pi"), software="1", labels=("person", "car")
        )
    owner.publish(book, topics_of(settings, device, devices), devices)


def settings(*names: str, **more: Any) -> Settings:
    return Settings(camera=tuple(CameraSettings(name=name) for name in names), **more)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "retained.json"


def test_a_renamed_camera_goes_entities_first_and_is_remembered_until_then(path: Path) -> None:
    now = [0.0]
    owner, book = Ownership(path, lambda: now[0]), Book()
    publish(owner, book, settings("door"))
    assert book.cleared == []
    publish(owner, book, settings("gate"))
    publish(owner, book, settings("gate"))  # said again before the broker answered
    assert book.cleared == ["homeassistant/device/unit_door/config"]
    owner.tick(book)  # type: ignore[arg-type]
    assert len(book.cleared) == 1
    now[0] = ENTITIES_FIRST_SECONDS
    owner.tick(book)  # type: ignore[arg-type]
    assert set(book.cleared[1:]) == {
        "appliance/unit/door/metrics", "appliance/unit/door/objects"
    }  # fmt: skip
    book.answers[0]()
    later, again = Ownership(path, lambda: now[0]), Book()  # the process died before the rest
    publish(later, again, settings("gate"))
    now[0] *= 3
    later.tick(again)  # type: ignore[arg-type]
    assert set(again.cleared) == set(book.cleared[1:])
    for done in again.answers:
        done()
    last = Book()
    publish(Ownership(path), last, settings("gate"))
    assert last.cleared == []


def test_a_zone_that_is_gone_is_told_with_its_platforms(path: Path) -> None:
    owner, book = Ownership(path), Book()
    publish(owner, book, Settings(camera=(CameraSettings(name="door", zone=(ZONE,)),)))
    publish(owner, book, settings("door"))
    (gone,) = book.gone.values()
    assert gone["porch_person_occupancy"] == "binary_sensor"
    assert gone["porch_person_count"] == "sensor"
    publish(owner, book, settings("door"))
    assert len(book.gone) == 1


def test_without_discovery_every_device_goes(path: Path) -> None:
    owner, book = Ownership(path), Book()
    publish(owner, book, settings("a", "b"))
    publish(owner, book, settings("a", "b", homeassistant=HomeAssistantSettings(discovery=False)))
    assert book.cleared == [
        "homeassistant/device/unit/config",
        "homeassistant/device/unit_a/config",
        "homeassistant/device/unit_b/config",
    ]


def test_a_renamed_device_leaves_nothing(path: Path) -> None:
    now = [0.0]
    owner, book = Ownership(path, lambda: now[0]), Book()
    publish(owner, book, settings("a"))
    publish(owner, book, settings("a"), device="other")
    now[0] = ENTITIES_FIRST_SECONDS
    owner.tick(book)  # type: ignore[arg-type]
    assert {topic for topic in book.cleared if topic.startswith("appliance/unit/")} == {
        f"appliance/unit/{name}"
        for name in ("status", "info", "health", "update", "state", "a/metrics", "a/objects")
    }


def test_a_file_that_cannot_be_read_is_nothing_known(path: Path) -> None:
    path.write_text("{")
    book = Book()
    publish(Ownership(path), book, settings("a"))
    assert book.cleared == []


def test_ids_of_entities_are_their_own() -> None:
    camera = CameraSettings(name="door", zone=(ZONE,), labels=("person", "traffic light"))
    found = discoveries(
        Settings(camera=(camera, CameraSettings(name="back"))),
        "unit", board=Board("Pi", "Raspberry Pi", "1000"), software="1", labels=("person",),
    )  # fmt: skip
    ids = [entity["unique_id"] for one in found for entity in one.payload["components"].values()]
    assert len(set(ids)) == len(ids)
    assert found[0].payload["device"]["serial_number"] == "1000"
    assert {one.payload["device"].get("via_device") for one in found} == {None, "unit"}


def test_a_camera_that_comes_back_and_goes_again_is_cleared_again(path: Path) -> None:
    now = [0.0]
    owner, book = Ownership(path, lambda: now[0]), Book()
    publish(owner, book, settings("door"))
    publish(owner, book, settings("gate"))
    first = len(book.answers)
    publish(owner, book, settings("door", "gate"))  # before the broker answered
    for done in book.answers[:first]:
        done()
    publish(owner, book, settings("gate"))
    now[0] = 10 * ENTITIES_FIRST_SECONDS
    owner.tick(book)  # type: ignore[arg-type]
    assert set(book.cleared[first:]) == {
        "homeassistant/device/unit_door/config",
        "appliance/unit/door/metrics",
        "appliance/unit/door/objects",
    }
