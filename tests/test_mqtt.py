"""Against a real broker: birth, will, outage, order, bounds, protocols, refusals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from appliance.cli.demo_broker import DemoBroker, start_broker
from appliance.pipeline import CameraEvent
from appliance.sinks.mqtt.connection import BrokerAddress
from appliance.sinks.mqtt.sink import MqttSink
from appliance.sinks.outbox.outbox import MAX_BYTES, Outbox
from tests.helpers import Subscriber, free_port, open_descriptors, wait_for
from tests.scripted import stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE = "appliance/unit-1"


def make_sink(port: int, outbox: Outbox | None = None, **settings: object) -> MqttSink:
    address = BrokerAddress("127.0.0.1", port, "unit-1", **settings)  # type: ignore[arg-type]
    sink = MqttSink(address, BASE, outbox or Outbox(None, 1000))
    sink.start()
    return sink


@pytest.fixture
def subscriber(broker: DemoBroker) -> Iterator[Subscriber]:
    one = Subscriber(broker.port)
    yield one
    one.close()


def test_birth_and_clean_end(broker: DemoBroker, subscriber: Subscriber) -> None:
    sink = make_sink(broker.port)
    wait_for(lambda: subscriber.of("status") == ["online"])
    sink.close()
    wait_for(lambda: subscriber.of("status") == ["online", "offline"])
    late = Subscriber(broker.port)
    wait_for(lambda: late.of("status") == ["offline"])
    assert late.messages[0].retain
    late.close()


def test_a_killed_process_leaves_its_will(broker: DemoBroker, subscriber: Subscriber) -> None:
    code = (
        "import sys;from appliance.sinks.mqtt.sink import *;"
        "from appliance.sinks.mqtt.connection import *;"
        "from appliance.sinks.outbox.outbox import Outbox;"
        f"s=MqttSink(BrokerAddress('127.0.0.1',{broker.port},'u'),'{BASE}',Outbox(None,9));s.start();"
        "sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    wait_for(lambda: subscriber.of("status") == ["online"])
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert child.stdin is not None
    child.stdin.close()
    wait_for(lambda: subscriber.of("status") == ["online", "offline"])


def test_events_wait_for_an_absent_broker_and_arrive_in_order() -> None:
    port = free_port()
    outbox = Outbox(None, 50)
    sink = make_sink(port, outbox)
    scene = stage(sink)
    for number in range(60):
        scene.reporter.camera_event(CameraEvent("front", "camera_lost", reason=str(number)))
        scene.step()
    assert outbox.size()[0] == 50
    assert outbox.dropped == 11  # of 60 alerts, and the one object that came
    assert sink.frames_dropped == 60
    broker = start_broker("mosquitto", port)
    subscriber = Subscriber(port)
    wait_for(lambda: len(subscriber.of("alerts")) == 50, 30)
    assert [alert["reason"] for alert in subscriber.of("alerts")] == [str(n) for n in range(10, 60)]
    wait_for(lambda: outbox.size() == (0, 0))
    sink.close()
    subscriber.close()
    broker.stop()


def test_messages_that_come_while_a_reload_closes_it_hurt_nobody() -> None:
    errors: list[OSError] = []
    switch_seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            sink, stop = make_sink(free_port()), threading.Event()

            def put(sink: MqttSink = sink, stop: threading.Event = stop) -> None:
                try:
                    while not stop.is_set():
                        sink._notify()
                except OSError as error:
                    errors.append(error)

            threads = [threading.Thread(target=put) for _ in range(3)]
            for one in threads:
                one.start()
            sink.close()
            stop.set()
            for one in threads:
                one.join()
    finally:
        sys.setswitchinterval(switch_seconds)
    assert errors == []


def test_one_that_hangs_while_it_is_closed_lets_go_of_everything_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()

    def resolve(*_: object) -> None:
        answered.wait(20)
        raise OSError("no such name")

    monkeypatch.setattr("appliance.sinks.mqtt.connection.Connection.open", resolve)
    before = open_descriptors()
    sink = make_sink(1, Outbox(tmp_path / "outbox.sqlite", 9))
    sink.close()
    answered.set()
    wait_for(lambda: open_descriptors() == before, 5)


class CuttingProxy:
    """A link to a broker that breaks when it sees ``marker``, which it swallows; later ones hold.

    Attributes:
        cut: set once it broke.
    """

    def __init__(self, broker_port: int, marker: bytes) -> None:
        self.cut = threading.Event()
        self._marker = marker
        self._broker = ("127.0.0.1", broker_port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._server.accept()
                broker = socket.create_connection(self._broker)
                for ends in ((client, broker), (broker, client)):
                    threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with source, target, contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self._marker in data and not self.cut.is_set():
                    self.cut.set()
                    target.shutdown(socket.SHUT_RDWR)  # ends the thread of the other direction
                    source.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


def test_an_alert_in_flight_when_the_connection_breaks_arrives_all_the_same(
    broker: DemoBroker, subscriber: Subscriber
) -> None:
    proxy, outbox = CuttingProxy(broker.port, b"in flight"), Outbox(None, 10)
    sink = make_sink(proxy.port, outbox)
    wait_for(lambda: sink.connected)
    scene = stage(sink)
    for reason in ("before", "in flight", "after"):
        scene.reporter.camera_event(CameraEvent("front", "camera_lost", reason=reason))
    assert proxy.cut.wait(10)  # sent, swallowed, and never acknowledged
    wait_for(lambda: "in flight" in reasons(subscriber))
    wait_for(lambda: outbox.size()[0] == 0)
    assert list(dict.fromkeys(reasons(subscriber))) == ["before", "in flight", "after"]
    sink.close()
    proxy.close()


def reasons(subscriber: Subscriber) -> list[str]:
    return [alert["reason"] for alert in subscriber.of("alerts")]


def test_state_is_published_again_to_a_broker_that_forgot(broker: DemoBroker) -> None:
    sink = make_sink(broker.port)
    scene = stage(sink)
    wait_for(lambda: sink.connected)
    scene.publish_info()
    scene.publish_health()
    broker.stop()
    wait_for(lambda: not sink.connected)
    again = start_broker("mosquitto", broker.port)
    subscriber = Subscriber(broker.port)
    wait_for(
        lambda: subscriber.of("info") and subscriber.of("health") and subscriber.of("status"), 30
    )
    assert subscriber.of("status")[-1] == "online"
    sink.close()
    subscriber.close()
    again.stop()


def test_a_frozen_broker_blocks_nobody(broker: DemoBroker) -> None:
    sink = make_sink(broker.port, keepalive_seconds=5)
    scene = stage(sink, frames=0)
    wait_for(lambda: sink.connected)
    os.kill(broker._process.pid, signal.SIGSTOP)
    try:
        for _ in range(3000):
            scene.step()
        assert scene.lane.ledger.counts().processed == 3000
        assert len(sink._send_queue._stream) <= 64
        wait_for(lambda: not sink.connected, 30, "the frozen broker was noticed")
    finally:
        os.kill(broker._process.pid, signal.SIGCONT)
    wait_for(lambda: sink.connected, 30)
    sink.close()


@pytest.mark.parametrize("asked", ["auto", "5", "3.1.1"])
def test_both_protocols(broker: DemoBroker, subscriber: Subscriber, asked: str) -> None:
    sink = make_sink(broker.port, protocol=asked)
    wait_for(lambda: sink.connected)
    assert sink.protocol_version == ("3.1.1" if asked == "3.1.1" else "5")
    scene = stage(sink)
    scene.step()
    wait_for(lambda: subscriber.of("front/detections"))
    (message,) = [m for m in subscriber.messages if m.topic.endswith("detections")]
    expiry = getattr(message.properties, "MessageExpiryInterval", None)
    assert (expiry is None) == (asked == "3.1.1")
    sink.close()


def test_a_broker_that_knows_only_3_1_1() -> None:
    broker = start_broker("amqtt", free_port())
    sink = make_sink(broker.port)
    try:
        wait_for(lambda: sink.connected, 30)
        assert sink.protocol_version == "3.1.1"
        scene = stage(sink)
        scene.reporter.camera_event(CameraEvent("front", "camera_lost", reason="x"))
        wait_for(lambda: sink.outbox_state()[0] == 0)
    finally:
        sink.close()
        broker.stop()


def test_a_refusal_is_named_and_retried(tmp_path: Path) -> None:
    port = free_port()
    users = tmp_path / "users"
    users.write_text("")
    users.chmod(0o644)
    tmp_path.chmod(0o755)
    config = tmp_path / "m.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {users}\nuser root\n"
    )
    child = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(config)], stderr=subprocess.DEVNULL)
    sink = make_sink(port, username="me", password="wrong")
    wait_for(lambda: "Not authorized" in sink.problem, 30, sink.problem)
    assert not sink.connected
    assert "wrong" not in sink.problem
    sink.close()
    child.terminate()
    child.wait()


def test_two_units_of_one_name_do_not_fight() -> None:
    """A broker that follows MQTT 5 says 0x8E to the older client (mosquitto 2.0.11 does not)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = make_sink(server.getsockname()[1], protocol="5")
        peer, _ = server.accept()
        with peer:
            assert peer.recv(4096)[0] == 0x10  # CONNECT
            peer.sendall(bytes([0x20, 3, 0, 0, 0]))  # CONNACK, success
            wait_for(lambda: sink.connected)
            peer.sendall(bytes([0xE0, 2, 0x8E, 0]))  # DISCONNECT, session taken over
            wait_for(lambda: "took over" in sink.problem)
        server.settimeout(1.5)
        with pytest.raises(TimeoutError):
            server.accept()  # it stands back instead of evicting the other
    assert not sink.connected
    sink.close()


