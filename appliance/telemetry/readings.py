"""What the collectors read, in base units."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Cause = Literal[
    "under_voltage",
    "frequency_capped",
    "throttled",
    "soft_temperature_limit",
    "thermal",
    "inferred",
]
"""Why a board is slower than it could be; the same words everywhere."""


class Thermal(Struct, frozen=True, kw_only=True):
    """Temperatures of the board."""

    temperature_celsius: Annotated[
        float | None, Meta(description="The processor's, or the hottest zone where none is named.")
    ]
    zones_celsius: Annotated[dict[str, float], Meta(description="Every readable zone by type.")]


class Frequency(Struct, frozen=True, kw_only=True):
    """Frequencies of the processor cores, hertz; the slowest core now, the fastest limits."""

    current_hertz: Annotated[
        int, Meta(description="Asked for by the kernel; a Pi's firmware may clamp it unseen.")
    ]
    allowed_maximum_hertz: Annotated[int, Meta(description="Limit in force now.")]
    hardware_maximum_hertz: Annotated[int, Meta(description="What the hardware can do.")]


class Throttle(Struct, frozen=True, kw_only=True):
    """The firmware's throttle flags (Raspberry Pi)."""

    now: Annotated[tuple[Cause, ...], Meta(description="Causes in force now.")]
    since_boot: Annotated[tuple[Cause, ...], Meta(description="Causes seen since boot.")]
    source: Annotated[
        Literal["mailbox", "sysfs"],
        Meta(description="Where it was read; from sysfs, since_boot is what we saw ourselves."),
    ]


class Memory(Struct, frozen=True, kw_only=True):
    """Memory of this process and of the board, bytes."""

    resident_bytes: int
    available_bytes: int
    total_bytes: int
