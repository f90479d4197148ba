"""What a broker does not take is stepped over, counted and named; all else arrives."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sinks.mqtt.commands import Commands
from appliance.sinks.mqtt.connection import BrokerAddress
from appliance.sinks.mqtt.queue import Queued
from appliance.sinks.mqtt.sink import MqttSink
from appliance.sinks.mqtt.terms import STRIKES, Suspicion, Terms
from appliance.sinks.outbox.outbox import Outbox
from tests.helpers import Subscriber, free_port, wait_for
from tests.scripted import Stage, stage
from tests.strict_broker import StrictBroker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE = "appliance/unit-1"


def connected(port: int) -> tuple[MqttSink, Stage]:
    commands = Commands(BASE, (), lambda _name, _payload: None)
    address = BrokerAddress("127.0.0.1", port, "unit-1")
    sink = MqttSink(address, BASE, Outbox(None, 1000), commands=commands)
    scene = stage(sink)
    sink.start()
    return sink, scene


def alerts(scene: Stage, *reasons: str) -> None:
    for reason in reasons:
        scene.reporter.alert("camera_lost", camera="front", reason=reason)


def problems(sink: MqttSink) -> dict[tuple[str, str], str]:
    return {(kind, subject): text for kind, subject, text in sink.problems()}


@pytest.mark.parametrize("announces", [True, False])
def test_one_message_too_large_does_not_hold_up_the_others(announces: bool) -> None:
    broker = StrictBroker(packet_bytes=2000, announces=announces)
    with closing(broker):
        sink, scene = connected(broker.port)
        alerts(scene, "first", "x" * 3000, "second", "third")
        wait_for(lambda: len(broker.of("/alerts")) >= 3, 60)
        wait_for(lambda: ("refused", f"{BASE}/alerts") in problems(sink) or sink.tally().failed)
        got = [
            b"first" in one or b"second" in one or b"third" in one for one in broker.of("/alerts")
        ]
        assert got == [True] * 3
        assert sink.tally().failed == 1
        wait_for(lambda: sink.outbox_state()[0] == 0)
        if announces:
            assert broker.endings == []
        else:
            assert broker.endings == [0x95] * STRIKES
        sink.close()


@pytest.mark.parametrize("limit", [1, 2])
def test_a_receive_maximum_is_kept(limit: int) -> None:
    broker = StrictBroker(receive_maximum=limit)
    with closing(broker):
        sink, scene = connected(broker.port)
        alerts(scene, *(f"n{number}n" for number in range(30)))
        wait_for(lambda: len(broker.of("/alerts")) == 30, 60)
        assert broker.endings == []
        assert [one.split(b'"reason":"n')[1].split(b"n")[0] for one in broker.of("/alerts")] == [
            str(number).encode() for number in range(30)
        ]
        sink.close()


def test_a_message_that_ends_connections_without_a_word_is_found_and_stepped_over() -> None:
    broker = StrictBroker(poison=b"poison")
    with closing(broker):
        sink, scene = connected(broker.port)
        alerts(scene, "before", "poison", "after", "last")
        wait_for(lambda: any(b"last" in one for one in broker.of("/alerts")), 60)
        assert len(broker.endings) == STRIKES
        wait_for(lambda: sink.outbox_state()[0] == 0)
        assert sink.tally().failed == 1
        sink.close()


def test_a_frame_that_ends_connections_is_found_and_no_alert_is_blamed() -> None:
    """Nobody answers a message of QoS 0: what is acknowledged must not be blamed for it."""
    broker = StrictBroker(poison=b'"appliance.metrics/1"')
    with closing(broker):
        sink, scene = connected(broker.port)
        wait_for(lambda: sink.connected)
        scene.publish_metrics()
        alerts(scene, "one", "two", "three")
        wait_for(lambda: len(broker.of("/alerts")) >= 3, 60)
        wait_for(lambda: ("refused", f"{BASE}/front/metrics") in problems(sink), 60)
        assert ("refused", f"{BASE}/alerts") not in problems(sink)
        wait_for(lambda: sink.outbox_state() == (0, 0, 0))
        sink.close()


def test_a_broker_without_retain_gets_all_else() -> None:
    broker = StrictBroker(connack={"retain": 0})
    with closing(broker):
        sink, scene = connected(broker.port)
        scene.publish_info()
        alerts(scene, "one")
        wait_for(lambda: broker.of("/alerts") and broker.of("/info"), 30)
        assert not any(retained for _, _, retained in broker.taken)
        assert not broker.will_retained
        sink.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[int]:
    """A mosquitto that lets nobody write alerts or Home Assistant's discovery."""
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if mosquitto is None:
        pytest.skip("no mosquitto")
    port = free_port()
    rules = tmp_path / "acl"
    rules.write_text(
        f"topic read #\ntopic write {BASE}/front/#\ntopic write {BASE}/status\n"
        f"topic write {BASE}/info\ntopic write {BASE}/cmd/#\n"
    )
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {rules}\nuser root\n"
    )
    process = subprocess.Popen([mosquitto, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def test_what_may_not_be_published_is_counted_and_named(guarded: int) -> None:
    sink, scene = connected(guarded)
    wait_for(lambda: sink.connected)
    with closing(Subscriber(guarded)) as subscriber:
        scene.publish_info()
        alerts(scene, "one", "two")
        for _ in range(10):
            scene.step()
        wait_for(lambda: len(subscriber.of("front/detections")) == 10)
        wait_for(lambda: subscriber.of("info"))
        wait_for(lambda: ("refused", f"{BASE}/alerts") in problems(sink))
        told = problems(sink)
        assert "Not authorized" in told["refused", f"{BASE}/alerts"]
        assert "2 messages" in told["refused", f"{BASE}/alerts"]
        assert ("refused", "homeassistant/device/unit-1/config") in told
        assert ("refused", f"{BASE}/info") not in told
        wait_for(lambda: sink.outbox_state() == (0, 0, 0))
        assert sink.tally().failed >= 3
    sink.close()


def test_two_units_of_one_name_are_told_apart_on_any_broker(broker: object) -> None:
    port = broker.port  # type: ignore[attr-defined]
    first, scene = connected(port)
    scene.publish_info()
    with closing(Subscriber(port)) as subscriber:
        wait_for(lambda: subscriber.of("info"))
        second, other = connected(port)  # it takes the session over
        other.publish_info()
        wait_for(lambda: ("twin", "") in {**problems(first), **problems(second)}, 30)
    first.close()
    second.close()


def letter(topic: str, number: int | None, size: int = 10) -> Queued:
    return Queued(topic, b"x" * size, 1, number is None, None, outbox_number=number)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=40))
