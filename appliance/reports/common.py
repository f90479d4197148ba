"""What all messages share: their head, moments, boxes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Moment = Annotated[str, Meta(description="RFC 3339, UTC.")]
ClockState = Annotated[
    Literal["synced", "unsynced"], Meta(description="Whether the wall time can be trusted.")
]
Seq = Annotated[
    int, Meta(ge=0, description="Number of this message on its topic since boot_id began; no gaps.")
]
BootId = Annotated[str, Meta(description="Changes when the daemon starts; seq begins anew.")]


class Message(Struct, frozen=True, kw_only=True):
    """What every message carries."""

    schema: str
    device: Annotated[str, Meta(description="Name of the unit.")]
    boot_id: BootId
    seq: Seq
    at: Annotated[str, Meta(description="When it was made, RFC 3339, UTC.")]
    clock: ClockState


class Box(Struct, frozen=True, kw_only=True):
    """A box in 0..1 of the upright source frame, origin top left."""

    x: float
    y: float
    w: float
    h: float
