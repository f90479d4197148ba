"""What every sink must do, whoever wrote it: the room's contract (``appliance.sinks.Outlet``)."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from appliance.errors import ApplianceError, ConfigError
from appliance.extensions import kinds, load
from appliance.pipeline.lane import CameraEvent
from appliance.reports.messages import MESSAGES
from appliance.sinks import create_outlet, sink_options
from appliance.sinks import journal as journal_module
from tests.helpers import free_port
from tests.memory import MemoryOutlet
from tests.packages import contract_of
from tests.scripted import Direct, stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.reports.outgoing import Outgoing
    from appliance.sinks import Outlet

KINDS = kinds("appliance.sinks")


@pytest.fixture
def messages() -> list[Outgoing]:
    """Some of every kind, as a unit makes them."""
    memory = MemoryOutlet()
    scene = stage(Direct(memory))
    scene.publish_info()
    for _ in range(3):
        scene.step()
    scene.publish_metrics()
    scene.publish_health()
    scene.reporter.camera_event(CameraEvent("front", "camera_lost", reason="unplugged"))
    assert {one.kind for one in memory.messages} >= {
        "info",
        "detections",
        "metrics",
        "health",
        "alert",
        "discovery",
    }
    return list(memory.messages)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A journal that listens."""
    path = tmp_path / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        monkeypatch.setattr(journal_module, "JOURNAL", path)
        yield


def wanted(kind: str, folder: Path) -> dict[str, Any]:
    """Return options by which the sink has something to do; a new kind gets a line here."""
    options: dict[str, dict[str, Any]] = {
        "journal": {},
        "jsonl": {"path": str(folder / "lines.jsonl")},
        "prometheus": {"port": free_port()},
        "textfile": {"path": str(folder / "metrics.prom")},
    }
    if kind in options:
        return options[kind]
    theirs = contract_of(KINDS[kind])["options"].items()
    return {key: one.format(folder=folder) if isinstance(one, str) else one for key, one in theirs}


@pytest.fixture(params=KINDS)
def outlet(request: pytest.FixtureRequest, tmp_path: Path, journal: None) -> Outlet:
    kind = request.param
    options = sink_options({kind: wanted(kind, tmp_path)})[kind]
    made = create_outlet(kind, options, {"JOURNAL_STREAM": "8:1"})
    assert made is not None
    return made


def held() -> tuple[int, set[str]]:
    """Return what a sink could leave behind: descriptors and threads."""
    return len(list(Path("/proc/self/fd").iterdir())), {one.name for one in threading.enumerate()}


@pytest.mark.parametrize("kind", KINDS)
def test_its_options_have_defaults_and_sentences(kind: str) -> None:
    options = load(KINDS[kind]).Options
    assert options() == sink_options({})[kind]
    assert options.__doc__
    for field in msgspec.structs.fields(options):
        described = [getattr(one, "description", None) for one in field.type.__metadata__]
        assert any(described), field.name


@pytest.mark.parametrize("kind", KINDS)
def test_an_option_that_it_does_not_have_is_named(kind: str) -> None:
    with pytest.raises(ConfigError, match=rf"sinks\.{kind}\.colour: unknown key"):
        sink_options({kind: {"colour": "red"}})


def test_it_is_called_as_its_file_and_wants_messages_that_there_are(outlet: Outlet) -> None:
    assert outlet.name in KINDS
    assert outlet.kinds is None or outlet.kinds <= set(MESSAGES)


def test_it_takes_every_message_and_leaves_nothing_behind(
    outlet: Outlet, messages: list[Outgoing]
) -> None:
    before = held()
    for _ in range(2):  # after close comes open, and all begins anew
        outlet.open()
        for message in messages:
            if outlet.kinds is None or message.kind in outlet.kinds:
                outlet.handle(message)
        outlet.close()
    outlet.close()
    assert held() == before


def test_it_may_be_closed_before_it_was_opened(outlet: Outlet) -> None:
    before = held()
    outlet.close()
    outlet.close()
    assert held() == before


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("jsonl", {"path": "/nowhere/lines.jsonl"}),
        ("textfile", {"path": "/nowhere/metrics.prom"}),
        ("prometheus", {"port": 9750, "address": "192.0.2.1", "insecure": True}),
    ],
)
def test_what_the_world_refuses_is_an_error_that_is_tried_again(
    kind: str, options: dict[str, Any], messages: list[Outgoing]
) -> None:
    made = create_outlet(kind, sink_options({kind: options})[kind], {})
    assert made is not None
    before = held()

    def use() -> None:
        made.open()
        for message in messages:
            made.handle(message)

    with pytest.raises((OSError, ApplianceError)):
        use()
    made.close()
    assert held() == before


def test_where_nothing_is_wanted_there_is_no_sink() -> None:
    options = sink_options({"prometheus": {"port": 0}, "journal": {"enabled": False}})
    found = [create_outlet(kind, options[kind], {"JOURNAL_STREAM": "8:1"}) for kind in KINDS]
    assert set(found) == {None}


def test_a_sink_that_there_is_not_is_named_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"got 'jsonnl', which is unknown; did you mean jsonl\?"):
        sink_options({"jsonnl": {}})


def test_every_fault_of_every_sink_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        sink_options({"jsonl": {"keep": 0}, "prometheus": {"port": "x"}, "nope": {}})
    assert len(caught.value.faults) == 3
