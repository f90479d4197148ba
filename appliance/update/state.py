"""What the update script and the daemon tell each other, in small files of ``key=value`` lines.

The script (deploy/update/update.sh) keeps its state on the card; the daemon leaves its progress in
``/run``, by which a new version is proved, and may ask for an update.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from appliance.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE = Path("var/lib/appliance-update/state")
"""Below the machine's root."""
PROGRESS, REQUEST = "progress", "update-requested"
"""In the daemon's runtime folder."""


Phase = Literal["idle", "staging", "installing", "proving", "going-back"]


class UpdateState(msgspec.Struct, frozen=True, kw_only=True):
    """How updates stand.

    Attributes:
        phase: idle, staging, installing, proving or going-back.
        installed: version of the package; empty where no package is installed.
        available: newest version at the origin; empty if it was never asked.
        result: of the last one: installed, taken back or failed.
        reason: why it was taken back, or failed.
    """

    phase: Phase = "idle"
    installed: str = ""
    available: str = ""
    result: str = ""
    reason: str = ""


def read_state(root: Path = Path("/")) -> UpdateState:
    """Return how updates stand; defaults where there never was one."""
    fields = UpdateState.__struct_fields__
    known = {key: value for key, value in read_pairs(root / STATE).items() if key in fields}
    try:
        return msgspec.convert(known, UpdateState)
    except msgspec.ValidationError:
        return UpdateState()  # of another version


def read_pairs(path: Path) -> dict[str, str]:
    """Return the pairs of a file; none where it cannot be read."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    return {key: value for key, found, value in (line.partition("=") for line in lines) if found}


def write_progress(folder: Path, processed: int, software: str) -> None:
    """Tell how far the pipeline is, for the proof of a new version.

    Raises:
        OSError: the folder cannot be written.
    """
    pairs = {"pid": os.getpid(), "processed": processed, "software": software}
    _write(folder / PROGRESS, pairs)


def request(folder: Path) -> None:
    """Ask the system for an update.

    Raises:
        OSError: the folder cannot be written.
    """
    _write(folder / REQUEST, {"pid": os.getpid()})


def _write(path: Path, pairs: Mapping[str, object]) -> None:
    """Write a file of ``/run``: whole or not at all; nothing there survives a power cut."""
    content = "".join(f"{key}={value}\n" for key, value in pairs.items())
    write_whole(path, content, durable=False, make_folder=False)
