"""Collectors read the trees of real boards; absent, failed and zero stay apart."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from pathlib import Path

import pytest

from appliance.board.firmware import Firmware
from appliance.clock import ManualClock
from appliance.telemetry import Snapshot, Telemetry
from appliance.telemetry.frequency import Frequency
from appliance.telemetry.memory import Memory
from appliance.telemetry.thermal import Thermal
from appliance.telemetry.throttle import Throttle, ThrottleCollector

ROOTS = Path(__file__).parent / "fixtures" / "roots"


def read(board: str) -> Snapshot:
    return Telemetry.over(ROOTS / board, ManualClock()).snapshot()


@pytest.mark.parametrize(
    ("board", "celsius", "current_mhz", "maximum_mhz"),
    [
        ("pi4", 52.095, 1500, 1500),
        ("pi5", 58.2, 2400, 2400),
        ("pi3b+", 63.37, 1200, 1400),
        ("jetson-nano", 36.5, 1479, 1479),
        ("rk3588", 44.384, 1800, 2256),
        ("coral-dev", 47.0, 1500, 1500),
        ("x86", 49.0, 2100, 3400),
    ],
)
def test_temperature_and_frequency(
    board: str, celsius: float, current_mhz: int, maximum_mhz: int
) -> None:
    snapshot = read(board)
    thermal, frequency = snapshot.get(Thermal), snapshot.get(Frequency)
    assert thermal is not None
    assert frequency is not None
    assert thermal.temperature_celsius == celsius
    assert frequency.current_hertz == current_mhz * 1_000_000
    assert frequency.hardware_maximum_hertz == maximum_mhz * 1_000_000
    assert all(status.success for status in snapshot.collectors.values())


def test_jetsons_constant_zone_is_left_out() -> None:
    thermal = read("jetson-nano").get(Thermal)
    assert thermal is not None
    assert "PMIC-Die" not in thermal.zones_celsius


@pytest.mark.parametrize(
    ("board", "now", "since_boot"),
    [
        ("pi4", (), ()),
        ("pi4-undervolt", ("under_voltage", "throttled"), ("under_voltage", "throttled")),
        ("pi5", ("soft_temperature_limit",), ("soft_temperature_limit",)),
    ],
)
def test_throttle_flags_from_sysfs(
    board: str, now: tuple[str, ...], since_boot: tuple[str, ...]
) -> None:
    throttle = read(board).get(Throttle)
    assert throttle is not None
    assert (throttle.now, throttle.since_boot, throttle.source) == (now, since_boot, "sysfs")


def test_sysfs_flags_tell_what_this_read_saw(tmp_path: Path) -> None:
    """What was seen longer ago is remembered by who looks again and again."""
    shutil.copytree(ROOTS / "pi4", tmp_path / "root")
    (flags,) = (tmp_path / "root/sys/bus/platform/drivers/raspberrypi-firmware").glob(
        "*/get_throttled"
    )
    collector = ThrottleCollector(tmp_path / "root")
    told = []
    for content in ("0\n", "40001\n", "0\n"):
        flags.write_text(content)
        reading = collector.collect()
        assert reading is not None
        assert reading == collector.collect()
        told.append((reading.now, reading.since_boot))
    assert told == [((), ()), (("under_voltage",), ("under_voltage", "throttled")), ((), ())]


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """Return the file of our kernel module (deploy/kernel), on a Pi with Debian's kernel."""
    folder = tmp_path / "root/sys/bus/platform/drivers/rpi-readings/rpi-readings"
    folder.mkdir(parents=True)
    (folder / "get_throttled").write_text("0\n")
    return folder / "get_throttled"


@pytest.mark.parametrize(
    ("word", "now", "since_boot"),
    [
        ("0\n", (), ()),
        (
            "d0008\n",  # no 0x; the upper bits are the firmware's own, not ours
            ("soft_temperature_limit",),
            ("under_voltage", "throttled", "soft_temperature_limit"),
        ),
    ],
)
def test_our_module_tells_what_debians_kernel_does_not(
    tmp_path: Path, module: Path, word: str, now: tuple[str, ...], since_boot: tuple[str, ...]
) -> None:
    module.write_text(word)
    reading = ThrottleCollector(tmp_path / "root").collect()
    assert reading is not None
    assert (reading.now, reading.since_boot, reading.source) == (now, since_boot, "module")


