"""What the probe says of every board and stick of the comparison, from trees of their files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.accelerators import ROOM, Machine, Registry
from appliance.board.machine import module_version
from appliance.cli import main
from appliance.errors import UsageError
from appliance.extensions import kinds

FIXTURES = Path(__file__).parent / "fixtures"
PLACES = kinds(ROOM)
ROOTS = sorted(path.name for path in (FIXTURES / "roots").iterdir())
EXPECTED = FIXTURES / "expected_probe.json"
RUNTIMES = ["ai_edge_litert.interpreter", "ncnn", "openvino", "onnxruntime", "tensorflow"]
VARYING = {"cpu", "ncnn", "openvino", "onnx", "tensorflow"}
"""Runtimes that are found by what is installed here; their devices still count."""


def probe(root: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["probe", "--json", "--root", str(FIXTURES / "roots" / root)]) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


@pytest.mark.parametrize("root", ROOTS)
def test_a_board_is_described_exactly(
    root: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The expected file was read and judged by a person; APPLIANCE_UPDATE_GOLDEN=1 writes it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # fetched models change what is said
    rows = probe(root, capsys)["accelerators"]
    assert [row["name"] for row in rows] == list(PLACES)
    got = [
        {key: row[key] for key in (("name", "devices") if row["name"] in VARYING else row)}
        for row in rows
        if row["devices"]
    ]
    expected = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    if os.environ.get("APPLIANCE_UPDATE_GOLDEN"):
        expected[root] = got
        EXPECTED.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
    assert got == expected[root]


def test_a_bare_machine_lists_everything_with_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    rows = probe("empty", capsys)["accelerators"]
    assert [row["name"] for row in rows] == list(PLACES)
    for row in rows:
        assert row["detail"]
        assert not row["devices"]


def test_it_loads_no_runtime() -> None:
    """Looking costs little: what takes seconds to load is loaded where it is used."""
    code = "import sys; from appliance.cli import main; main(['probe'])\n"
    code += f"print([name for name in {RUNTIMES} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("root", "name", "said"),
    [
        ("pi5-coral-pcie", "edgetpu", "/dev/apex_0 may not be opened: join group apex"),
        ("pi5-hailo8", "hailo", "/dev/hailo0 may not be opened"),
        ("rk3588-vendor", "rknn", "/dev/dri/renderD129 may not be opened: join groups video"),
        ("rk3588-mainline", "teflon", "may not be opened: join group render"),
        ("vim3-vendor", "vx", "may not be opened: join group video"),
        ("pi4-jevois", "jevois", "/dev/ttyACM0 may not be opened: join group dialout"),
        ("x86-intel", "openvino", "no permission, join group render"),
    ],
)
def test_a_device_without_permission(
    root: str, name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = PLACES[name].partition(":")[0]
    monkeypatch.setattr(f"{module}.openable", lambda _path: False)
    finding = Registry().probe(name, Machine(FIXTURES / "roots" / root))
    assert finding.devices
    if name == "openvino" and module_version("openvino") is None:
        pytest.skip("openvino is not installed")
    assert said in finding.detail


def test_teflon_is_found_with_its_driver_and_a_model_that_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The row of the table above that a fetched model changes; a stand-in of it is enough here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    finding = Registry().get("teflon").probe(Machine(FIXTURES / "roots/rk3588-mainline"))
    assert finding.found
    rows = probe("rk3588-mainline", capsys)["accelerators"]
    (row,) = [row for row in rows if row["name"] == "teflon"]
    assert "appliance models fetch ssd_mobilenet_v2_coco_quant_postprocess" in row["detail"]


@pytest.mark.parametrize("content", [b"\x7fELF etnaviv\0", b""])
def test_debians_teflon_has_no_driver_for_rocket(content: bytes, tmp_path: Path) -> None:
    """What trixie's libteflon.so of Mesa 25.0.7 has: etnaviv's name in it, rocket's not."""
    root = tmp_path / "root"
    shutil.copytree(FIXTURES / "roots/rk3588-mainline", root, symlinks=True)
    (root / "usr/lib/teflon/libteflon.so").write_bytes(content)
    detail = Registry().get("teflon").probe(Machine(root)).detail
    assert "libteflon.so has no driver for it: rocket needs mesa-teflon-delegate 25.3" in detail
    (root / "usr/lib/teflon/libteflon.so").unlink()
    assert "25.3 or later" in Registry().get("teflon").probe(Machine(root)).detail


def test_a_usb_stick_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.accelerators.edgetpu.openable", lambda _path: False)
    stick = tmp_path / "sys/bus/usb/devices/1-1"
    stick.mkdir(parents=True)
    for name, text in (
        ("idVendor", "18d1"), ("idProduct", "9302"), ("busnum", "2"), ("devnum", "7"),
    ):  # fmt: skip
        (stick / name).write_text(text + "\n")
    node = tmp_path / "dev/bus/usb/002/007"
    node.parent.mkdir(parents=True)
    node.touch()
    finding = Registry().probe("edgetpu", Machine(tmp_path))
    assert "/dev/bus/usb/002/007 may not be opened: install the udev rule" in finding.detail


def test_unreadable_files_are_no_devices(tmp_path: Path) -> None:
    (tmp_path / "sys/bus/usb/devices/1-1/idVendor").mkdir(parents=True)  # a folder, not a file
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/compatible").write_bytes(b"\xff\xfe\0")
    for name in PLACES:
        assert not Registry().probe(name, Machine(tmp_path)).devices


def test_a_root_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "--root", "/no/such/root"]) == UsageError.exit_code
    assert "--root /no/such/root: is no folder" in capsys.readouterr().err
