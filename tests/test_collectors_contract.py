"""What every collector must do, whoever wrote it: the contract of ``appliance.telemetry``."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from appliance.cli.telemetry import describe
from appliance.clock import ManualClock
from appliance.extensions import kinds, load
from appliance.reports.messages import HealthMessage, json_schema
from appliance.telemetry import (
    PartialReading,
    Snapshot,
    Telemetry,
    gauges,
    reading_structs,
    unflattened,
)
from tests.memory import MemoryOutlet
from tests.packages import install
from tests.scripted import Direct, stage

if TYPE_CHECKING:
    from appliance.telemetry import Gauge

KINDS = kinds("appliance.telemetry")
ROOTS = sorted(path for path in (Path(__file__).parent / "fixtures/roots").iterdir())
UNITS = re.compile(r"_(celsius|hertz|volts|ratio|bytes|per_minute|boot|voltage|events)$")
"""How a gauge's name ends: in its unit, or in what is counted or true."""
LOAD = '''
"""Load of the board, as one file."""
from pathlib import Path
from msgspec import Struct
from appliance.telemetry import Gauge

class Load(Struct, frozen=True, kw_only=True):
    "How busy the board is."
    one_minute: float

READING = Load

class LoadCollector:
    def __init__(self, root: Path) -> None:
        self._file = root / "proc/loadavg"

    def collect(self):
        return Load(one_minute=float(self._file.read_text().split()[0]))

create = LoadCollector

def gauges(reading):
    yield Gauge("load_ratio", "Processes that want to run.", {(): reading.one_minute})

def describe(reading):
    yield f"load         {reading.one_minute}"
'''


def read(root: Path) -> Snapshot:
    return Telemetry.over(root, ManualClock()).snapshot()


@pytest.mark.parametrize("name", KINDS)
def test_what_it_reads_has_a_name_of_its_own_and_a_sentence(name: str) -> None:
    module = load(KINDS[name])
    assert issubclass(module.READING, msgspec.Struct)
    assert module.READING.__doc__
    assert name not in {field.name for field in msgspec.structs.fields(HealthMessage)}
    assert list(reading_structs().values()).count(module.READING) == 1


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
@pytest.mark.parametrize("name", KINDS)
def test_it_reads_tells_and_describes_every_board(name: str, root: Path) -> None:
    module = load(KINDS[name])
    collector = module.create(root)
    first, second = collector.collect(), collector.collect()
    if first is None:
        return
    assert isinstance(first, module.READING)
    if name != "memory":  # ours, which moves
        assert first == second  # nothing is kept from one look to the next
    told: list[Gauge] = list(module.gauges(first))
    for one in told:
        assert re.fullmatch(r"[a-z][a-z0-9_]+", one.name)
        assert UNITS.search(one.name), one.name
        assert one.text.endswith(".")
        for key, value in one.values.items():
            assert len(key) == len(one.labels)
            assert value is None or math.isfinite(float(value))
    lines = list(module.describe(first))
    assert all(re.match(r"\S.{11} \S", line) for line in lines), lines
    again = unflattened(json.loads(msgspec.json.encode(Snapshot(
        readings={name: first}, collectors=read(root).collectors).flat())))  # fmt: skip
    assert again.readings == {name: first}


@pytest.mark.parametrize("name", KINDS)
def test_a_machine_without_it_has_none(name: str, tmp_path: Path) -> None:
    assert load(KINDS[name]).create(tmp_path).collect() is None


@pytest.mark.parametrize("name", KINDS)
def test_rubbish_is_an_error_or_nothing_and_never_a_number(name: str, tmp_path: Path) -> None:
    """Every file of every board, with rubbish in it."""
    for root in ROOTS:
        for file in (one for one in root.rglob("*") if one.is_file()):
            copy = tmp_path / root.name / file.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(b"\xff rubbish")
        try:
            reading = load(KINDS[name]).create(tmp_path / root.name).collect()
        except PartialReading as error:
            reading = error.reading
        except (OSError, ValueError, LookupError):
            continue
        values = [
            value
            for one in (load(KINDS[name]).gauges(reading) if reading is not None else ())
            for value in one.values.values()
        ]
        assert not [value for value in values if value]


def test_gauges_do_not_share_names() -> None:
    names = [one.name for root in ROOTS for one in gauges(read(root).readings)]
    by_board = [[one.name for one in gauges(read(root).readings)] for root in ROOTS]
    assert names
    assert all(len(set(board)) == len(board) for board in by_board)


def test_one_of_another_package_is_told_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "appliance.telemetry", "load", "board_load", LOAD)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/loadavg").write_text("1.25 0.5 0.25 1/100 4711\n")
    snapshot = read(tmp_path)
    assert "load         1.25" in describe(snapshot)
    assert [one.name for one in gauges(snapshot.readings)] == ["load_ratio"]
    properties = json_schema("health")["$defs"]["HealthMessage"]["properties"]
    assert properties["load"]["anyOf"][0] in ({"$ref": "#/$defs/Load"}, {"type": "null"})
    memory = MemoryOutlet()
    scene = stage(Direct(memory))
    scene.publish_health()
    latest = memory.latest("health")
    assert latest is not None
    told = json.loads(latest.payload)
    assert told["load"] is None  # a Pi 4 on paper has no such file
    assert "FileNotFoundError" in told["collectors"]["load"]["error"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("import nothing_like_it", "its package cannot be loaded"),
        (LOAD.replace(".split()[0])", ".split())"), "TypeError"),
        (LOAD.replace("READING = Load", ""), "its package cannot be loaded"),
        (LOAD.replace("root / ", "root.missing / "), "it cannot be made: AttributeError"),
        (LOAD.replace("float(self._file.read_text().split()[0])", "object()"), "TypeError"),
    ],
)
def test_one_that_is_broken_is_told_and_ends_nothing(
    content: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "appliance.telemetry", "load", "board_load", content)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/loadavg").write_text("1.25 0.5 0.25 1/100 4711\n")
    snapshot = read(tmp_path)
    assert words in snapshot.collectors["load"].error
    assert "load" not in snapshot.readings
    assert snapshot.collectors["thermal"].success


def test_one_whose_words_and_metrics_fail_costs_only_those(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = LOAD.replace("    yield Gauge", "    reading.nothing\n    yield Gauge")
    content = content.replace("    yield f", "    reading.nothing\n    yield f")
    install(tmp_path, monkeypatch, "appliance.telemetry", "load", "board_load", content)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/loadavg").write_text("1.25 0.5 0.25 1/100 4711\n")
    (tmp_path / "sys/class/thermal/thermal_zone0").mkdir(parents=True)
    (tmp_path / "sys/class/thermal/thermal_zone0/type").write_text("cpu-thermal\n")
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").write_text("50000\n")
    snapshot = read(tmp_path)
    assert snapshot.flat()["load"].one_minute == 1.25
    assert "temperature_celsius" in {one.name for one in gauges(snapshot.readings)}
    assert any(line.startswith("temperature  50.0") for line in describe(snapshot))