def test_the_module_may_be_loaded_after_the_daemon_started(tmp_path: Path) -> None:
    collector = ThrottleCollector(tmp_path / "root")
    assert collector.collect() is None
    folder = tmp_path / "root/sys/bus/platform/drivers/rpi-readings/rpi-readings"
    folder.mkdir(parents=True)
    (folder / "get_throttled").write_text("1\n")
    reading = collector.collect()
    assert reading is not None
    assert reading.now == ("under_voltage",)


def refuse(number: int) -> object:
    def read_text(path: Path, *_: object) -> str:
        raise OSError(number, os.strerror(number), str(path))

    return read_text


def test_a_firmware_without_the_flags_tells_nothing(
    tmp_path: Path, module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU's answers so, and very old ones may: unknown, not "no", and no fault."""
    monkeypatch.setattr(type(module), "read_text", refuse(errno.EOPNOTSUPP))
    assert ThrottleCollector(tmp_path / "root").collect() is None


def test_a_firmware_that_does_not_answer_the_module_is_a_fault(
    tmp_path: Path, module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(module), "read_text", refuse(errno.ETIMEDOUT))
    with pytest.raises(TimeoutError):
        ThrottleCollector(tmp_path / "root").collect()


def fake_mailbox(word: int, calls: list[int]) -> object:
    """Answer as the firmware does; layout from boards-thermals facts, contract only."""

    def ioctl(_descriptor: int, request: int, buffer: bytearray) -> int:
        (tag,) = struct.unpack_from("<I", buffer, 8)
        calls.append(tag)
        assert request & 0xFFFF == 0x6400
        struct.pack_into("<I", buffer, 4, 0x80000000)
        if tag == 0x00030046:
            assert len(buffer) == 28
            struct.pack_into("<I", buffer, 20, word)
        else:
            assert len(buffer) == 4124
            assert buffer[24:37] == b"get_throttled"
            answer = f"throttled={word:#x}\0".encode()
            buffer[24 : 24 + len(answer)] = answer
        return 0

    return ioctl


@pytest.mark.parametrize(("node", "tag"), [("vcio", 0x00030046), ("vcio_gencmd", 0x00030080)])
def test_the_mailbox_is_asked_first(tmp_path: Path, node: str, tag: int) -> None:
    shutil.copytree(ROOTS / "pi4", tmp_path / "root")
    (tmp_path / "root/dev").mkdir()
    (tmp_path / "root/dev" / node).write_bytes(b"")
    calls: list[int] = []
    mailbox = Firmware(tmp_path / "root", fake_mailbox(0xE0008, calls))  # type: ignore[arg-type]
    collector = ThrottleCollector(tmp_path / "root", mailbox)
    reading = collector.collect()
    assert reading is not None
    assert reading.source == "mailbox"
    assert reading.now == ("soft_temperature_limit",)
    assert reading.since_boot == ("frequency_capped", "throttled", "soft_temperature_limit")
    assert calls == [tag]


def test_nothing_there_is_nothing_not_zero_and_no_failure() -> None:
    snapshot = read("empty")
    assert (
        snapshot.get(Thermal),
        snapshot.get(Frequency),
        snapshot.get(Throttle),
        snapshot.get(Memory),
    ) == (None,) * 4
    assert all(status.success for status in snapshot.collectors.values())


def test_garbage_fails_its_collector_only(tmp_path: Path) -> None:
    shutil.copytree(ROOTS / "pi4", tmp_path / "root")
    (tmp_path / "root/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq").write_text("rubbish\n")
    snapshot = Telemetry.over(tmp_path / "root", ManualClock()).snapshot()
    assert snapshot.get(Frequency) is None
    assert not snapshot.collectors["frequency"].success
    assert "ValueError" in snapshot.collectors["frequency"].error
    assert snapshot.get(Thermal) is not None


@pytest.mark.parametrize("raw", ["-89700\n", "999000\n", "", "x\n"])
def test_a_dead_sensor_is_no_temperature(tmp_path: Path, raw: str) -> None:
    shutil.copytree(ROOTS / "pi4", tmp_path / "root")
    (tmp_path / "root/sys/class/thermal/thermal_zone0/temp").write_text(raw)
    assert Telemetry.over(tmp_path / "root", ManualClock()).snapshot().get(Thermal) is None