def test_only_what_never_arrives_is_stepped_over(history: list[tuple[int, bool]]) -> None:
    """Messages that the broker took in between are not suspected, however often it breaks."""
    suspicion, unlucky = Suspicion(), dict.fromkeys(range(5), 0)
    for number, arrives in history:
        one = letter("t", number + 1)
        if arrives:
            suspicion.cleared(one)
            unlucky[number] = 0
        else:
            suspicion.ended([one])
            unlucky[number] += 1
        assert suspicion.is_careful == any(unlucky.values())
    for number, strikes in unlucky.items():
        assert bool(suspicion.refusal(letter("t", number + 1))) == (strikes >= STRIKES)


def test_a_state_is_tried_again_once_it_is_shorter() -> None:
    suspicion = Suspicion()
    for _ in range(STRIKES):
        suspicion.ended([letter("info", None, 100)])
    assert suspicion.refusal(letter("info", None, 100))
    assert suspicion.refusal(letter("info", None, 120))
    assert not suspicion.refusal(letter("info", None, 99))
    assert not suspicion.refusal(letter("info", None, 100))


@given(st.integers(1, 3000), st.integers(0, 60), st.integers(1, 3000))
def test_no_packet_is_larger_than_announced(payload: int, properties: int, limit: int) -> None:
    one = letter("appliance/unit-1/alerts", 1, payload)
    if not Terms(packet_bytes=limit).refusal(one, properties):
        assert 1 + 1 + 2 + len(one.topic) + 2 + properties + payload <= limit
