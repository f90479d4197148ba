"""What waits for the network: states, then events, then frames; and what a lost link costs."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sinks import Outgoing
from appliance.sinks.mailbag import STREAM_LIMIT, Letter, Mailbag
from appliance.sinks.outbox import Outbox
from tests.helpers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "appliance/unit-1"


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    one = Outbox(None, 100)
    yield one
    one.close()


@pytest.fixture
def mailbag(outbox: Outbox) -> Mailbag:
    return Mailbag(outbox, BASE)


def message(topic: str, text: str, **fields: Any) -> Outgoing:
    given: dict[str, Any] = {"qos": 1, "retain": False, "durable": False, "expiry_seconds": None}
    return Outgoing(
        kind="x", topic=topic, payload=text.encode(), message=None,
        **{"handed_ns": 5, **given, **fields},
    )  # fmt: skip


def state(topic: str, text: str) -> Outgoing:
    return message(topic, text, retain=True)


def event(text: str) -> Outgoing:
    return message("alerts", text, durable=True, expiry_seconds=3600)


def frame(text: str) -> Outgoing:
    return message("f", text, qos=0, expiry_seconds=10)


def fill(mailbag: Mailbag, *messages: Outgoing, connected: bool = True) -> None:
    for message in messages:
        mailbag.put(message, connected=connected)


def drain(mailbag: Mailbag) -> list[Letter]:
    return list(iter(mailbag.take, None))


def texts(letters: list[Letter]) -> list[str]:
    return [letter.payload.decode() for letter in letters]


def test_states_go_before_events_and_events_before_frames(mailbag: Mailbag) -> None:
    fill(mailbag, frame("f1"), event("e1"), state("info", "s1"), frame("f2"), event("e2"))
    fill(mailbag, state("health", "s2"))
    assert texts(drain(mailbag)) == ["s1", "s2", "e1", "e2", "f1", "f2"]


def test_letters_say_what_was_handed_in(mailbag: Mailbag) -> None:
    written: list[int] = []
    note = written.append
    one = message(
        "cameras/front/detections", "payload",
        qos=0, expiry_seconds=7, handed_ns=123, written=note,
    )  # fmt: skip
    fill(mailbag, one, event("e"), state("info", "s"))
    letters = drain(mailbag)
    assert letters == [
        Letter(f"{BASE}/info", b"s", 1, True, None, handed_ns=5),
        Letter(f"{BASE}/alerts", b"e", 1, False, 3600, outbox_number=letters[1].outbox_number),
        Letter(
            f"{BASE}/cameras/front/detections", b"payload", 0, False, 7,
            handed_ns=123, written=note,
        ),
    ]  # fmt: skip
    assert letters[1].outbox_number is not None


def test_a_topic_that_begins_with_a_slash_is_the_whole_topic(mailbag: Mailbag) -> None:
    fill(mailbag, state("/homeassistant/x/config", "s"))
    assert [one.topic for one in drain(mailbag)] == ["homeassistant/x/config"]


def test_of_a_state_only_the_newest_is_sent(mailbag: Mailbag) -> None:
    fill(mailbag, state("info", "old"), state("health", "h"), state("info", "new"))
    assert texts(drain(mailbag)) == ["new", "h"]
    assert drain(mailbag) == []
    fill(mailbag, state("info", "newer"))
    assert texts(drain(mailbag)) == ["newer"]


def test_a_state_is_kept_for_the_next_connection(mailbag: Mailbag) -> None:
    fill(mailbag, state("info", "i"), connected=False)
    assert texts(drain(mailbag)) == ["i"]
    mailbag.disconnected()
    assert texts(drain(mailbag)) == ["i"]
    assert mailbag.stream_dropped == 0


def test_all_states_go_again_after_a_lost_connection(mailbag: Mailbag) -> None:
    fill(mailbag, state("info", "i"), state("health", "h"), state("health", "h2"))
    drain(mailbag)
    mailbag.disconnected()
    assert sorted(texts(drain(mailbag))) == ["h2", "i"]


def test_an_event_on_its_way_is_sent_once_a_connection(mailbag: Mailbag, outbox: Outbox) -> None:
    fill(mailbag, event("e1"))
    assert texts(drain(mailbag)) == ["e1"]
    assert drain(mailbag) == []
    fill(mailbag, event("e2"))
    assert texts(drain(mailbag)) == ["e2"]
    assert outbox.size()[0] == 2


def test_events_in_flight_at_a_lost_connection_go_again_in_order(
    mailbag: Mailbag, outbox: Outbox
) -> None:
    fill(mailbag, event("e1"), event("e2"), event("e3"))
    first, second = mailbag.take(), mailbag.take()
    assert first is not None
    assert second is not None
    mailbag.acknowledged(first)
    mailbag.disconnected()
    assert texts(drain(mailbag)) == ["e2", "e3"]
    assert outbox.size()[0] == 2
    mailbag.acknowledged(second)
    assert outbox.size()[0] == 1


def test_acknowledged_states_and_frames_are_nothing_to_the_outbox(
    mailbag: Mailbag, outbox: Outbox
) -> None:
    fill(mailbag, event("e"), state("info", "s"), frame("f"))
    for letter in drain(mailbag):
        if letter.outbox_number is None:
            mailbag.acknowledged(letter)
    assert outbox.size()[0] == 1


def test_frames_without_a_connection_are_dropped_and_counted(mailbag: Mailbag) -> None:
    fill(mailbag, frame("f1"), frame("f2"), connected=False)
    assert mailbag.stream_dropped == 2
    assert drain(mailbag) == []


def test_frames_that_wait_too_long_make_room_for_newer_ones(mailbag: Mailbag) -> None:
    fill(mailbag, *(frame(str(number)) for number in range(STREAM_LIMIT)))
    assert mailbag.stream_dropped == 0
    fill(mailbag, frame("more"), frame("and more"))
    assert mailbag.stream_dropped == 2
    expected = [str(number) for number in range(2, STREAM_LIMIT)]
    assert texts(drain(mailbag)) == [*expected, "more", "and more"]


def test_frames_that_waited_when_the_connection_was_lost_are_counted(mailbag: Mailbag) -> None:
    fill(mailbag, *(frame(str(number)) for number in range(5)))
    mailbag.take()
    mailbag.disconnected()
    assert drain(mailbag) == []
    assert mailbag.stream_dropped == 4
    fill(mailbag, frame("x"))
    mailbag.disconnected()
    assert mailbag.stream_dropped == 5


ACTIONS = st.lists(st.sampled_from(("put", "take", "acknowledge", "lose")), max_size=60)


@given(ACTIONS)
def test_every_event_is_delivered_whatever_happens(actions: list[str]) -> None:
    """At least once, and within one connection once and in order."""
    outbox = Outbox(None, 100)
    mailbag, flying, put = Mailbag(outbox, BASE), list[Letter](), 0
    delivered: list[int] = []
    this_time: list[int] = []
    for action in [*actions, "lose", *["take"] * 60, *["acknowledge"] * 60]:
        if action == "put":
            fill(mailbag, event(str(put)), connected=False)
            put += 1
        elif action == "take" and (letter := mailbag.take()):
            flying.append(letter)
            this_time.append(int(letter.payload))
            assert this_time == sorted(set(this_time))
        elif action == "acknowledge" and flying:
            delivered.append(int(flying[0].payload))
            mailbag.acknowledged(flying.pop(0))
        elif action == "lose":
            flying.clear()
            this_time.clear()
            mailbag.disconnected()
    assert delivered == list(range(put))
    assert outbox.size()[0] == 0
    outbox.close()


def test_a_frame_does_not_wait_for_an_outbox_that_is_at_its_disk(outbox: Outbox) -> None:
    mailbag, taken = Mailbag(outbox, BASE), list[Letter | None]()
    taking = threading.Thread(target=lambda: taken.append(mailbag.take()))
    with outbox._lock:  # as long as it writes
        taking.start()
        wait_for(lambda: stands_in(taking, "after"))
        putting = threading.Thread(target=lambda: mailbag.put(frame("0"), connected=True))
        putting.start()
        putting.join(10)
        assert not putting.is_alive()
    taking.join(10)
    assert [one.payload for one in taken if one] == [b"0"]


def stands_in(thread: threading.Thread, function: str) -> bool:
    stack = sys._current_frames().get(thread.ident or 0)
    return stack is not None and stack.f_code.co_name == function
