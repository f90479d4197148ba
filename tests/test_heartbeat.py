"""Who lives: progress, a declared wait that is not over, or an end that was meant."""

from __future__ import annotations

from appliance.clock import ManualClock
from appliance.pipeline.heartbeat import Heartbeat, LifeSigns


def test_progress_waits_and_ends() -> None:
    clock = ManualClock()
    heart = Heartbeat("one", clock)
    life = LifeSigns((heart,))
    heart.beat()
    assert life.silent() == ()
    assert life.silent() == ("one",)
    heart.wait("a frame", 5)
    clock.advance(4.9)
    assert life.silent() == ()
    assert heart.waiting_for == "a frame"
    clock.advance(0.2)
    assert life.silent() == ("one",)
    heart.beat()
    assert life.silent() == ()
    heart.ended = True
    assert life.silent() == ()
