"""Filters: change what an observation holds before the sinks see it; in order, fast, no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from appliance.values import Observation


class Filter(Protocol):
    """One step between detector and sinks. Called in frame order, for one camera.

    Attributes:
        wants_picture: True to be given ``Observation.picture`` (costs a copy of the input).
    """

    wants_picture: bool

    def apply(self, observation: Observation) -> Observation:
        """Return the observation, changed or not; must not block."""
