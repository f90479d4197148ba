"""Sinks over a reload: those whose settings stay go on, the others are closed and made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from appliance.config import Settings
from appliance.config.settings import MqttSettings
from appliance.daemon.sinks import Sinks, make_sinks
from appliance.errors import ConfigError, UnavailableError
from tests.helpers import environment, wait_for
from tests.memory import MemoryOutlet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.reports.outgoing import Sink
    from appliance.sinks.queue.queued_sink import QueuedSink


def settings(folder: Path, keep: int = 3) -> Settings:
    return Settings(
        device="unit-1",
        mqtt=MqttSettings(enabled=False),
        sinks={
            "jsonl": {"path": str(folder / "lines.jsonl"), "keep": keep},
            "textfile": {"path": str(folder / "metrics.prom")},
            "prometheus": {"port": 0},
        },
    )


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Sinks]:
    made = make_sinks(settings(tmp_path), environment(tmp_path), extra=(EXTRA,))
    yield made
    made.close()


EXTRA = MemoryOutlet()


def one(sinks: Sinks, kind: str) -> Sink:
    (found,) = sinks.others[kind]
    return found


def ended(sink: Sink) -> bool:
    queued: QueuedSink = sink  # type: ignore[assignment]
    return queued.heartbeat.ended


def test_what_does_not_change_goes_on(tmp_path: Path, first: Sinks) -> None:
    again = make_sinks(settings(tmp_path), environment(tmp_path), extra=(EXTRA,), before=first)
    assert again.all == first.all
    assert not any(ended(sink) for sink in again.all)


def test_only_what_changes_is_made_anew(tmp_path: Path, first: Sinks) -> None:
    there = environment(tmp_path)
    again = make_sinks(settings(tmp_path, keep=5), there, extra=(EXTRA,), before=first)
    assert one(again, "textfile") is one(first, "textfile")
    assert one(again, "extra") is one(first, "extra")
    assert one(again, "jsonl") is not one(first, "jsonl")
    wait_for(lambda: ended(one(first, "jsonl")))
    assert not ended(one(again, "jsonl"))
    again.close()


def test_what_is_not_wanted_any_more_is_closed(tmp_path: Path, first: Sinks) -> None:
    none = msgspec.structs.replace(settings(tmp_path), sinks={"prometheus": {"port": 0}})
    again = make_sinks(none, environment(tmp_path), extra=(EXTRA,), before=first)
    assert again.all == first.others["extra"]
    wait_for(lambda: ended(one(first, "jsonl")) and ended(one(first, "textfile")))


def test_a_sink_that_cannot_be_made_leaves_all_as_it_was(
    tmp_path: Path, first: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UnavailableError("another package's: no licence")

    monkeypatch.setattr("appliance.daemon.sinks.create_outlet", refuse)
    with pytest.raises(UnavailableError):
        make_sinks(settings(tmp_path, 9), environment(tmp_path), extra=(EXTRA,), before=first)
    assert not any(ended(sink) for sink in first.all)


def test_settings_that_cannot_be_used_leave_all_as_it_was(tmp_path: Path, first: Sinks) -> None:
    bad = msgspec.structs.replace(settings(tmp_path), sinks={"jsonl": {"kep": 1}})
    with pytest.raises(ConfigError, match="did you mean keep"):
        make_sinks(bad, environment(tmp_path), extra=(EXTRA,), before=first)
    assert not any(ended(sink) for sink in first.all)
