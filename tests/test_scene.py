"""From what frames show to events, counts and totals, against what really happened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import CameraSettings
from appliance.config.scene import IgnoreSettings, LineSettings, ObjectSettings, ZoneSettings
from appliance.config.settings import ModelSettings
from appliance.models import Labels
from appliance.objects.admission import Admission
from appliance.objects.scene import UNWATCHED_SECONDS, Scene
from appliance.objects.tally import Tally
from appliance.objects.watch import ObjectWatch
from tests.moving import Eyes, Walker, observation, seen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.values import Detections
    from appliance.values.happened import Happened, ObjectEvent, ObjectState, Totals

NAMES = {1: "person", 3: "car", 17: "cat", 18: "dog"}
LABELS = Labels(tuple(NAMES.get(at, "") for at in range(19)))
DOOR = ZoneSettings(name="door", polygon=((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)))
LINE = LineSettings(name="gate", start=(0.5, 0.0), end=(0.5, 1.0))
SURE = Eyes(0, noise=0.0, miss=0.0)


@dataclass
class Camera:
    """A camera's scene, and all that it told."""

    settings: CameraSettings = field(default_factory=CameraSettings)
    tally: Tally = field(default_factory=Tally)
    labels: tuple[str, ...] = ("person",)
    told: list[tuple[float, ObjectEvent]] = field(default_factory=list)
    states: list[tuple[float, ObjectState]] = field(default_factory=list)
    changes: int = 0

    def __post_init__(self) -> None:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        scene = Scene(self.settings, self.labels, NAMES.__getitem__, self.tally, lambda: now)
        self.watch = ObjectWatch(Admission(self.settings, LABELS, ModelSettings()), scene)

    def look(self, found: Detections, at: float) -> Happened:
        happened = self.watch.apply(observation(found, at)).happened
        self._note(happened, at)
        return happened

    def tick(self, at: float) -> None:
        happened = self.watch.tick(round(at * 1e9))
        assert happened is not None
        self._note(happened, at)

    def follow(self, walkers: tuple[Walker, ...], eyes: Eyes, times: Iterable[float]) -> None:
        for at in times:
            self.look(eyes.look(walkers, at), at)

    def _note(self, happened: Happened, at: float) -> None:
        self.told += [(at, event) for event in happened.events]
        self.changes += happened.changed
        if happened.state is not None:
            self.states.append((at, happened.state))

    def count(self, change: str) -> int:
        return sum(event.change == change for _, event in self.told)

    @property
    def totals(self) -> Totals:
        return self.tally.totals()


def moments(seconds: float, fps: float = 10.0, begin: float = 0.0) -> list[float]:
    return np.arange(begin + 1 / fps, begin + seconds, 1 / fps).tolist()


def passing(number: int, every: float, seed: int = 0) -> tuple[Walker, ...]:
    """Return people who come one after the other, each across the whole picture."""
    chance = np.random.default_rng(seed)
    walkers = []
    for at in range(number):
        way, speed = chance.choice([-1.0, 1.0]), chance.uniform(0.08, 0.14)
        begin = at * every + 0.05
        walkers.append(
            Walker(
                0.5 - 0.52 * way,
                0.3 + 0.6 * chance.random(),
                speed_x=way * speed,
                begin=begin,
                end=begin + 1.04 / speed,
            )
        )
    return tuple(walkers)


def test_ten_minutes_have_one_beginning_and_one_end_for_each_object() -> None:
    camera, walkers = Camera(), passing(40, 15)
    camera.follow(walkers, Eyes(4), moments(620))
    counts = Counter((event.id, event.change) for _, event in camera.told)
    assert camera.count("new") == camera.count("end") == len(walkers)
    assert all(count == 1 for (_, change), count in counts.items() if change != "update")
    assert camera.totals.objects == {"person": 40}
    for walker, (at, event) in zip(
        walkers, [one for one in camera.told if one[1].change == "end"], strict=True
    ):
        assert walker.end < at < walker.end + 3.3
        duration = (event.last_ns - event.first_ns) / 1e9
        assert duration == pytest.approx(walker.end - walker.begin, abs=1.2)
        assert event.ending == "left"
        assert 0.8 * event.looks < duration * 10 < 1.3 * event.looks


