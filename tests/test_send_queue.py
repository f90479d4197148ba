"""What waits for the network: states, then events, then frames; and what a lost link costs."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.reports.outgoing import Outgoing
from appliance.sinks.mqtt.queue import STREAM_LIMIT, Queued, SendQueue
from appliance.sinks.outbox.outbox import Outbox
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
def send_queue(outbox: Outbox) -> SendQueue:
    return SendQueue(outbox, BASE)


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


def fill(send_queue: SendQueue, *messages: Outgoing, connected: bool = True) -> None:
    for message in messages:
        send_queue.put(message, connected=connected)


def drain(send_queue: SendQueue) -> list[Queued]:
    return list(iter(send_queue.take, None))


def texts(letters: list[Queued]) -> list[str]:
    return [letter.payload.decode() for letter in letters]


def test_states_go_before_events_and_events_before_frames(send_queue: SendQueue) -> None:
    fill(send_queue, frame("f1"), event("e1"), state("info", "s1"), frame("f2"), event("e2"))
    fill(send_queue, state("health", "s2"))
    assert texts(drain(send_queue)) == ["s1", "s2", "e1", "e2", "f1", "f2"]


def test_states_and_frames_that_wait_are_counted_together(send_queue: SendQueue) -> None:
    fill(send_queue, state("info", "s1"), frame("f1"), frame("f2"), event("e1"))
    assert send_queue.waiting() == 3


def test_letters_say_what_was_handed_in(send_queue: SendQueue) -> None:
    written: list[int] = []
    note = written.append
    one = message(
        "cameras/front/detections", "payload",
        qos=0, expiry_seconds=7, handed_ns=123, written=note,
    )  # fmt: skip
    fill(send_queue, one, event("e"), state("info", "s"))
    letters = drain(send_queue)
    assert letters == [
        Queued(f"{BASE}/info", b"s", 1, True, None, handed_ns=5),
        Queued(f"{BASE}/alerts", b"e", 1, False, 3600, outbox_number=letters[1].outbox_number),
        Queued(
            f"{BASE}/cameras/front/detections", b"payload", 0, False, 7,
            handed_ns=123, written=note,
        ),
    ]  # fmt: skip
    assert letters[1].outbox_number is not None


def test_a_topic_that_begins_with_a_slash_is_the_whole_topic(send_queue: SendQueue) -> None:
    fill(send_queue, state("/homeassistant/x/config", "s"))
    assert [one.topic for one in drain(send_queue)] == ["homeassistant/x/config"]


def test_of_a_state_only_the_newest_is_sent(send_queue: SendQueue) -> None:
    fill(send_queue, state("info", "old"), state("health", "h"), state("info", "new"))
    assert texts(drain(send_queue)) == ["new", "h"]
    assert drain(send_queue) == []
    fill(send_queue, state("info", "newer"))
    assert texts(drain(send_queue)) == ["newer"]


def test_a_state_is_kept_for_the_next_connection(send_queue: SendQueue) -> None:
    fill(send_queue, state("info", "i"), connected=False)
    assert texts(drain(send_queue)) == ["i"]
    send_queue.disconnected()
    assert texts(drain(send_queue)) == ["i"]
    assert send_queue.stream_dropped == 0


def test_all_states_go_again_after_a_lost_connection(send_queue: SendQueue) -> None:
    fill(send_queue, state("info", "i"), state("health", "h"), state("health", "h2"))
    drain(send_queue)
    send_queue.disconnected()
    assert sorted(texts(drain(send_queue))) == ["h2", "i"]


def test_an_event_on_its_way_is_sent_once_a_connection(
    send_queue: SendQueue, outbox: Outbox
) -> None:
    fill(send_queue, event("e1"))
    assert texts(drain(send_queue)) == ["e1"]
    assert drain(send_queue) == []
    fill(send_queue, event("e2"))
    assert texts(drain(send_queue)) == ["e2"]
    assert outbox.size()[0] == 2


def test_events_in_flight_at_a_lost_connection_go_again_in_order(
    send_queue: SendQueue, outbox: Outbox
) -> None:
    fill(send_queue, event("e1"), event("e2"), event("e3"))
    first, second = send_queue.take(), send_queue.take()
    assert first is not None
    assert second is not None
    send_queue.acknowledged(first)
    send_queue.disconnected()
    assert texts(drain(send_queue)) == ["e2", "e3"]
    assert outbox.size()[0] == 2
    send_queue.acknowledged(second)
    assert outbox.size()[0] == 1


def test_acknowledged_states_and_frames_are_nothing_to_the_outbox(
    send_queue: SendQueue, outbox: Outbox
) -> None:
    fill(send_queue, event("e"), state("info", "s"), frame("f"))
    for letter in drain(send_queue):
        if letter.outbox_number is None:
            send_queue.acknowledged(letter)
    assert outbox.size()[0] == 1


def test_frames_without_a_connection_are_dropped_and_counted(send_queue: SendQueue) -> None:
    fill(send_queue, frame("f1"), frame("f2"), connected=False)
    assert send_queue.stream_dropped == 2
    assert drain(send_queue) == []


def test_frames_that_wait_too_long_make_room_for_newer_ones(send_queue: SendQueue) -> None:
    fill(send_queue, *(frame(str(number)) for number in range(STREAM_LIMIT)))
    assert send_queue.stream_dropped == 0
    fill(send_queue, frame("more"), frame("and more"))
    assert send_queue.stream_dropped == 2
    expected = [str(number) for number in range(2, STREAM_LIMIT)]
    assert texts(drain(send_queue)) == [*expected, "more", "and more"]


def test_frames_that_waited_when_the_connection_was_lost_are_counted(send_queue: SendQueue) -> None:
    fill(send_queue, *(frame(str(number)) for number in range(5)))
    send_queue.take()
    send_queue.disconnected()
    assert drain(send_queue) == []
    assert send_queue.stream_dropped == 4
    fill(send_queue, frame("x"))
    send_queue.disconnected()
    assert send_queue.stream_dropped == 5


ACTIONS = st.lists(st.sampled_from(("put", "take", "acknowledge", "lose")), max_size=60)


@given(ACTIONS)
def test_every_event_is_delivered_whatever_happens(actions: list[str]) -> None:
    """At least once, and within one connection once and in order."""
    outbox = Outbox(None, 100)
    send_queue, flying, put = SendQueue(outbox, BASE), list[Queued](), 0
    delivered: list[int] = []
    this_time: list[int] = []
    for action in [*actions, "lose", *["take"] * 60, *["acknowledge"] * 60]:
        if action == "put":
            fill(send_queue, event(str(put)), connected=False)
            put += 1
        elif action == "take" and (letter := send_queue.take()):
            flying.append(letter)
            this_time.append(int(letter.payload))
            assert this_time == sorted(set(this_time))
        elif action == "acknowledge" and flying:
            delivered.append(int(flying[0].payload))
            send_queue.acknowledged(flying.pop(0))
        elif action == "lose":
            flying.clear()
            this_time.clear()
            send_queue.disconnected()
    assert delivered == list(range(put))
    assert outbox.size()[0] == 0
    outbox.close()


def test_a_frame_does_not_wait_for_an_outbox_that_is_at_its_disk(outbox: Outbox) -> None:
    send_queue, taken = SendQueue(outbox, BASE), list[Queued | None]()
    taking = threading.Thread(target=lambda: taken.append(send_queue.take()))
    with outbox._lock:  # as long as it writes
        taking.start()
        wait_for(lambda: stands_in(taking, "after"))
        putting = threading.Thread(target=lambda: send_queue.put(frame("0"), connected=True))
        putting.start()
        putting.join(10)
        assert not putting.is_alive()
    taking.join(10)
    assert [one.payload for one in taken if one] == [b"0"]


def stands_in(thread: threading.Thread, function: str) -> bool:
    stack = sys._current_frames().get(thread.ident or 0)
    # Under `make mutation` the function has a longer name.
    return stack is not None and function in stack.f_code.co_name
