"""The unit's device list against the names that the kernel's drivers register.

systemd (src/core/bpf-devices.c, 247 to 257) makes a list of major and minor numbers when the unit
starts, and never again while it runs:

* ``char-NAME`` becomes the majors whose name in /proc/devices matches NAME as a shell pattern; a
  driver that is loaded later is not in it;
* ``char-NUMBER`` becomes that major whether or not a driver holds it already;
* ``/dev/NODE`` becomes the numbers of that node, and nothing where there is no such node.

So drivers with a major of their own are listed by number, the others are loaded first
(``modprobe@.service``). The names below are those of the sources, not of /sys/class.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UNIT = (ROOT / "deploy/debian/appliance.service").read_text()
RULES = (ROOT / "deploy/udev/65-appliance-accelerators.rules").read_text()


@dataclass(frozen=True)
class Driver:
    """A driver: its name in /proc/devices, its own major if it has one, its module, the source."""

    name: str
    major: int | None
    module: str
    source: str


GROUPS = (
    Driver("video4linux", 81, "videodev", "linux, include/media/v4l2-dev.h VIDEO_MAJOR"),
    Driver("ttyACM", 166, "cdc_acm", "linux, drivers/usb/class/cdc-acm.h ACM_TTY_MAJOR"),
    Driver("usb_device", 189, "usbcore", "linux, include/linux/usb.h USB_DEVICE_MAJOR"),
    Driver("drm", 226, "drm", "linux, include/drm/drm_file.h DRM_MAJOR"),
    Driver("accel", 261, "drm", "linux, include/drm/drm_accel.h ACCEL_MAJOR"),
    Driver("apex", 120, "apex", "gasket-driver, apex_driver.c apex_desc"),
    Driver("galcore", 199, "galcore", "galcore, gc_hal_kernel_driver.c register_chrdev"),
    Driver("media", None, "mc", "linux, drivers/media/mc/mc-devnode.c alloc_chrdev_region"),
    Driver("hailo", None, "hailo_pci", "hailort-drivers 4.20 to 5.0, common/pcie_common.h"),
    Driver("hailo1x", None, "hailo1x_pci", "hailort-drivers 5.1.1 to 5.3, common/pcie_common.h"),
)
NODES = {
    "/dev/vcio": "linux of Raspberry Pi, drivers/char/broadcom/vcio.c misc_register",
    "/dev/dma_heap/linux,cma": "linux, drivers/dma-buf/heaps/cma_heap.c",
    "/dev/dma_heap/system": "linux, drivers/dma-buf/heaps/system_heap.c",
    "/dev/udmabuf": "linux, drivers/dma-buf/udmabuf.c misc_register",
    "/dev/rknpu": "linux of Rockchip, drivers/rknpu/rknpu_drv.c misc_register",
    "/dev/galcore": "galcore built with USE_MISC, gc_hal_kernel_driver.c misc_register",
    "/dev/nvmap": "linux of NVIDIA, drivers/video/tegra/nvmap/nvmap_dev.c misc_register",
    "/dev/nvhost-ctrl": "linux of NVIDIA, drivers/video/tegra/host/bus_client.c",
    "/dev/nvhost-gpu": "nvgpu, os/linux/ioctl.c",
    "/dev/nvhost-ctrl-gpu": "nvgpu, os/linux/ioctl.c",
    "/dev/nvhost-as-gpu": "nvgpu, os/linux/ioctl.c",
    "/dev/nvhost-dbg-gpu": "nvgpu, os/linux/ioctl.c",
    "/dev/nvhost-prof-gpu": "nvgpu, os/linux/ioctl.c",
    "/dev/nvhost-sched-gpu": "nvgpu, os/linux/ioctl.c",
    "/dev/nvhost-nvsched-gpu": "nvgpu, os/linux/ioctl.c",
    "/dev/nvhost-power-gpu": "nvgpu, os/linux/ioctl.c",
    "/dev/nvhost-tsg-gpu": "nvgpu, os/linux/ioctl.c",
    "/dev/nvgpu/igpu0/as": "nvgpu, os/linux/ioctl.c (JetPack 5 on)",
    "/dev/nvgpu/igpu0/channel": "nvgpu, os/linux/ioctl.c (JetPack 5 on)",
    "/dev/nvgpu/igpu0/ctrl": "nvgpu, os/linux/ioctl.c (JetPack 5 on)",
    "/dev/nvgpu/igpu0/ctxsw": "nvgpu, os/linux/ioctl.c (JetPack 5 on)",
    "/dev/nvgpu/igpu0/dbg": "nvgpu, os/linux/ioctl.c (JetPack 5 on)",
    "/dev/nvgpu/igpu0/power": "nvgpu, os/linux/ioctl.c (JetPack 5 on)",
    "/dev/nvgpu/igpu0/prof": "nvgpu, os/linux/ioctl.c (JetPack 5 on)",
    "/dev/nvgpu/igpu0/prof-ctx": "nvgpu, os/linux/ioctl.c (JetPack 5 on)",
    "/dev/nvgpu/igpu0/prof-dev": "nvgpu, os/linux/ioctl.c (JetPack 5 on)",
    "/dev/nvgpu/igpu0/sched": "nvgpu, os/linux/ioctl.c (JetPack 5 on)",
    "/dev/nvgpu/igpu0/nvsched": "nvgpu, os/linux/ioctl.c (JetPack 5 on)",
    "/dev/nvgpu/igpu0/tsg": "nvgpu, os/linux/ioctl.c (JetPack 5 on)",
}
LOADED_BY_THE_NODE = {"nvmap", "nvgpu", "udmabuf"}
"""Modules of nodes above, loaded before the unit starts so that the nodes are there."""


def allowed(unit: str = UNIT) -> list[str]:
    return re.findall(r"^DeviceAllow=(\S+) rw$", unit, re.MULTILINE)


def proc_devices(*drivers: Driver) -> str:
    """A /proc/devices in which those drivers are registered; free majors go downwards from 511."""
    numbered = enumerate(drivers)
    rows = [f"{one.major or 511 - number:3} {one.name}" for number, one in numbered]
    return "\n".join(["Character devices:", "  1 mem", *rows, "", "Block devices:", "259 blkext"])


def majors(entries: list[str], devices: str) -> set[str]:
    """The names of the drivers whose nodes the unit may open, as systemd would decide."""
    rows = [line.split() for line in devices.partition("\n\n")[0].splitlines()[1:]]
    patterns = [entry.removeprefix("char-") for entry in entries if entry.startswith("char-")]
    return {
        name
        for number, name in rows
        for pattern in patterns
        if (number == pattern if pattern.isdigit() else fnmatch.fnmatchcase(name, pattern))
    }


def test_every_driver_is_allowed_by_the_name_it_registers() -> None:
    assert majors(allowed(), proc_devices(*GROUPS)) == {one.name for one in GROUPS}


@pytest.mark.parametrize("driver", GROUPS, ids=lambda one: one.name)
def test_a_driver_that_comes_later_is_allowed(driver: Driver) -> None:
    """By its own number, or it is loaded before the list is made."""
    wanted, after = (
        re.findall(rf"^{word}=.*\bmodprobe@{driver.module}\.service\b", UNIT, re.MULTILINE)
        for word in ("Wants", "After")
    )
    assert f"char-{driver.major}" in allowed() or (wanted and after)


def test_the_list_names_nothing_that_no_driver_registers() -> None:
    entries = allowed()
    groups = {one for one in entries if one.startswith("char-")}
    known = {f"char-{one.major or one.name}" for one in GROUPS}
    assert groups == known
    assert set(entries) - groups == set(NODES)
    assert len(entries) == len(set(entries))


def test_what_is_loaded_first_is_a_module_of_the_table() -> None:
    for word in ("Wants", "After"):
        named = set(re.findall(r"modprobe@([\w-]+)\.service", "".join(
            re.findall(rf"^{word}=.*$", UNIT, re.MULTILINE))))  # fmt: skip
        dynamic = {one.module for one in GROUPS if one.major is None}
        assert named == dynamic | LOADED_BY_THE_NODE


def test_a_name_of_sysfs_alone_would_be_found_out() -> None:
    """What the list once said: the class of Hailo's nodes, which no /proc/devices shows."""
    wrong = ["char-hailo_chardev"]
    assert majors(wrong, proc_devices(*GROUPS)) == set()


def test_both_of_hailos_classes_have_a_rule() -> None:
    """hailo_chardev up to 5.2 for every chip, hailo1x from 5.3 (hailort-drivers, pcie.c)."""
    for name in ("hailo_chardev", "hailo1x"):
        assert f'SUBSYSTEM=="{name}", GROUP="video", MODE="0660"' in RULES


def test_the_vendors_npu_of_the_vim3_has_a_rule() -> None:
    """Its kernel gives the node to root alone; the probe's advice is a rule, so here it is."""
    assert 'KERNEL=="galcore", GROUP="video", MODE="0660"' in RULES
    assert 'KERNEL=="rknpu", GROUP="video", MODE="0660"' in RULES
