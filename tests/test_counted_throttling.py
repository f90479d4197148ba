"""Throttling that is told by counters only: it lasts until the next look that is due."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from appliance.telemetry.cooling import Cooling
from tests.memory import MemoryOutlet
from tests.scripted import Direct, stage

if TYPE_CHECKING:
    from appliance.telemetry import Snapshot


def throttled(sink: MemoryOutlet) -> object:
    latest = sink.latest("health")
    assert latest is not None
    return json.loads(latest.payload)["throttled"]


def test_a_message_in_between_does_not_end_an_episode() -> None:
    """Each look sees what moved since the one before: a look more sees the counters stand still."""
    sink = MemoryOutlet()
    scene = stage(Direct(sink))
    real = scene.unit.telemetry.snapshot
    counts = [1, 2, 2, 2]

    def counted() -> Snapshot:
        count = counts.pop(0)
        cooling = Cooling(limited_by=(), events_total={"cpu0 core_throttle_count": count})
        return msgspec.structs.replace(real(), readings={"cooling": cooling})

    supervisor = scene.supervisor
    supervisor._sampler._read = counted
    supervisor._sampler.start()
    supervisor._poll_heat()
    supervisor._poll_heat()
    scene.clock.advance(0.004)
    supervisor._publish_health()
    assert list(scene.unit.heat.active) == ["thermal"]
    assert throttled(sink) is True
    scene.clock.advance(10.0)
    supervisor._publish_health()
    assert not scene.unit.heat.active
    assert throttled(sink) is False
    supervisor._sampler.close()
