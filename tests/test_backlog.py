"""What waits for a sink: bounded, in order, and what has to go is what may go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from appliance.reports.outgoing import Outgoing
from appliance.sinks.queue.backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Iterable

FRAMES, EVENTS = 3, 2
KINDS = ("detections", "alert", "health", "metrics")


def message(kind: str, number: int = 0, payload: bytes = b"") -> Outgoing:
    return Outgoing(
        kind=kind,
        topic=f"front/{kind}",
        payload=payload,
        message=None,
        qos=0,
        retain=kind in {"health", "metrics"},
        durable=False,
        expiry_seconds=None,
        handed_ns=number,
    )


class Listed:
    """The rules, spelt out over one list."""

    def __init__(self) -> None:
        self.waiting: list[Outgoing] = []
        self.dropped = 0

    def add(self, one: Outgoing) -> None:
        if one.retain:
            self.waiting = [old for old in self.waiting if old.kind != one.kind]
        self.waiting.append(one)
        for kind, limit in (("detections", FRAMES), ("alert", EVENTS)):
            alike = [old for old in self.waiting if old.kind == kind]
            if len(alike) > limit:
                self.waiting.remove(alike[0])
                self.dropped += 1

    def take(self) -> Outgoing | None:
        return self.waiting.pop(0) if self.waiting else None


@given(st.lists(st.sampled_from([*KINDS, "take"]), max_size=60))
def test_it_is_the_list_that_its_rules_make(steps: Iterable[str]) -> None:
    backlog, listed = Backlog(FRAMES, EVENTS), Listed()
    for number, step in enumerate(steps):
        if step == "take":
            assert backlog.take() is listed.take()
        else:
            one = message(step, number)
            backlog.add(one)
            listed.add(one)
        assert (len(backlog), backlog.dropped) == (len(listed.waiting), listed.dropped)
    while listed.waiting:
        assert backlog.take() is listed.take()
    assert backlog.take() is None


@given(st.lists(st.sampled_from(KINDS), max_size=200))
def test_a_flood_takes_no_event_and_no_last_state_with_it(flood: Iterable[str]) -> None:
    backlog = Backlog(FRAMES, 1000)
    put = [message(kind, number) for number, kind in enumerate(flood)]
    for one in put:
        backlog.add(one)
    taken = []
    while (one_more := backlog.take()) is not None:
        taken.append(one_more)
    assert [one for one in taken if one.kind == "alert"] == [
        one for one in put if one.kind == "alert"
    ]
    for kind in ("health", "metrics"):
        assert [one for one in taken if one.kind == kind] == [
            one for one in put if one.kind == kind
        ][-1:]
    assert [one for one in taken if one.kind == "detections"] == [
        one for one in put if one.kind == "detections"
    ][-FRAMES:]
