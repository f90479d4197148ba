"""Configuration that the owner put on the boot partition.

A good file becomes the fragment ``50-boot.toml``. A bad one is set aside: the one of the last boot,
or the defaults, go on, and what is wrong is said aloud. Secrets are moved off the partition, which
any computer reads.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.config import load
from appliance.errors import ConfigError
from appliance.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.card.paths import CardPaths

FILE = "appliance.toml"
FRAGMENT = "50-boot.toml"
SECRETS = "60-boot-secrets.toml"
"""After the owner's file: a whole copy of the example there says that there is no password."""
LEAN = "20-lean.toml"
PASSWORD, CA = "mqtt-password.txt", "mqtt-ca.crt"
LEAN_BYTES = 1_200_000_000
"""Boards sold with 1 GB or less report at most this (their GPU takes its part)."""


def take(layout: CardPaths) -> Iterator[str]:
    """Adopt the boot partition's configuration; yield what the owner should know."""
    yield from _take_secrets(layout)
    given = layout.boot / FILE
    target = layout.fragments / FRAGMENT
    if not given.exists():
        if target.exists():
            target.unlink()
            yield f"{FILE} is gone from the boot partition; its settings are undone"
        return
    content = given.read_bytes().replace(b"\r\n", b"\n").removeprefix(b"\xef\xbb\xbf")
    faults = _faults_with(layout, content)
    if faults:
        kept = "the settings of the last boot go on" if target.exists() else "the rest runs"
        yield f"{FILE} on the boot partition is not used, {kept}: {'; '.join(faults)}"
    elif not target.exists() or target.read_bytes() != content:
        write_whole(target, content)
        yield f"{FILE} of the boot partition is in force"


def lean(layout: CardPaths) -> Iterator[str]:
    """Take the lean profile on boards with little memory, and leave it on others."""
    target = layout.fragments / LEAN
    total = memory_bytes(layout.root)
    if total is None or total > LEAN_BYTES:
        target.unlink(missing_ok=True)
        return
    shipped = layout.shipped / "lean.toml"
    if shipped.exists() and not target.exists():
        write_whole(target, shipped.read_bytes())
        yield f"{total / 1e6:.0f} MB of memory: the lean profile is in force"


def memory_bytes(root: Path) -> int | None:
    """Return the machine's memory from /proc/meminfo; None where it is not said."""
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


def _faults_with(layout: CardPaths, content: bytes) -> tuple[str, ...]:
    """Return what is wrong with the configuration once ``content`` is part of it."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder, "appliance")
        (trial / "conf.d").mkdir(parents=True)
        for file in layout.fragments.glob("*.toml"):
            shutil.copy(file, trial / "conf.d")
        main = trial / layout.configuration.name
        if layout.configuration.exists():
            shutil.copy(layout.configuration, main)
        else:
            main.touch()
        (trial / "conf.d" / FRAGMENT).write_bytes(content)
        try:
            load(main)
        except ConfigError as error:
            where = f"{trial / 'conf.d' / FRAGMENT}: "
            return tuple(fault.replace(where, "") for fault in error.faults) or (error.message,)
    return ()


def _take_secrets(layout: CardPaths) -> Iterator[str]:
    """Move the password, copy the CA, and point the configuration at what is there."""
    password, ca = layout.secrets / PASSWORD, layout.secrets / CA
    given = layout.boot / PASSWORD
    if given.exists():
        write_whole(password, given.read_bytes().strip() + b"\n", 0o640, group="appliance")
        given.unlink()
        yield f"{PASSWORD} is moved off the boot partition to {password}"
    given = layout.boot / CA
    if given.exists():
        write_whole(ca, given.read_bytes().strip() + b"\n")
    else:
        ca.unlink(missing_ok=True)
    lines = [f'password_file = "{password}"'] if password.exists() else []
    if ca.exists():
        lines += ["tls = true", f'tls_ca_file = "{ca}"']
    target = layout.fragments / SECRETS
    if lines:
        write_whole(target, "\n".join(["[mqtt]", *lines, ""]))
    else:
        target.unlink(missing_ok=True)
