"""Keep only the wanted labels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from appliance.values import Observation


class LabelFilter:
    """Drops detections whose label is not wanted.

    Args:
        label_ids: the wanted ones.
    """

    wants_picture = False

    def __init__(self, label_ids: frozenset[int]) -> None:
        self._wanted = np.asarray(sorted(label_ids), np.int32)

    def apply(self, observation: Observation) -> Observation:
        """Keep the wanted rows."""
        detections = observation.detections
        keep = np.isin(detections.label_ids, self._wanted)
        return replace(observation, detections=detections.where(keep))
