"""Keep the largest objects only: a filter in one file, as an example that is run by the tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from appliance.filters import FilterRequest
    from appliance.values import Observation

CONTRACT = {"options": {"count": 1}}
"""For the contract suite: options by which the filter has something to do."""


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Only the largest objects."""

    count: Annotated[Annotated[int, Meta(ge=1)], Meta(description="How many.")] = 10


class LargestFilter:
    """One for each camera, so it may remember what it saw; called in the order of frames."""

    wants_picture = False

    def __init__(self, request: FilterRequest) -> None:
        self._count = request.options.count

    def apply(self, observation: Observation) -> Observation:
        """Return the observation with the largest boxes; no I/O, no waiting."""
        found = observation.detections
        sizes = np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1)
        keep = np.zeros(len(sizes), bool)
        keep[np.argsort(sizes)[::-1][: self._count]] = True
        return replace(observation, detections=found.where(keep))


create = LargestFilter
