"""Times of the week at which nobody looks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import CameraSettings
from appliance.config.scene import scene_faults
from appliance.config.schedule import DAYS, covered, parse
from tests.helpers import Subscriber, wait_for

if TYPE_CHECKING:
    from appliance.cli.demo_broker import DemoBroker
    from tests.test_daemon import Unit

MONDAY = datetime(2026, 11, 30)  # noqa: DTZ001 - local time, as a wall clock shows it


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("22:00-06:00", ["0 22:00", "1 05:59", "6 23:59", "0 00:00"], ["0 06:00", "0 21:59"]),
        ("Mon-Fri 08:00-17:30", ["0 08:00", "4 17:29"], ["4 17:30", "5 09:00", "0 07:59"]),
        ("Sat,Sun 00:00-24:00", ["5 00:00", "6 23:59"], ["0 00:00", "4 23:59"]),
        ("fri-mon 23:00-01:00", ["4 23:00", "1 00:59", "6 00:30"], ["4 00:30", "1 23:30"]),
    ],
)
def test_what_a_time_means(text: str, inside: list[str], outside: list[str]) -> None:
    span = parse(text)
    for moments, expected in ((inside, True), (outside, False)):
        for moment in moments:
            day, _, clock = moment.partition(" ")
            hour, _, minute = clock.partition(":")
            assert span.covers(int(day), int(hour) * 60 + int(minute)) == expected, moment


@given(
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.integers(0, 7 * 1440 - 1),
)
def test_a_span_covers_its_length_on_each_of_its_days(
    first: int, last: int, begin: int, length: int, at: int
) -> None:
    end = begin + length
    shown = end if end <= 1440 else end - 1440
    if begin == shown:
        return
    text = f"{DAYS[first]}-{DAYS[last]} {begin // 60}:{begin % 60:02}-{shown // 60}:{shown % 60:02}"
    days = [(first + step) % 7 for step in range((last - first) % 7 + 1)]
    week = 7 * 1440
    expected = any((at - day * 1440 - begin) % week < length for day in days)
    moment = MONDAY + timedelta(minutes=at)
    assert covered([parse(text)], moment) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nights", 'expected times such as "22:00-06:00"'),
        ("25:00-06:00", "expected times from 00:00 to 24:00"),
        ("10:61-11:00", "expected times from 00:00 to 24:00"),
        ("Mo 10:00-11:00", "expected days such as Mon"),
        ("10:00-10:00", "a whole day is 00:00-24:00"),
    ],
)
def test_what_is_no_time_is_refused_in_words(text: str, words: str) -> None:
    (fault,) = scene_faults(CameraSettings(pause=(text,)))
    assert fault.startswith("camera[camera].pause[1]: ")
    assert words in fault


def test_at_its_time_no_frame_is_looked_at_whatever_a_command_says(
    unit: Unit, broker: DemoBroker
) -> None:
    subscriber = Subscriber(broker.port)
    path = unit.configure(more='pause = ["00:00-24:00"]')
    process = unit.start()
    wait_for(lambda: subscriber.of("health") and subscriber.of("health")[-1]["state"] == "paused")
    subscriber.publish(f"appliance/{unit.device}/cmd/resume", "")
    wait_for(lambda: subscriber.of("cmd/resume/result"))
    assert subscriber.of("cmd/resume/result")[-1]["detail"] == (
        "resumed; by its schedule (pause) nobody looks at front now"
    )
    assert subscriber.of("state")[-1]["cameras"]["front"]["scheduled"]
    healths = len(subscriber.of("health"))
    wait_for(lambda: len(subscriber.of("health")) > healths + 2)  # a second each
    assert subscriber.of("front/detections") == []
    path.write_text(path.read_text().replace('pause = ["00:00-24:00"]', ""))
    process.send_signal(1)
    wait_for(lambda: len(subscriber.of("front/detections")) > 3)
    wait_for(lambda: not subscriber.of("state")[-1]["cameras"]["front"]["scheduled"])
    unit.stop()
    subscriber.close()