@pytest.mark.slow
def test_what_stands_for_an_hour_is_one_event() -> None:
    """Flicker of its label, one look in ten without it, and people who hide it in passing."""
    car = Walker(0.5, 0.7, height=0.15, width=0.2, label_id=3)
    camera = Camera(labels=("person", "car"))
    people = passing(180, 20, seed=2)
    eyes, passers = Eyes(1, mistake=0.1), Eyes(2)
    for at in moments(3600, 5):
        hidden = any(
            (box := one.box(at)) and box[0] < 0.55 and box[2] > 0.45 and box[3] > 0.72
            for one in people
        )
        mine = eyes.look(() if hidden else (car,), at)
        theirs = passers.look(tuple(one for one in people if one.box(at)), at)
        both = [np.concatenate(pair) for pair in (
            (mine.boxes, theirs.boxes), (mine.scores, theirs.scores),
            (mine.label_ids, theirs.label_ids),
        )]  # fmt: skip
        camera.look(seen(*both), at)
    cars = [event for _, event in camera.told if event.label == "car"]
    assert [event.change for event in cars if event.change != "update"] == ["new"]
    assert cars[-1].stationary
    assert len(cars) < 40


def test_wild_frames_trip_nothing() -> None:
    camera = Camera(CameraSettings(zone=(DOOR,), line=(LINE,)))
    still, chance = Walker(0.2, 0.6), np.random.default_rng(3)
    for number, at in enumerate(moments(100, 10)):
        where = still
        if number % 4 == 3:  # its box jumps over the line, into the zone
            where = Walker(0.3 + 0.3 * chance.random(), 0.6)
        camera.look(SURE.look((where,), at), at)
    assert camera.totals.zones["door"] == {"person": 0}
    assert camera.totals.lines["gate"] == {"in": {"person": 0}, "out": {"person": 0}}
    alone = Camera(CameraSettings(zone=(DOOR,), line=(LINE,)))
    for at in moments(100, 10):
        where = Walker(*chance.uniform(0.1, 0.9, 2))
        there = (where,) if round(at * 10) % 3 == 0 else ()
        alone.look(SURE.look(there, at), at)
    assert alone.told == []


def test_a_zone_is_entered_and_left_once_each_way() -> None:
    camera = Camera(CameraSettings(zone=(DOOR,)))
    walker = Walker(0.2, 0.6, speed_x=0.1, begin=0, end=7)
    camera.follow((walker,), Eyes(5), moments(14))
    assert camera.totals.zones == {"door": {"person": 1}}
    (end,) = [event for _, event in camera.told if event.change == "end"]
    (stay,) = end.stays
    assert stay.zone == "door"
    assert stay.entered_ns / 1e9 == pytest.approx(3, abs=0.5)
    assert stay.left_ns is not None
    assert stay.left_ns / 1e9 == pytest.approx(7, abs=0.3)
    assert camera.totals.stays == {"door": {"person": 1}}
    assert camera.totals.stay_seconds["door"]["person"] == pytest.approx(4, abs=0.6)
    assert [event.news for _, event in camera.told if "entered" in event.news]


def test_loitering_counts_only_who_stays() -> None:
    zone = msgspec.structs.replace(DOOR, loitering_seconds=5)
    camera = Camera(CameraSettings(zone=(zone,)))
    quick = Walker(0.2, 0.3, speed_x=0.2, end=4)
    slow = Walker(0.3, 0.9, speed_x=0.05, end=14)
    camera.follow((quick, slow), Eyes(6), moments(20))
    assert camera.totals.zones == {"door": {"person": 1}}


def test_a_zone_for_cars_does_not_see_people() -> None:
    zone = msgspec.structs.replace(DOOR, labels=("car",))
    camera = Camera(CameraSettings(zone=(zone,)), labels=("person", "car"))
    camera.follow((Walker(0.7, 0.5), Walker(0.8, 0.9, label_id=3)), SURE, moments(3))
    assert camera.totals.zones["door"] == {"person": 0, "car": 1}


@pytest.mark.parametrize(("speed", "way"), [(-0.1, "in"), (0.1, "out")])
def test_a_line_has_two_ways(speed: float, way: str) -> None:
    """From top to bottom of the picture: the right hand is on the picture's left."""
    camera = Camera(CameraSettings(line=(LINE,)))
    camera.follow((Walker(0.5 - 3 * speed, 0.6, speed_x=speed, end=6),), Eyes(1), moments(10))
    other = {"in": "out", "out": "in"}[way]
    assert camera.totals.lines == {"gate": {way: {"person": 1}, other: {"person": 0}}}
    (end,) = [event for _, event in camera.told if event.change == "end"]
    assert [(one.line, one.direction) for one in end.crossings] == [("gate", way)]
    assert end.crossings[0].at_ns / 1e9 == pytest.approx(3, abs=0.6)


