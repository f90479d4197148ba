"""Every board gives exactly its readings; what is broken is silent and counted, never zero."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.board.firmware import Firmware
from appliance.clock import ManualClock
from appliance.extensions import kinds
from appliance.heat.causes import Causes
from appliance.telemetry import PartialReading, Snapshot, Telemetry
from appliance.telemetry.cooling import Cooling, CoolingCollector
from appliance.telemetry.supply import SupplyCollector
from appliance.telemetry.thermal import Thermal
from appliance.telemetry.throttle import ThrottleCollector

ROOTS = Path(__file__).parent / "fixtures/roots"
EXPECTED = Path(__file__).parent / "fixtures/expected_readings.json"
BOARDS = ("pi3b+", "pi4", "pi4-undervolt", "pi5", "jetson-nano", "jetson-orin", "coral-dev",
          "rk3588", "x86", "empty")  # fmt: skip


def read(root: Path) -> Snapshot:
    return Telemetry.over(root, ManualClock()).snapshot()


def plain(snapshot: Snapshot) -> dict[str, Any]:
    rows: dict[str, Any] = msgspec.to_builtins(snapshot.flat())
    rows["causes"] = Causes().look(snapshot)
    rows["memory"] = rows["memory"] is not None  # ours, not the board's
    return json.loads(json.dumps(rows))  # type: ignore[no-any-return]


@pytest.mark.parametrize("board", BOARDS)
def test_a_board_gives_exactly_its_readings(board: str) -> None:
    """The expected file was read and judged by a person; APPLIANCE_UPDATE_GOLDEN=1 writes it."""
    got = plain(read(ROOTS / board))
    expected = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    if os.environ.get("APPLIANCE_UPDATE_GOLDEN"):
        expected[board] = got
        EXPECTED.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
    assert got == expected[board]


@pytest.mark.parametrize("content", ["", "x", "-", "1e3", "\0\0", "12 34"])
@pytest.mark.parametrize(
    ("board", "file", "collector"),
    [
        ("pi4", "sys/class/thermal/thermal_zone0/temp", "thermal"),
        ("pi4", "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "frequency"),
        ("pi4", "sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled",
         "throttle"),
        ("pi4", "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "supply"),
        ("pi5", "sys/class/hwmon/hwmon2/pwm1", "fan"),
        ("rk3588", "sys/class/thermal/cooling_device1/cur_state", "cooling"),
        ("coral-dev", "sys/class/apex/apex_0/temp", "accelerators"),
    ],
)  # fmt: skip
def test_garbage_is_a_failed_collector_and_never_a_number(
    board: str, file: str, collector: str, content: str, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(ROOTS / board, root)
    (root / file).write_text(content)
    snapshot = read(root)
    if collector == "throttle" and content == "1e3":
        return  # hexadecimal there
    assert not snapshot.collectors[collector].success
    assert snapshot.collectors[collector].error
    others = set(snapshot.collectors) - {collector}
    assert all(snapshot.collectors[name].success for name in others)
    whole = plain(read(ROOTS / board))
    for name in others - {"memory"}:
        assert plain(snapshot)[name] == whole[name]


def test_one_bad_zone_leaves_the_others(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(ROOTS / "jetson-nano", root)
    (root / "sys/class/thermal/thermal_zone2/temp").write_text("-89700\n")
    snapshot = read(root)
    thermal, whole = snapshot.get(Thermal), read(ROOTS / "jetson-nano").get(Thermal)
    assert thermal is not None
    assert whole is not None
    assert len(thermal.zones_celsius) == len(whole.zones_celsius) - 1
    assert "cannot be right" in snapshot.collectors["thermal"].error


def test_denied_is_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal is made here."""

    def denied(path: Path, *arguments: Any, **options: Any) -> str:
        if path.name == "temp":
            raise PermissionError(13, "Permission denied")
        return original(path, *arguments, **options)

    original = Path.read_text
    telemetry = Telemetry.over(ROOTS / "pi4", ManualClock())
    monkeypatch.setattr(Path, "read_text", denied)
    snapshot = telemetry.snapshot()
    assert snapshot.get(Thermal) is None
    assert "Permission denied" in snapshot.collectors["thermal"].error


