"""What others published for SSD MobileNet v2: kept with each accelerator, gathered here."""

from __future__ import annotations

from typing import Any

from appliance.accelerators import Registry

SOURCE = "Q-engineering, Deep learning with Raspberry Pi and alternatives, 2020"
MODEL = "SSD MobileNet v2, 300x300"


def published() -> list[dict[str, Any]]:
    """Return the published figures, slowest first: inference only, capture and resize left out."""
    registry = Registry()
    rows = [
        {"board": board, "accelerator": name, "title": about.title, "fps": fps}
        for name in registry.names
        for about in (registry.get(name).about,)
        for board, fps in about.published_fps.items()
    ]
    return sorted(rows, key=lambda row: row["fps"])
