"""Ten minutes without a broker: every beginning and end arrives after it, in order, once."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

from appliance.cli.demo_broker import start_broker
from appliance.clock import ManualClock
from appliance.config import CameraSettings
from appliance.models import Labels, Vocabulary
from appliance.reports.reporter import Reporter
from appliance.reports.sender import Identity
from appliance.sinks.outbox.outbox import Outbox
from tests.helpers import Subscriber, free_port, wait_for
from tests.moving import Eyes
from tests.test_mqtt import make_sink
from tests.test_scene import DOOR, LINE, Camera, moments, passing


def test_beginnings_and_ends_of_ten_minutes_arrive_in_order_and_once() -> None:
    port, outbox = free_port(), Outbox(None, 1000)
    sink = make_sink(port, outbox)
    clock = ManualClock()
    reporter = Reporter(Identity("unit-1", "b", 1, Vocabulary(Labels(()))), (sink,), clock)
    camera, eyes = Camera(CameraSettings(zone=(DOOR,), line=(LINE,))), Eyes(6)
    walkers = passing(100, 6, seed=4)
    expected = []
    for at in moments(620, 5):
        clock.advance(0.2)
        first = max(0, int((at - 15) / 6))
        happened = camera.look(eyes.look(walkers[first : first + 4], at), at)
        reporter.happened("front", happened)
        expected += [(one.id, one.change) for one in happened.events if one.change != "update"]
    assert len(expected) == 2 * camera.totals.objects["person"]
    assert len(expected) > 180
    assert camera.count("update") > 200
    waiting, _, dropped = sink.outbox_state()
    assert dropped == 0
    assert waiting <= 300  # the updates of an object are folded into one
    with sink._outbox._lock:  # nothing is sent before somebody listens
        broker = start_broker("mosquitto", port)
        listening = Subscriber(port)
    try:
        with closing(listening) as subscriber:
            wait_for(lambda: sink.outbox_state()[0] == 0)
            wait_for(lambda: len(subscriber.of("front/events")) == waiting)
            told = subscriber.of("front/events")
        firm = [(one["id"], one["event"]) for one in told if one["event"] != "update"]
        assert firm == expected
        assert max(Counter((one["id"], one["event"]) for one in told).values()) == 1
        lives: dict[str, list[str]] = {}
        for one in told:
            lives.setdefault(one["id"], []).append(one["event"])
        assert {tuple(life) for life in lives.values()} <= {
            ("new", "update", "end"), ("new", "end")
        }  # fmt: skip
    finally:
        sink.close()
        broker.stop()