@pytest.mark.parametrize("number", [11, 22, 61])
def test_a_sensor_that_is_off_is_absent_not_failed(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(path: Path, *arguments: Any, **options: Any) -> str:
        if path.name == "temp" and path.parent.name == "thermal_zone0":
            raise OSError(number, os.strerror(number))
        return original(path, *arguments, **options)

    original = Path.read_text
    telemetry = Telemetry.over(ROOTS / "jetson-orin", ManualClock())
    monkeypatch.setattr(Path, "read_text", off)
    snapshot = telemetry.snapshot()
    assert snapshot.get(Thermal) is not None
    assert snapshot.collectors["thermal"].success


def test_a_counter_is_read_as_it_is(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(ROOTS / "x86", root)
    counter = root / "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
    collector = CoolingCollector(root)
    name = "cpu0 core_throttle_count"
    for value in ("7", "9", "9", "0"):
        counter.write_text(value)
        for _ in range(2):  # nothing is kept from one look to the next
            reading = collector.collect()
            assert reading is not None
            assert reading.events_total[name] == int(value)
    counter.unlink()
    reading = collector.collect()  # off-line
    assert reading is not None
    assert name not in reading.events_total
    counter.write_text("rubbish")
    with pytest.raises(PartialReading) as caught:
        collector.collect()
    assert isinstance(caught.value.reading, Cooling)
    assert name not in caught.value.reading.events_total


def test_packages_are_counted_once(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for cpu in range(4):
        folder = root / f"sys/devices/system/cpu/cpu{cpu}"
        (folder / "thermal_throttle").mkdir(parents=True)
        (folder / "topology").mkdir()
        (folder / "thermal_throttle/package_throttle_count").write_text("10\n")
        (folder / "topology/physical_package_id").write_text(f"{cpu // 2}\n")
    reading = CoolingCollector(root).collect()
    assert reading is not None
    assert sum(reading.events_total.values()) == 20


def test_what_cannot_be_read_is_unknown_not_over(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(ROOTS / "pi4-undervolt", root)
    telemetry = Telemetry.over(root, ManualClock())
    assert Causes().look(telemetry.snapshot()) == ("under_voltage", "throttled")
    (flags,) = (root / "sys/bus/platform/drivers/raspberrypi-firmware").glob("*/get_throttled")
    flags.write_text("rubbish\n")
    assert Causes().look(telemetry.snapshot()) is None


@pytest.mark.parametrize("content", ["", "foo:\n", "MemTotal: 1 kB\n", "x: y z\n"])
def test_odd_memory_files_fail_their_collector_only(content: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(ROOTS / "pi4", root)
    (root / "proc/meminfo").write_text(content)
    snapshot = read(root)
    assert not snapshot.collectors["memory"].success
    assert snapshot.get(Thermal) is not None


def test_a_mailbox_that_refuses_leaves_the_file(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(ROOTS / "pi4", root)
    (root / "dev").mkdir()
    (root / "dev/vcio").touch()

    def refuse(_descriptor: int, _request: int, _buffer: bytearray) -> int:
        raise PermissionError(1, "Operation not permitted")

    reading = ThrottleCollector(root, Firmware(root, refuse)).collect()
    assert reading is not None
    assert reading.source == "sysfs"


def test_rails_of_a_pi_5(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(ROOTS / "pi5", root)
    (root / "dev").mkdir(exist_ok=True)
    (root / "dev/vcio_gencmd").touch()
    lines = "VDD_CORE_A current(7)=1.42880000A\nEXT5V_V volt(24)=5.05700000V\n"

    def ioctl(_descriptor: int, _request: int, buffer: bytearray) -> int:
        assert buffer[24:37] == b"pmic_read_adc"
        buffer[4:8] = (0x80000000).to_bytes(4, "little")
        buffer[24 : 24 + len(lines)] = lines.encode()
        return 0

    reading = SupplyCollector(root, Firmware(root, ioctl)).collect()
    assert reading is not None
    assert reading.volts == {"EXT5V_V": 5.057}


@given(st.binary(max_size=40))
def test_no_content_breaks_a_collector(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for file in (
            "sys/class/thermal/thermal_zone0/type", "sys/class/thermal/thermal_zone0/temp",
            "sys/class/thermal/cooling_device0/type", "sys/class/hwmon/hwmon0/name",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "proc/meminfo",
            "proc/device-tree/compatible", "sys/class/apex/apex_0/temp",
            "sys/devices/system/cpu/cpu0/cpufreq/stats/time_in_state",
        ):  # fmt: skip
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        assert read(root).collectors.keys() == kinds("appliance.telemetry").keys()


@pytest.mark.parametrize("board", BOARDS)
def test_a_poll_starts_no_process(board: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    telemetry = Telemetry.over(ROOTS / board, ManualClock())

    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("a process was started")

    for module, name in ((os, "fork"), (os, "posix_spawn"), (os, "system"), (subprocess, "Popen")):
        monkeypatch.setattr(module, name, refuse)
    telemetry.snapshot()
