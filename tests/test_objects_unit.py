"""Objects through the whole unit: a real process, a real broker, what is kept when it dies."""

from __future__ import annotations

import itertools
import json
import signal
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import jsonschema

from appliance.reports.messages import json_schema
from tests.helpers import Subscriber, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from appliance.cli.demo_broker import DemoBroker
    from tests.test_daemon import Unit

SCENE = """
labels = ["person"]
[[camera.zone]]
name = "left"
polygon = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
[[camera.line]]
name = "middle"
start = [0.5, 0]
end = [0.5, 1]
"""


def events(subscriber: Subscriber) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = subscriber.of("front/events")
    return found


def crossings(state: dict[str, Any]) -> int:
    lines = state["totals"]["lines"]["middle"]
    return sum(sum(counts.values()) for counts in lines.values())


def test_counters_and_events_outlive_a_killed_process(unit: Unit, broker: DemoBroker) -> None:
    subscriber = Subscriber(broker.port)
    unit.configure(more=SCENE)
    counted = []
    for _ in range(3):
        unit.start()
        seen = len(subscriber.of("front/objects"))

        def crossed(seen: int = seen) -> bool:
            states = subscriber.of("front/objects")[seen:]
            return bool(states) and crossings(states[-1]) >= crossings(states[0]) + 2

        wait_for(crossed, 60, "two crossings")
        assert unit.process is not None
        unit.process.send_signal(signal.SIGKILL)
        unit.ended()
        states = subscriber.of("front/objects")
        counted.append((crossings(states[seen]), crossings(states[-1])))
    for (_, last), (first, _) in itertools.pairwise(counted):
        assert abs(first - last) <= 1, counted
    unit.start()
    before = len([one for one in events(subscriber) if one["event"] == "new"])
    wait_for(lambda: len([one for one in events(subscriber) if one["event"] == "new"]) > before)
    code, log = unit.stop()
    assert code == 0, log
    told = events(subscriber)
    lives = Counter((one["id"], one["event"]) for one in told if one["event"] != "update")
    assert set(lives.values()) == {1}
    begun = {number for number, event in lives if event == "new"}
    assert begun == {number for number, event in lives if event == "end"}
    assert "restarted" in {one["ended"] for one in told}
    assert {one["ended"] for one in told if one["boot_id"] == told[-1]["boot_id"]} >= {"stopped"}
    for one in told:
        jsonschema.validate(one, json_schema("event"))
    for one in subscriber.of("front/objects"):
        jsonschema.validate(one, json_schema("objects"))
    last = subscriber.of("front/objects")[-1]
    assert (last["watched"], last["everywhere"]["counts"]) == (False, None)
    subscriber.close()


def test_a_damaged_book_is_set_aside_and_said(
    unit: Unit, broker: DemoBroker, tmp_path: Path
) -> None:
    book = tmp_path / "state" / f"objects-{unit.device}.json"
    book.parent.mkdir()
    book.write_text('{"totals": 7}')
    subscriber = Subscriber(broker.port)
    unit.configure(more=SCENE)
    unit.start()
    wait_for(lambda: events(subscriber))
    code, log = unit.stop()
    assert code == 0
    assert "counts of objects begin at 0" in log
    assert book.with_suffix(".damaged").read_text() == '{"totals": 7}'
    assert json.loads(book.read_text())["totals"]["front"]["objects"]["person"] >= 1
    subscriber.close()


def test_a_new_zone_takes_effect_while_frames_go_on(unit: Unit, broker: DemoBroker) -> None:
    subscriber = Subscriber(broker.port)
    unit.configure(more='labels = ["person"]\ndetections = "changed"')
    process = unit.start()
    wait_for(lambda: any(one["event"] == "new" for one in events(subscriber)))
    assert subscriber.of("front/objects")[-1]["zones"] == {}
    unit.configure(more=SCENE + "[camera.objects]\noccupancy_seconds = 0\n")
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: "left" in subscriber.of("front/objects")[-1]["zones"])
    wait_for(lambda: subscriber.of("front/objects")[-1]["zones"]["left"]["counts"] == {"person": 1})
    assert {one["boot_id"] for one in events(subscriber)} == {events(subscriber)[0]["boot_id"]}
    unit.stop()
    subscriber.close()


def _more(messages: Callable[[], list[Any]], than: int) -> Callable[[], bool]:
    return lambda: len(messages()) > than


def test_other_rules_leave_everybody_who_he_is(unit: Unit, broker: DemoBroker) -> None:
    subscriber = Subscriber(broker.port)
    unit.configure(more='labels = ["person"]')
    unit.start()
    wait_for(lambda: any(one["event"] == "new" for one in events(subscriber)))
    for command, payload in (
        ("threshold", {"threshold": 0.41}),
        ("labels", {"labels": ["person", "dog"]}),
    ):
        results = partial(subscriber.of, f"cmd/{command}/result")
        before, seen = len(results()), len(subscriber.of("front/detections"))
        subscriber.publish(f"appliance/{unit.device}/cmd/{command}", json.dumps(payload))
        wait_for(_more(results, before))
        wait_for(_more(partial(subscriber.of, "front/detections"), seen + 5))
    wanted = {"person", "dog"}
    wait_for(lambda: set(subscriber.of("front/objects")[-1]["everywhere"]["counts"]) == wanted)
    unit.stop()
    there = [
        one["everywhere"]["counts"] for one in subscriber.of("front/objects") if one["watched"]
    ]
    ended = [one["ended"] for one in events(subscriber) if one["event"] == "end"]
    assert ended.count("stopped") == sum(there[-1].values())  # those of the very end, no others
    subscriber.close()


def test_only_changes_are_published_where_the_owner_says_so(unit: Unit, broker: DemoBroker) -> None:
    subscriber = Subscriber(broker.port)
    unit.configure(more='labels = ["person"]\ndetections = "changed"')
    unit.start()
    wait_for(lambda: subscriber.of("front/metrics") and len(subscriber.of("front/events")) > 3, 60)
    unit.stop()
    frames = sum(one["window"]["frames"] for one in subscriber.of("front/metrics"))
    assert 0 < len(subscriber.of("front/detections")) < frames / 10
    numbers = [one["seq"] for one in subscriber.of("front/detections")]
    assert numbers == list(range(len(numbers)))
    info = subscriber.of("info")[-1]
    assert [one["detections"] for one in info["cameras"]] == ["changed"]
    subscriber.close()


def test_a_unit_without_objects_does_not_load_their_code(
    unit: Unit, broker: DemoBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    subscriber = Subscriber(broker.port)
    for more, is_loaded in (("[camera.objects]\nenabled = false", False), ("", True)):
        unit.configure(more=more)
        unit.start()
        seen = len(subscriber.of("front/detections"))
        wait_for(lambda seen=seen: len(subscriber.of("front/detections")) > seen)  # type: ignore[misc]
        _, log = unit.stop()
        assert ("appliance.objects.tracker" in log) == is_loaded
        assert bool(subscriber.of("front/objects")) == is_loaded
    subscriber.close()
