"""Why the platform is slowed, from snapshots: counters that move, flags, alarms; never invented."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.cli import telemetry as command
from appliance.heat.causes import Causes
from appliance.heat.watch import HeatPolicy, HeatState, Work
from appliance.telemetry import CollectorStatus, Snapshot, unflattened
from appliance.telemetry.cooling import Cooling, CoolingCollector
from appliance.telemetry.supply import Supply
from appliance.telemetry.thermal import Thermal
from appliance.telemetry.throttle import Throttle

if TYPE_CHECKING:
    from pathlib import Path

CORE, OVER_CURRENT, DROP = "cpu0 core_throttle_count", "soc oc2_event_cnt", "soc oc1_event_cnt"
SECOND = 1_000_000_000
COUNTS = st.dictionaries(st.sampled_from([CORE, OVER_CURRENT, DROP]), st.integers(0, 5))


def snapshot(failed: tuple[str, ...] = (), **readings: Any) -> Snapshot:
    names = {"throttle", "cooling", "supply", *readings}
    return Snapshot(
        readings=readings,
        collectors={
            name: CollectorStatus(success=name not in failed, duration_ms=0.1) for name in names
        },
    )


def cooling(*limited_by: str, **counts: int) -> Cooling:
    return Cooling(limited_by=limited_by, events_total=counts)


def counted(counts: dict[str, int]) -> Snapshot:
    return snapshot(cooling=Cooling(limited_by=(), events_total=counts))


def test_where_nothing_answered_in_time_nothing_is_known() -> None:
    causes = Causes()
    causes.look(counted({DROP: 1}))
    assert causes.look(counted({DROP: 2})) == ("under_voltage",)
    assert causes.look(Snapshot(collectors={})) is None
    assert causes.look(counted({DROP: 3})) == ("under_voltage",)


@given(st.lists(COUNTS, min_size=1, max_size=12))
def test_only_a_counter_that_moved_on_since_it_was_last_seen_is_a_cause(
    looks: list[dict[str, int]],
) -> None:
    causes, known = Causes(), dict[str, int]()
    for counts in looks:
        moved = {name for name, count in counts.items() if count > known.get(name, count)}
        known |= counts
        found = causes.look(counted(counts))
        assert found is not None
        assert ("thermal" in found) == (CORE in moved)
        assert ("throttled" in found) == (OVER_CURRENT in moved)
        assert ("under_voltage" in found) == (DROP in moved)
        assert causes.look(counted(counts)) == ()  # the same state again: nothing moved since


def test_a_board_of_counters_only_is_known_from_the_second_look_on() -> None:
    causes = Causes()
    only = [snapshot(cooling=Cooling(limited_by=None, events_total={CORE: n})) for n in (7, 7, 8)]
    assert [causes.look(one) for one in only] == [None, (), ("thermal",)]


def test_flags_of_the_firmware_count_and_nothing_else_beside_them() -> None:
    flags = Throttle(now=("throttled",), since_boot=("throttled",), source="sysfs")
    alarm = Supply(under_voltage=True, volts={})
    found = Causes().look(snapshot(throttle=flags, supply=alarm, cooling=cooling("cpufreq-cpu0")))
    assert found == ("throttled",)


@pytest.mark.parametrize(
    ("readings", "failed", "expected"),
    [
        ({}, (), None),
        ({"supply": Supply(under_voltage=None, volts={"5V": 5.0})}, (), None),
        ({"supply": Supply(under_voltage=False, volts={})}, (), ()),
        ({"supply": Supply(under_voltage=True, volts={})}, (), ("under_voltage",)),
        ({"cooling": cooling()}, (), ()),
        ({"cooling": Cooling(limited_by=None, events_total={})}, (), None),
        ({"cooling": Cooling(limited_by=None, events_total={CORE: 7})}, (), None),
        ({"cooling": cooling("cpufreq-cpu0")}, (), ("thermal",)),
        ({"cooling": cooling()}, ("cooling",), None),
        ({"cooling": cooling()}, ("throttle",), None),
        ({"supply": Supply(under_voltage=True, volts={})}, ("throttle",), None),
    ],
)
def test_what_nothing_tells_is_unknown_and_not_no(
    readings: dict[str, Any], failed: tuple[str, ...], expected: tuple[str, ...] | None
) -> None:
    assert Causes().look(snapshot(failed, **readings)) == expected


def test_a_recording_says_what_the_daemon_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same snapshots through the daemon's driver and through the command."""
    lines, told = [], []
    state = HeatState(HeatPolicy("act", min_fps=5.0))
    for number in range(60):
        celsius = 79.0 if number < 40 else 55.0
        taken = snapshot(
            thermal=Thermal(
                temperature_celsius=celsius, zones_celsius={}, limits_celsius={"soft": 80.0}
            ),
            cooling=Cooling(limited_by=(), events_total={CORE: min(number, 20)}),
        )
        at_ns = number * 10 * SECOND
        lines.append(msgspec.json.encode({"at_ns": at_ns, "snapshot": taken.flat()}))
        governor = state.governor
        state.window(Work(fps=(governor.target_fps if governor else None) or 10.0))
        told += [type(event).__name__ for event in state.poll(at_ns, taken)]
    path = tmp_path / "recording.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    records = list(command._read(path))
    assert [msgspec.json.encode(one.snapshot.flat()) for one in records] == [
        msgspec.json.encode(unflattened(json.loads(line)["snapshot"]).flat()) for line in lines
    ]
    events = list(command.replay(iter(records), fps=10.0, min_fps=5.0))
    names = ["Action" if one.kind == "governor" else "Transition" for one in events]
    assert names == told
    assert {"began", "ended", "governor"} == {one.kind for one in events}


