"""The record of a build: the sha256 of each file beside it, written once the file is found good.

The same weights and pictures come out as other bytes on another processor, so nobody can say
beforehand what a build should give. Its record says what it gave; the appliance takes no built
file without one, and none that has changed since.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def sha256(path: Path) -> str:
    """Return a file's hash."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def record(*paths: Path, good: bool = True) -> None:
    """Vouch for files; take the word back for those that are not ``good``."""
    for path in paths:
        beside = path.with_name(f"{path.name}.sha256")
        if good:
            beside.write_text(f"{sha256(path)}\n")
        else:
            beside.unlink(missing_ok=True)
