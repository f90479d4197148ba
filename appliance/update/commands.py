"""What may be asked of a unit over MQTT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.update.state import request

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("update",)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command."""

    ok: bool
    detail: str


def obey(name: str, payload: bytes, *, runtime_folder: Path) -> Outcome:
    """Do what a command asks; never raises.

    Args:
        name: last part of its topic.
        payload: as it came.
        runtime_folder: where the system looks for what the daemon asks.
    """
    if name not in NAMES:
        return Outcome(ok=False, detail="no such command; there is: update")
    if payload.strip() != b"install":
        return Outcome(ok=False, detail="expected the payload: install")
    try:
        request(runtime_folder)
    except OSError as error:
        return Outcome(ok=False, detail=f"cannot be asked for: {error.strerror}")
    return Outcome(ok=True, detail="asked for; see the topic update")
