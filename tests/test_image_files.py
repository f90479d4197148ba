"""What the images are made from, as far as it can be checked without building them."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from tests.helpers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = ROOT / "deploy/image"
SCRIPTS = sorted(
    path
    for folder in ("deploy", "scripts", "tests", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.is_file()
    and (path.suffix == ".sh" or path.read_bytes()[:9] in {b"#!/bin/sh", b"#!/bin/ba"})
)
ENTRY: dict[str, Any] = {
    "type": "object",
    "required": [
        "name", "description", "icon", "url", "extract_size", "extract_sha256",
        "image_download_size", "release_date", "devices",
    ],
    "properties": {
        "name": {"type": "string"},
        "description": {"type": "string"},
        "icon": {"type": "string", "format": "uri"},
        "url": {"type": "string", "format": "uri"},
        "extract_size": {"type": "integer", "minimum": 1},
        "extract_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "image_download_size": {"type": "integer", "minimum": 1},
        "image_download_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "release_date": {"type": "string", "format": "date"},
        "init_format": {"enum": ["none", "systemd", "cloudinit", "cloudinit-rpi", "rpi-preseed"]},
        "devices": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "capabilities": {
            "type": "array",
            "items": {
                "enum": [
                    "i2c", "spi", "onewire", "serial", "usb_otg", "rpi_connect", "secure_boot",
                    "passwordless_sudo",
                ]
            },
        },
        "architecture": {"type": "string"},
    },
}  # fmt: skip
"""What Raspberry Pi Imager 2.0 takes (its doc/json-schema and sources), in our words."""
MANIFEST = {
    "type": "object",
    "required": ["os_list"],
    "properties": {"os_list": {"type": "array", "items": ENTRY, "minItems": 1}},
    "additionalProperties": False,
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_parse(script: Path) -> None:
    shell = "bash" if b"bash" in script.read_bytes()[:20] else "sh"
    subprocess.run([shell, "-n", script], check=True)


@pytest.mark.parametrize(
    ("words", "init_format", "devices"),
    [
        ([], "cloudinit", {"pi4-64bit", "pi3-64bit"}),
        (
            ["--format", "cloudinit-rpi", "--any-pi"],
            "cloudinit-rpi",
            {"pi5-64bit", "pi4-64bit", "pi3-64bit"},
        ),
    ],
)
def test_the_manifest_is_one_that_imager_takes(
    tmp_path: Path, words: list[str], init_format: str, devices: set[str]
) -> None:
    image, packed = tmp_path / "appliance.img", tmp_path / "appliance.img.zst"
    image.write_bytes(b"image" * 1000)
    packed.write_bytes(b"packed")
    done = subprocess.run(
        [sys.executable, IMAGE / "manifest.py", image, packed, *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    manifest = json.loads(done.stdout)
    jsonschema.validate(manifest, MANIFEST, format_checker=jsonschema.FormatChecker())
    entry = manifest["os_list"][0]
    assert entry["extract_sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert entry["extract_size"] == 5000 and entry["image_download_size"] == 6
    # Without it Imager offers no user, Wi-Fi or name.
    assert entry["init_format"] == init_format
    assert set(entry["devices"]) == devices


def test_the_bill_of_materials_has_debians_and_pythons_packages(tmp_path: Path) -> None:
    installed, tree = tmp_path / "installed", tmp_path / "tree"
    installed.write_text("zlib1g\t1:1.3+b1\tarm64\nadduser\t3.152\tall\n")
    told = tree / "opt/appliance/site-packages/paho_mqtt-2.1.0.dist-info/METADATA"
    told.parent.mkdir(parents=True)
    told.touch()
    (tree / "DEBIAN").mkdir()
    control = (
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    )
    (tree / "DEBIAN/control").write_text(control)
    subprocess.run(
        ["dpkg-deb", "--build", tree, tmp_path / "x.deb"], check=True, capture_output=True
    )
    done = subprocess.run(
        [sys.executable, IMAGE / "sbom.py", installed, tmp_path / "x.deb"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    bill = json.loads(done.stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert [one["purl"] for one in bill["components"]] == [
        "pkg:deb/debian/adduser@3.152?arch=all",
        "pkg:deb/debian/zlib1g@1:1.3%2Bb1?arch=arm64",
        "pkg:pypi/paho-mqtt@2.1.0",
    ]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_what_cloud_init_reads_is_yaml_of_the_right_shape() -> None:
    assert (IMAGE / "boot/user-data").read_text().startswith("#cloud-config\n")
    assert isinstance(load(IMAGE / "boot/user-data"), dict)
    assert load(IMAGE / "boot/network-config")["network"]["version"] == 2
    assert "instance-id" in load(IMAGE / "boot/meta-data")
    config = load(IMAGE / "overlay/etc/cloud/cloud.cfg.d/90-appliance.cfg")
    assert config["users"] == [] and "set_hostname" in config["cloud_init_modules"]


def test_partitions_are_called_the_same_everywhere() -> None:
    signature = re.search(r"0x([0-9a-f]{8})", (IMAGE / "genimage.cfg").read_text())
    assert signature
    for name in ("overlay/etc/fstab", "overlay/etc/default/raspi-firmware", "debian.sh"):
        found = set(re.findall(r"PARTUUID=([0-9a-f]{8})-0", (IMAGE / name).read_text()))
        assert found == {signature[1]}, name


def test_the_card_has_what_the_setup_calls() -> None:
    own = (IMAGE / "packages.txt").read_text().split()
    for package in ("mosquitto", "openssl", "avahi-daemon", "python3-systemd", "libnss-systemd"):
        assert package in own, package
