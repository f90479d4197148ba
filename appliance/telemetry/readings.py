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
    limits_celsius: Annotated[
        dict[str, float],
        Meta(description="Of the processor: soft (it is slowed), hard (slowed more), critical."),
    ]


class Frequency(Struct, frozen=True, kw_only=True):
    """Frequencies of the processor cores, hertz; the slowest core now, the fastest limits."""

    current_hertz: Annotated[
        int, Meta(description="Asked for by the kernel; a Pi's firmware may clamp it unseen.")
    ]
    allowed_maximum_hertz: Annotated[int, Meta(description="Limit in force now.")]
    hardware_maximum_hertz: Annotated[int, Meta(description="What the hardware can do.")]
    seconds_at_hertz: Annotated[
        dict[str, float], Meta(description="Time of the first core at each frequency since boot.")
    ]


class Throttle(Struct, frozen=True, kw_only=True):
    """The firmware's throttle flags (Raspberry Pi)."""

    now: Annotated[tuple[Cause, ...], Meta(description="Causes in force now.")]
    since_boot: Annotated[tuple[Cause, ...], Meta(description="Causes seen since boot.")]
    source: Annotated[
        Literal["mailbox", "sysfs"],
        Meta(description="Where it was read; from sysfs, since_boot is what we saw ourselves."),
    ]


class Supply(Struct, frozen=True, kw_only=True):
    """The board's power supply."""

    under_voltage: Annotated[
        bool | None, Meta(description="The board's own alarm; null where it has none.")
    ]
    volts: Annotated[
        dict[str, float], Meta(description="Rails that can be read, by name, e.g. EXT5V_V (Pi 5).")
    ]


class Fan(Struct, frozen=True, kw_only=True):
    """The board's fan."""

    level_ratio: Annotated[float | None, Meta(description="0 to 1 of what it can do.")]
    revolutions_per_minute: float | None


class Cooling(Struct, frozen=True, kw_only=True):
    """What the kernel does against heat, on boards without a Raspberry Pi's firmware flags."""

    now: Annotated[
        tuple[Cause, ...],
        Meta(description="thermal: a cooling device limits a processor, or a counter moved."),
    ]
    limited_by: Annotated[
        tuple[str, ...], Meta(description="Cooling devices at work and counters that moved.")
    ]
    events_total: Annotated[
        int | None, Meta(description="Thermal-throttle events since boot; null if not counted.")
    ]


class AcceleratorHeat(Struct, frozen=True, kw_only=True):
    """Heat of accelerators that tell it without vendor software."""

    temperatures_celsius: Annotated[
        dict[str, float], Meta(description="By device, e.g. apex_0 (Coral on PCIe).")
    ]
    limits_celsius: Annotated[
        dict[str, float], Meta(description="Lowest temperature at which it slows down.")
    ]


class Memory(Struct, frozen=True, kw_only=True):
    """Memory of this process and of the board, bytes."""

    resident_bytes: int
    available_bytes: int
    total_bytes: int
