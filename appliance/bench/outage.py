"""A camera that is away while it is measured: the benchmark waits a little, and then says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.clock import NS_PER_SECOND
from appliance.errors import SourceUnavailableError

if TYPE_CHECKING:
    from appliance.pipeline import Lane

PATIENCE_SECONDS = 5.0
"""For cameras that refuse to be opened again at once."""


def check_outage(lanes: tuple[Lane, ...], now_ns: int) -> None:
    """Raise SourceUnavailableError if a camera has been away for longer than that."""
    for lane in lanes:
        if lane.lost_ns is not None and now_ns - lane.lost_ns >= PATIENCE_SECONDS * NS_PER_SECOND:
            raise SourceUnavailableError(
                f"camera {lane.name}: nothing to measure: {lane.lost_reason}"
            )