@pytest.mark.parametrize(
    ("readings", "tells"),
    [
        ({}, False),
        ({"supply": Supply(under_voltage=False, volts={})}, False),
        ({"supply": Supply(under_voltage=True, volts={})}, False),
        ({"throttle": Throttle(now=(), since_boot=(), source="sysfs")}, True),
        ({"cooling": cooling()}, True),
        ({"cooling": Cooling(limited_by=None, events_total={})}, False),
    ],
)
def test_an_alarm_of_the_supply_says_nothing_of_heat(
    readings: dict[str, Any], *, tells: bool
) -> None:
    state = HeatState(HeatPolicy("off", min_fps=5.0))
    state.poll(0, snapshot(**readings))
    alarmed = bool(readings.get("supply") and readings["supply"].under_voltage)
    assert state.throttled is (True if alarmed else False if tells else None)


def test_under_voltage_ends_on_a_board_that_tells_nothing_else() -> None:
    state = HeatState(HeatPolicy("off", min_fps=5.0))
    kinds = []
    for number, alarm in enumerate((False, True, False)):
        taken = snapshot(supply=Supply(under_voltage=alarm, volts={}))
        kinds += [event.kind for event in state.poll(number * 10 * SECOND, taken)]  # type: ignore[union-attr]
    assert kinds == ["began", "ended"]


@pytest.mark.parametrize(
    ("kind", "most", "state", "expected"),
    [
        ("Processor", "0", "0", None),  # a virtual machine's, which limits nothing
        ("Processor", "10", "0", None),  # few machines ever ask ACPI for it
        ("Processor", "10", "3", ("Processor",)),
        ("cpufreq-cpu0", "4", "0", ()),
        ("cpufreq-cpu0", "4", "1", ("cpufreq-cpu0",)),
        ("pwm-fan", "4", "1", None),
    ],
)
def test_a_cooling_device_tells_only_what_it_can(
    kind: str, most: str, state: str, expected: tuple[str, ...] | None, tmp_path: Path
) -> None:
    device = tmp_path / "sys/class/thermal/cooling_device0"
    device.mkdir(parents=True)
    for name, text in (("type", kind), ("max_state", most), ("cur_state", state)):
        (device / name).write_text(f"{text}\n")
    reading = CoolingCollector(tmp_path).collect()
    assert (reading.limited_by if reading else None) == expected
