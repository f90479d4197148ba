"""Decide once, at start, whether a driver's frame stamps can be trusted as CLOCK_MONOTONIC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.clock import NS_PER_SECOND
from appliance.values import ClockOrigin

if TYPE_CHECKING:
    from appliance.clock import Clock

PLAUSIBLE_AGE_NS = 5 * NS_PER_SECOND
"""A fresh frame is younger than this; anything else is another clock (CLOCK_BOOTTIME after a
suspend, CLOCK_REALTIME, or nothing at all)."""


class StampVerifier:
    """Labels stamps: ``claimed`` while they are plausible, ``read`` from the first that is not.

    Args:
        clock: the appliance's clock.
        claimed: what the driver says its stamps mark.
    """

    def __init__(self, clock: Clock, claimed: ClockOrigin) -> None:
        self._clock = clock
        self._claimed = claimed
        self._trusted = True

    def stamp(self, driver_ns: int | None, read_ns: int) -> tuple[int, ClockOrigin]:
        """Return the capture time to use for a frame, and what it marks.

        Args:
            driver_ns: the driver's stamp, or None where it gave none.
            read_ns: when we began to read the frame.
        """
        if self._trusted and driver_ns is not None:
            age_ns = self._clock.monotonic_ns() - driver_ns
            if 0 <= age_ns < PLAUSIBLE_AGE_NS:
                return driver_ns, self._claimed
            self._trusted = False
        return read_ns, ClockOrigin.READ