def test_who_wavers_on_a_line_crossed_it_once() -> None:
    camera = Camera(CameraSettings(line=(LINE,)))
    for at in moments(60, 10):
        x = float(np.interp(at, [0, 3, 57, 60], [0.4, 0.5, 0.5, 0.6])) + 0.003 * np.sin(7 * at)
        camera.look(Eyes(round(at * 10), miss=0).look((Walker(x, 0.6),), at), at)
    assert camera.totals.lines["gate"] == {"in": {"person": 0}, "out": {"person": 1}}


def test_a_line_ends_where_it_ends() -> None:
    short = LineSettings(name="gate", start=(0.5, 0.7), end=(0.5, 1.0))
    camera = Camera(CameraSettings(line=(short,)))
    camera.follow((Walker(0.2, 0.5, speed_x=0.1, end=6),), Eyes(1), moments(8))
    assert sum(sum(one.values()) for one in camera.totals.lines["gate"].values()) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("fps", "share"), [(15.0, 0.02), (5.0, 0.05)])
def test_line_counts_of_an_hour(fps: float, share: float) -> None:
    camera = Camera(CameraSettings(line=(LINE,)))
    walkers = passing(1200, 3, seed=7)
    eyes = Eyes(8)
    for at in moments(3610, fps):
        first = max(0, int((at - 13) / 3))
        camera.look(eyes.look(walkers[first : first + 6], at), at)
    truth = Counter("out" if one.speed_x > 0 else "in" for one in walkers)
    for way, counts in camera.totals.lines["gate"].items():
        assert counts["person"] == pytest.approx(truth[way], rel=share)


def test_counts_and_occupancy_follow_the_objects() -> None:
    settings = CameraSettings(zone=(DOOR,), objects=ObjectSettings(occupancy_seconds=4))
    camera = Camera(settings)
    camera.follow((Walker(0.7, 0.5, begin=2, end=6),), Eyes(2), moments(30))
    told = [
        (round(at, 1), one.everywhere.counts["person"], one.zones["door"].occupied["person"])
        for at, one in camera.states
    ]
    assert [row[1:] for row in told] == [(0, False), (1, True), (0, True), (0, False)]
    assert told[1][0] <= 3.0  # on within a second
    assert told[2][0] == pytest.approx(6 + 3, abs=0.4)
    assert told[3][0] == pytest.approx(6 + 3 + 4, abs=0.5)


def test_what_nobody_watches_is_not_known() -> None:
    camera = Camera()
    camera.follow((Walker(0.7, 0.5),), SURE, moments(3))
    camera.tick(3 + UNWATCHED_SECONDS - 1)
    assert camera.count("end") == 0
    camera.tick(3 + UNWATCHED_SECONDS + 1)
    assert [event.ending for _, event in camera.told if event.change == "end"] == ["unwatched"]
    assert not camera.states[-1][1].watched
    camera.follow((), SURE, moments(1, begin=40))
    last = camera.states[-1][1]
    assert last.watched
    assert last.everywhere.counts == {"person": 0}


def test_before_the_first_look_nothing_is_known() -> None:
    camera = Camera()
    camera.tick(1)
    ((_, state),) = camera.states
    assert not state.watched


def test_a_parked_car_is_told_and_then_left_in_peace() -> None:
    camera = Camera(labels=("car",))
    car = Walker(0.5, 0.7, height=0.15, width=0.2, label_id=3)
    camera.follow((car,), Eyes(9, noise=0.02), moments(120))
    news = [event.news for _, event in camera.told if event.change == "update"]
    assert [one for one in news if "stationary" in one] == [("stationary",)]
    assert all(set(one) <= {"better", "stationary"} for one in news)
    assert len(camera.told) < 12
    assert camera.states[-1][1].everywhere.stationary == {"car": 1}
    camera.follow((Walker(0.5, 0.7, speed_x=0.05, begin=120, height=0.15, width=0.2, label_id=3),),
                  Eyes(9), moments(4, begin=120))  # fmt: skip
    assert "moving" in [word for _, event in camera.told for word in event.news]
    assert camera.count("new") == 1


