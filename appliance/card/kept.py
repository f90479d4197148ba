"""A card with an overlay in memory over a read-only root: what must outlive the start.

Accounts, certificates, the machine's name and the owner's configuration are made or taken by the
setup. With the overlay they would be made anew at each start, so they are copied below it.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from appliance.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.card.paths import CardPaths

FILES = ("etc/hostname", "etc/hosts", "etc/machine-id", "root/.ssh/authorized_keys")
FOLDERS = ("etc/appliance", "etc/mosquitto/appliance", "etc/mosquitto/conf.d")
_GROUPS = {"etc/mosquitto": "mosquitto", "etc/appliance": "appliance"}


def keep(layout: CardPaths) -> Iterator[str]:
    """Make the root below hold what the setup left in the one above it.

    Raises:
        OSError: it cannot be written.
    """
    below = layout.below
    if below is None:
        return
    wanted, there = set(_names(layout.root)), set(_names(below))
    for name in sorted(wanted):
        source, target = layout.root / name, below / name
        content, mode = source.read_bytes(), stat.S_IMODE(source.stat().st_mode)
        if target.exists() and target.read_bytes() == content:
            continue
        shared = mode & stat.S_IRGRP and not mode & stat.S_IROTH
        write_whole(target, content, mode, group=_group(name) if shared else "")
        yield f"{name} is kept on the card"
    for name in sorted(there - wanted):
        (below / name).unlink()
        yield f"{name} is gone from the card"


def _names(root: Path) -> Iterator[str]:
    for name in FILES:
        if (root / name).is_file():
            yield name
    for folder in FOLDERS:
        for path in (root / folder).rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield str(path.relative_to(root))


def _group(name: str) -> str:
    """Return the group that the setup gives files there which not everybody may read."""
    return next((group for folder, group in _GROUPS.items() if name.startswith(folder)), "")
