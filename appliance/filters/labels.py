"""Keep only the wanted labels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from appliance.filters import FilterRequest
    from appliance.values import Observation


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Only these labels of this camera."""

    labels: Annotated[
        Annotated[tuple[str, ...], Meta(min_length=1)],
        Meta(description='Which, e.g. ["person", "car"].'),
    ]


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


def create(request: FilterRequest) -> LabelFilter:
    """Return the filter.

    Raises:
        LabelsError: the model does not know a label.
    """
    options: Options = request.options
    return LabelFilter(request.labels.ids(options.labels))
