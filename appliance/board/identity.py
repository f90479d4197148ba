"""Who this unit is: a name from the machine id, and the board's own words for itself."""

from __future__ import annotations

import hashlib
import hmac
import platform
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID = b"appliance.device/1"
"""Key of the hash: the machine id itself must not leave the unit (machine-id(5))."""


def device_name(root: Path) -> str:
    """Return ``appliance-`` and 8 hex digits that belong to this machine.

    Args:
        root: normally ``/``; its etc/machine-id is hashed, else the host name.
    """
    try:
        machine = (root / "etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    source = machine or socket.gethostname()
    digest = hmac.new(source.encode(), APPLICATION_ID, hashlib.sha256).hexdigest()
    return f"appliance-{digest[:8]}"


@dataclass(frozen=True, slots=True)
class Board:
    """What the unit runs on; empty where the machine does not say."""

    model: str
    manufacturer: str = ""
    serial: str = ""


def board_of(root: Path) -> Board:
    """Return what a device tree or DMI says; a serial number only of boards that carry one."""
    model = board_name(root)
    vendor = _text(root / "sys/class/dmi/id/sys_vendor")
    if not vendor and model.startswith("Raspberry Pi"):
        vendor = "Raspberry Pi"
    return Board(model, vendor, _text(root / "proc/device-tree/serial-number"))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip("\0 \n")
    except OSError:
        return ""


def board_name(root: Path) -> str:
    """Return the board's model from the device tree or DMI, else the architecture."""
    tree = root / "proc/device-tree/model"
    dmi = root / "sys/class/dmi/id/product_name"
    for path in (tree, dmi):
        name = _text(path)
        if name:
            return name
    return platform.machine()
