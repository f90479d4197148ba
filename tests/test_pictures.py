"""Pictures of objects: the right frame, upright, with its event's id; none where they are off."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.album.drawing import Drawer, with_boxes
from appliance.album.photographer import Bucket, Photographer
from appliance.clock import NS_PER_SECOND
from appliance.sources.pictures import timecode
from appliance.values import ClockOrigin, Detections, Frame, Observation, PixelFormat, StageTimes
from appliance.values.happened import Happened, ObjectEvent
from appliance.vision.preprocess import View
from tests.helpers import Subscriber, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.cli.demo_broker import DemoBroker
    from appliance.values.happened import Change
    from tests.test_daemon import Unit

ON = """
labels = []
[camera.pictures]
enabled = true
quality = 90
"""
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))
"""Of the corners, clockwise from the top left: red, green, blue, white."""


@pytest.fixture
def subscriber(broker: DemoBroker) -> Iterator[Subscriber]:
    one = Subscriber(broker.port)
    yield one
    one.close()


def quarters() -> Any:
    picture = np.zeros((48, 80, 3), np.uint8)
    picture[:24, :40], picture[:24, 40:] = COLOURS[0], COLOURS[1]
    picture[24:, 40:], picture[24:, :40] = COLOURS[2], COLOURS[3]
    return picture


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("longest", [40, 1000])
def test_a_picture_is_upright_and_its_jpeg_has_the_colours(
    rotation: Literal[0, 90, 180, 270], flips: tuple[bool, bool], longest: int
) -> None:
    raw = quarters()
    frame = Frame((raw[..., ::-1].copy(),), PixelFormat.BGR24, 80, 48, captured_ns=0, seq=0)
    view = View(rotation, *flips, crop=(0.5, 0.5, 0.5, 0.5))  # all of it is shown nevertheless
    drawer = Drawer(view, longest, 95)
    expected = np.rot90(raw, -rotation // 90)
    expected = expected[:, ::-1] if flips[0] else expected
    expected = expected[::-1] if flips[1] else expected
    jpeg = np.frombuffer(drawer.encode(drawer.upright(frame)), np.uint8)
    made = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert made is not None
    assert max(made.shape) == min(longest, 80)
    for x, y in ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)):
        pixel = made[int(y * made.shape[0]), int(x * made.shape[1]), ::-1]
        wanted = expected[int(y * expected.shape[0]), int(x * expected.shape[1])]
        assert np.abs(pixel.astype(int) - wanted).max() < 12


def test_boxes_are_drawn_where_they_are_and_the_clean_picture_stays_clean() -> None:
    clean = np.full((100, 200, 3), 40, np.uint8)
    drawn = with_boxes(clean, [("person 0.90", (0.25, 0.5, 0.75, 0.9))])
    assert (clean == 40).all()
    rows, columns = np.nonzero((drawn == (0, 230, 118)).all(axis=2))
    assert (columns.min(), columns.max()) == (49, 150)
    assert rows.max() == 90
    assert (drawn[60:80, 60:140] == 40).all()


@given(st.floats(1, 600), st.lists(st.floats(0, 30), max_size=60))
def test_no_more_pass_than_the_owner_says(per_minute: float, gaps: list[float]) -> None:
    bucket, now, passed = Bucket(per_minute), 0.0, []
    for gap in gaps:
        now += gap
        if bucket.take(round(now * NS_PER_SECOND)):
            passed.append(now)
    for begin in passed:
        within = sum(begin <= one < begin + 60 for one in passed)
        assert within <= 2 * per_minute + 1  # what was saved up, and what came since
    assert passed[:1] == ([gaps[0]] if gaps else [])


def seen_with(happened: Happened, number: int) -> Observation:
    """Return a frame that is all of one grey, its number."""
    planes = (np.full((48, 80, 3), number, np.uint8),)
    frame = Frame(planes, PixelFormat.BGR24, 80, 48, captured_ns=number, seq=number)
    times = StageTimes(*(number * NS_PER_SECOND,) * 6)
    nothing = Detections.empty()
    return Observation(
        "c", number, 80, 48, ClockOrigin.READ, nothing, times, happened=happened, frame=frame
    )


def event(change: Change, *news: str) -> ObjectEvent:
    box = (0.1, 0.1, 0.2, 0.2)
    return ObjectEvent(
        "one", change, news, "cat", 17, 0.9, box, 0.9, box, 0, 0, 3,
        stationary=False, stays=(), crossings=(), path=(),
    )  # fmt: skip


def test_the_picture_of_a_better_look_is_that_look_s_though_it_is_told_later() -> None:
    better = frozenset({"one"})
    photographer = Photographer(Drawer(View(), 80, 95), Bucket(600), str)
    told = [
        photographer.look(seen_with(happened, number))
        for number, happened in (
            (20, Happened((event("new"),))),
            (90, Happened(better=better)),
            (150, Happened()),
            (200, Happened((event("update", "better"),))),
            (220, Happened(better=better)),
            (240, Happened((event("end"),))),
        )
    ]
    greys = [
        [round(float(decoded(picture.jpeg).mean())) for _, picture in one.pictures] for one in told
    ]
    assert greys == [[20], [], [], [90], [], []]


def test_what_ended_without_a_frame_is_kept_by_nobody() -> None:
    photographer = Photographer(Drawer(View(), 80, 95), Bucket(600), str)
    photographer.look(seen_with(Happened(better=frozenset({"one", "two"})), 20))
    photographer.forget(["one"])
    assert set(photographer._better) == {"two"}


def test_each_object_s_picture_counts() -> None:
    photographer = Photographer(Drawer(View(), 80, 95), Bucket(2), str)
    many = frozenset({"a", "b", "c"})
    photographer.look(seen_with(Happened(better=many), 20))
    assert len(photographer._better) == 2


def pictures(subscriber: Subscriber, topic: str) -> list[tuple[dict[str, str], bytes]]:
    found = []
    for one in list(subscriber.messages):
        if one.topic.endswith("/" + topic):
            assert one.properties is not None
            assert getattr(one.properties, "ContentType", "") == "image/jpeg"
            words = dict(getattr(one.properties, "UserProperty", ()))
            found.append((words, bytes(one.payload)))
    return found


def decoded(jpeg: bytes) -> Any:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


def overlap(one: Any, other: Any) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    both = float(np.prod(np.clip(high - low, 0, None)))
    areas = [float(np.prod(box[2:] - box[:2])) for box in (one, other)]
    return both / (sum(areas) - both)


def corners(box: dict[str, float]) -> Any:
    return np.array([box["x"], box["y"], box["x"] + box["w"], box["y"] + box["h"]])


def test_every_new_object_comes_with_its_picture(
    unit: Unit, broker: DemoBroker, subscriber: Subscriber
) -> None:
    unit.configure(more=ON)
    unit.start()
    wait_for(lambda: len(events(subscriber, "new")) >= 4, 60)
    wait_for(lambda: len(pictures(subscriber, "front/snapshot")) >= 4)
    code, log = unit.stop()
    assert code == 0, log
    sent = pictures(subscriber, "front/snapshot")
    by_event = {(words["id"], words["sha256"]): (words, jpeg) for words, jpeg in sent}
    frames = {one["frame"]["captured_ns"] // 1000: one for one in subscriber.of("front/detections")}
    overlaps = []
    for event in events(subscriber, "new"):
        words, jpeg = by_event[event["id"], event["snapshot"]]
        assert hashlib.sha256(jpeg).hexdigest() == event["snapshot"]
        apart = [datetime.fromisoformat(at) for at in (words["captured_at"], event["last_seen_at"])]
        assert abs(apart[0] - apart[1]).total_seconds() < 0.001
        code_seen = timecode.read(decoded(jpeg))
        assert code_seen is not None
        seen = frames[code_seen.captured_us]
        shown = [overlap(corners(event["box"]), corners(one["box"])) for one in seen["detections"]]
        overlaps.append(max(shown))
    assert min(overlaps) >= 0.9
    assert sent[-1][0]["id"]
    (kept,) = [one for one in subscriber.messages if one.topic.endswith("front/image")][-1:]
    assert decoded(bytes(kept.payload)).shape == (240, 320, 3)


def events(subscriber: Subscriber, kind: str) -> list[dict[str, Any]]:
    return [one for one in subscriber.of("front/events") if one["event"] == kind]


def test_no_byte_of_a_picture_leaves_where_they_are_off(
    unit: Unit, broker: DemoBroker, subscriber: Subscriber
) -> None:
    unit.configure()
    unit.start()
    wait_for(lambda: len(events(subscriber, "new")) >= 2, 60)
    subscriber.publish(f"appliance/{unit.device}/cmd/snapshot", '{"id": "me"}')
    wait_for(lambda: subscriber.of("cmd/snapshot/result"))
    unit.stop()
    (result,) = subscriber.of("cmd/snapshot/result")
    assert not result["ok"]
    assert "camera front: pictures are off ([camera.pictures] enabled = true)" in result["detail"]
    assert {one["snapshot"] for one in subscriber.of("front/events")} == {None}
    assert b"\xff\xd8\xff" not in b"".join(bytes(one.payload) for one in subscriber.messages)


def test_a_picture_is_taken_when_somebody_asks(
    unit: Unit, broker: DemoBroker, subscriber: Subscriber
) -> None:
    unit.configure(more=ON.replace("[]", '["zebra"]'))  # nothing happens by itself
    unit.start()
    wait_for(lambda: subscriber.of("front/detections"))
    subscriber.publish(f"appliance/{unit.device}/cmd/snapshot", '{"id": "me", "camera": "front"}')
    wait_for(lambda: pictures(subscriber, "front/snapshot"))
    ((words, jpeg),) = pictures(subscriber, "front/snapshot")
    assert words["id"] == "me"
    assert timecode.read(decoded(jpeg)) is not None
    subscriber.publish(f"appliance/{unit.device}/cmd/pause", "")
    wait_for(lambda: subscriber.of("cmd/pause/result"))
    subscriber.publish(f"appliance/{unit.device}/cmd/snapshot", json.dumps({"id": "later"}))
    wait_for(lambda: len(subscriber.of("cmd/snapshot/result")) == 2)
    assert "nobody looks" in subscriber.of("cmd/snapshot/result")[-1]["detail"]
    unit.stop()


def test_nothing_behind_a_mask_is_in_any_picture(
    unit: Unit, broker: DemoBroker, subscriber: Subscriber
) -> None:
    mask = "[[camera.mask]]\npolygon = [[0, 0.8], [0.5, 0.8], [0.5, 1], [0, 1]]\n"
    unit.configure(more=ON + mask)
    unit.start()
    wait_for(lambda: len(pictures(subscriber, "front/snapshot")) >= 3, 60)
    unit.stop()
    for topic in ("front/snapshot", "front/image"):
        for _, jpeg in pictures(subscriber, topic):
            picture = decoded(jpeg)
            assert timecode.read(picture) is None  # it stands there, and cannot be read
            if topic == "front/snapshot":  # on the other, boxes are drawn
                assert picture[196:, :156].max() < 12  # black, but for what JPEG makes of an edge
