"""What a probe may ask of the machine: files under a root, and what is installed. No vendor code.

Everything is read below ``root`` (``/`` normally, a fixture tree in tests), except for Python
modules, which are those of the interpreter that runs us.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

_LIBRARY_FOLDERS = (
    "usr/lib/aarch64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/arm-linux-gnueabihf",
    "usr/lib/teflon",
    "usr/lib/aarch64-linux-gnu/teflon",
    "usr/lib/x86_64-linux-gnu/teflon",
    "usr/local/lib",
    "usr/lib",
    "lib",
)


@dataclass(frozen=True, slots=True)
class BusDevice:
    """A USB or PCI device: its ids as ``1a6e:089a``, its sysfs folder, its own names."""

    ids: str
    folder: Path
    product: str = ""
    manufacturer: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine under ``root``."""

    root: Path = Path("/")

    def usb(self, *ids: str) -> list[BusDevice]:
        """Return the USB devices with one of ``ids`` (``vendor:product``)."""
        found = []
        for folder in self.glob("sys/bus/usb/devices/*"):
            device = f"{_text(folder / 'idVendor')}:{_text(folder / 'idProduct')}"
            if device in ids:
                names = _text(folder / "product"), _text(folder / "manufacturer")
                found.append(BusDevice(device, folder, *names))
        return found

    def pci(self, *ids: str) -> list[BusDevice]:
        """Return the PCI devices with one of ``ids`` (``vendor:device``)."""
        found = []
        for folder in self.glob("sys/bus/pci/devices/*"):
            parts = (_text(folder / name).removeprefix("0x") for name in ("vendor", "device"))
            device = ":".join(parts)
            if device in ids:
                found.append(BusDevice(device, folder))
        return found

    def board(self) -> str:
        """Return the board's model as the device tree names it; empty on a PC."""
        return self.text("proc/device-tree/model")

    def compatible(self) -> tuple[str, ...]:
        """Return the device tree's list of what the board is compatible with."""
        return tuple(part for part in self.text("proc/device-tree/compatible").split("\0") if part)

    def text(self, path: str) -> str:
        """Return a file's text without the NUL and line ends around it; empty if unreadable."""
        return _text(self.root / path)

    def glob(self, pattern: str) -> list[Path]:
        """Return the paths under the root that match, sorted."""
        return sorted(self.root.glob(pattern))

    def nodes(self, pattern: str) -> list[Path]:
        """Return device nodes that match, below ``/dev``."""
        return self.glob(f"dev/{pattern}")

    def driver(self, kind: str, node: str) -> str:
        """Return the kernel driver behind a node of a shared class (``drm``, ``accel``)."""
        device = self.root / "sys/class" / kind / node / "device"
        for line in _text(device / "uevent").splitlines():
            if line.startswith("DRIVER="):
                return line.removeprefix("DRIVER=")
        return (
            Path(os.path.realpath(device / "driver")).name if (device / "driver").exists() else ""
        )

    def shared_library(self, *names: str) -> Path | None:
        """Return the first shared library of one of these names, or None."""
        places = (self.root / folder / name for folder in _LIBRARY_FOLDERS for name in names)
        return next((place for place in places if place.exists()), None)

    def shown(self, path: Path) -> str:
        """Return a path as it is called on the machine itself."""
        return f"/{path.relative_to(self.root)}"


def openable(path: Path) -> bool:
    """Say whether we may read and write a device node."""
    return os.access(path, os.R_OK | os.W_OK)


def module_version(module: str, *packages: str) -> str | None:
    """Return the version of an installed Python module without importing it; None if absent."""
    try:
        if find_spec(module) is None:
            return None
    except (ImportError, ValueError):
        return None
    for package in (*packages, module):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    return "(version unknown)"


def package_version(package: str) -> str | None:
    """Return the version of an installed Python package; None if absent."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").strip("\0\n ")
    except OSError:
        return ""