def test_updates_of_an_object_come_at_most_once_a_second() -> None:
    zones = tuple(
        ZoneSettings(
            name=f"z{at}",
            polygon=((at / 20, 0), (at / 20 + 0.05, 0), (at / 20 + 0.05, 1), (at / 20, 1)),
        )
        for at in range(20)
    )
    camera = Camera(CameraSettings(zone=zones))
    camera.follow((Walker(0.05, 0.9, speed_x=0.09, end=10),), Eyes(3, miss=0), moments(10, 20))
    times = [at for at, event in camera.told if event.change == "update"]
    assert len(times) > 3
    assert min(np.diff(times)) >= 0.99


def test_who_is_left_out() -> None:
    corner = ((0.0, 0.0), (0.3, 0.0), (0.3, 1.0), (0.0, 1.0))
    settings = CameraSettings(
        labels=("person", "dog"),
        thresholds={"dog": 0.9},
        min_area=0.005,
        ignore=(IgnoreSettings(polygon=corner, labels=("person",)),),
    )
    watch = ObjectWatch(Admission(settings, LABELS, ModelSettings()), None)
    rows = [
        (Walker(0.6, 0.5), 0.8, True),
        (Walker(0.6, 0.5, height=0.05), 0.8, False),  # too small
        (Walker(0.2, 0.5), 0.8, False),  # ignored there
        (Walker(0.2, 0.9, label_id=18), 0.95, True),  # ... but dogs are not
        (Walker(0.7, 0.5, label_id=18), 0.8, False),  # a dog needs more
        (Walker(0.8, 0.5, label_id=3), 0.9, False),  # not looked for
        (Walker(0.9, 0.5), 0.45, False),  # not sure enough
    ]
    boxes = np.array([one.box(0) for one, _, _ in rows])
    found = seen(
        boxes, np.array([score for _, score, _ in rows]), np.array([w.label_id for w, _, _ in rows])
    )
    told = watch.apply(observation(found, 1)).detections
    assert sorted(zip(told.label_ids.tolist(), told.scores.round(2).tolist(), strict=True)) == [
        (1, pytest.approx(0.8)),
        (18, pytest.approx(0.95)),
    ]


def test_totals_go_on_from_what_was_counted() -> None:
    first = Camera(CameraSettings(line=(LINE,)))
    first.follow((Walker(0.2, 0.6, speed_x=0.1, end=6),), SURE, moments(8))
    second = Camera(CameraSettings(line=(LINE,)), Tally(first.totals))
    second.follow((Walker(0.2, 0.6, speed_x=0.1, end=6),), SURE, moments(8))
    assert second.totals.lines["gate"]["out"] == {"person": 2}
    assert second.totals.objects == {"person": 2}


def test_changed_is_said_when_there_is_another_state_of_affairs() -> None:
    camera = Camera()
    camera.follow((Walker(0.7, 0.5, begin=2, end=6),), Eyes(2), moments(30))
    assert camera.changes == 3  # nothing yet, there, gone


@given(st.integers(0, 2**32), st.floats(1, 60))
def test_ids_are_never_used_twice_and_each_has_one_life(seed: int, fps: float) -> None:
    camera = Camera(CameraSettings(zone=(DOOR,), line=(LINE,)))
    walkers = passing(4, 2, seed=seed)
    camera.follow(walkers, Eyes(seed, miss=0.4, mistake=0.3), moments(6, fps))
    happened = camera.watch.end("stopped", round(20e9))
    assert happened is not None
    told = [event for _, event in camera.told] + list(happened.events)
    lives: dict[str, list[str]] = {}
    for event in told:
        lives.setdefault(event.id, []).append(event.change)
        assert event.first_ns <= event.last_ns
    for changes in lives.values():
        assert (changes[0], changes[-1]) == ("new", "end")
        assert set(changes[1:-1]) <= {"update"}
    assert happened.state is None or happened.state.everywhere.counts == {"person": 0}
    assert camera.totals.objects["person"] + camera.totals.objects.get("cat", 0) == len(lives)


def test_a_label_that_changes_ends_the_stay_as_what_it_was() -> None:
    zone = msgspec.structs.replace(DOOR, labels=("person",))
    camera = Camera(CameraSettings(zone=(zone,)), labels=("person", "car"))
    camera.follow((Walker(0.7, 0.5),), SURE, moments(10))
    camera.follow((Walker(0.7, 0.5, label_id=3),), SURE, moments(10, begin=10))
    assert camera.totals.stays["door"] == {"person": 1, "car": 0}
    assert camera.totals.stay_seconds["door"]["person"] > 9
    assert camera.count("new") == 1