def test_the_outbox_survives_a_restart_and_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    outbox = Outbox(path, 10)
    outbox.add("a/b", b"one", 60)
    outbox.close()
    outbox = Outbox(path, 10)
    waiting = outbox.after(0)
    assert waiting is not None
    assert (waiting.topic, waiting.payload, waiting.expiry_seconds) == ("a/b", b"one", 60)
    outbox.remove(waiting.number)
    assert outbox.size() == (0, 0)
    outbox.close()
    path.write_bytes(b"rubbish" * 1000)
    for extra in path.parent.glob("outbox.sqlite-*"):
        extra.unlink()
    outbox = Outbox(path, 10)
    assert outbox.size() == (0, 0)
    assert (tmp_path / "outbox.damaged").exists()
    outbox.close()


def test_the_outbox_is_bounded_in_bytes_too() -> None:
    outbox = Outbox(None, 1000)
    for _ in range(40):
        outbox.add("t", b"x" * (MAX_BYTES // 10), None)
    messages, size = outbox.size()
    assert size <= MAX_BYTES
    assert messages + outbox.dropped == 40
    outbox.close()


def test_messages_are_json_with_expiry_and_no_null_surprises(
    broker: DemoBroker, subscriber: Subscriber
) -> None:
    sink = make_sink(broker.port)
    wait_for(lambda: sink.connected)
    scene = stage(sink)
    scene.publish_metrics()
    wait_for(lambda: subscriber.of("front/metrics"))
    metrics = subscriber.of("front/metrics")[0]
    assert metrics["end_to_end_fps"] is None
    assert metrics["camera_fps"] is None
    assert metrics["window"]["first_seq"] is None
    assert json.dumps(metrics, allow_nan=False)
    sink.close()
