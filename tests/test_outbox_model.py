"""The outbox against a list: whatever is added, delivered and reopened, both hold the same."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sinks.outbox.outbox import MAX_BYTES, RETRY_SECONDS, Outbox

LIMIT = 5
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 400)),
        st.tuples(st.sampled_from(("fold a", "fold b")), st.integers(0, 400)),
        st.tuples(st.just("deliver"), st.integers(0, 7)),
        st.tuples(st.just("reopen"), st.just(0)),
    ),
    max_size=30,
)


@dataclass
class Listed:
    """What an outbox should do, in a list of topics and payloads."""

    waiting: list[tuple[str, bytes, str]] = field(default_factory=list)
    dropped: int = 0

    def add(self, topic: str, payload: bytes, fold: str = "") -> None:
        self.waiting = [one for one in self.waiting if not fold or one[2] != fold]
        self.waiting.append((topic, payload, fold))
        while len(self.waiting) > LIMIT or (self.size > MAX_BYTES and len(self.waiting) > 1):
            first = next((one for one in self.waiting if one[2]), self.waiting[0])
            self.waiting.remove(first)
            self.dropped += 1

    @property
    def size(self) -> int:
        return sum(len(payload) for _, payload, _ in self.waiting)


def everything(outbox: Outbox) -> list[tuple[int, str, bytes, int | None]]:
    """Walk it as the send queue does: always the oldest above the last number."""
    found, number = [], 0
    while (one := outbox.after(number)) is not None:
        assert one.number > number
        number = one.number
        found.append((one.number, one.topic, one.payload, one.expiry_seconds))
    return found


@given(ACTIONS, st.booleans())
def test_any_history_leaves_what_a_list_would_hold(
    actions: list[tuple[str, int]], on_disk: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "outbox.sqlite") if on_disk else None
        outbox, listed, dropped_before = Outbox(path, LIMIT), Listed(), 0
        for step, (action, value) in enumerate(actions):
            if action == "add" or action.startswith("fold"):
                payload = b"x" * (value * MAX_BYTES // 600)  # three of the largest are too many
                fold = action if action != "add" else ""
                outbox.add(f"t/{step}", payload, step or None, fold)
                listed.add(f"t/{step}", payload, fold)
            elif action == "deliver":
                there = everything(outbox)
                if value < len(there):
                    outbox.remove(there[value][0])
                    outbox.remove(there[value][0])  # an answer that comes twice changes nothing
                    del listed.waiting[value]
            elif path is not None:
                outbox.close()
                dropped_before += outbox.dropped
                outbox = Outbox(path, LIMIT)
            assert outbox.size() == (len(listed.waiting), listed.size)
        there = everything(outbox)
        assert [one[1:3] for one in there] == [one[:2] for one in listed.waiting]
        assert [expiry for *_, expiry in there] == [
            int(topic[2:]) or None for topic, _, _ in listed.waiting
        ]
        assert outbox.dropped + dropped_before == listed.dropped
        assert outbox.problem == ""
        outbox.close()


def test_one_message_larger_than_everything_is_kept() -> None:
    outbox = Outbox(None, LIMIT)
    outbox.add("small", b"x", None)
    outbox.add("large", b"x" * (MAX_BYTES + 1), None)
    assert [topic for _, topic, _, _ in everything(outbox)] == ["large"]
    outbox.add("next", b"x", None)
    assert [topic for _, topic, _, _ in everything(outbox)] == ["next"]
    assert outbox.dropped == 2


def test_exactly_as_much_as_may_be_stays() -> None:
    outbox = Outbox(None, LIMIT)
    outbox.add("half", b"x" * (MAX_BYTES // 2), None)
    outbox.add("other half", b"x" * (MAX_BYTES // 2), None)
    assert outbox.size() == (2, MAX_BYTES)
    for number in range(LIMIT - 2):
        outbox.add(str(number), b"", None)
    assert outbox.size() == (LIMIT, MAX_BYTES)
    assert outbox.dropped == 0


@pytest.mark.parametrize(
    ("seconds", "tried"), [(RETRY_SECONDS - 0.1, False), (RETRY_SECONDS, True)]
)
def test_a_disk_that_failed_is_left_alone_for_a_while(
    seconds: float, *, tried: bool, tmp_path: Path
) -> None:
    now = 100.0
    folder = tmp_path / "state"
    folder.write_text("a file, where a folder should be")
    outbox = Outbox(folder / "outbox.sqlite", LIMIT, lambda: now)
    assert outbox.problem.endswith(": messages wait in memory only")
    outbox.add("kept", b"x", None)
    folder.unlink()
    folder.mkdir(mode=0o700)
    now += seconds
    outbox.catch_up()
    assert (outbox.problem == "") is tried
    assert (folder / "outbox.sqlite").exists() is tried
    outbox.close()  # tries once more, whatever the time
    assert outbox.problem == ""
    again = Outbox(folder / "outbox.sqlite", LIMIT)
    assert [topic for _, topic, _, _ in everything(again)] == ["kept"]
    again.close()


def test_what_is_damaged_is_counted_once_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    outbox = Outbox(path, LIMIT)
    for name in ("one", "two", "three"):
        outbox.add(name, name.encode(), None)
    outbox.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE waiting SET payload = x'00' WHERE topic = 'two'")
    outbox = Outbox(path, LIMIT)
    assert [topic for _, topic, _, _ in everything(outbox)] == ["one", "three"]
    assert outbox.dropped == 1
    for number in range(LIMIT):
        outbox.add(str(number), b"x", None)
    assert outbox.dropped == 3
    outbox.close()
    again = Outbox(path, LIMIT)
    assert again.size() == (LIMIT, LIMIT)
    assert again.dropped == 0
    again.close()
