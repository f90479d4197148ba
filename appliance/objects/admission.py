"""Which detections of a camera count: by label, score, size and place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.config.scene import threshold_of
from appliance.objects.geometry import inside

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.config import CameraSettings, Settings
    from appliance.config.settings import ModelSettings
    from appliance.models import Labels
    from appliance.values import Detections

LOW_SHARE = 0.6
"""A known object goes on with scores down to this share of the threshold."""


def lowest_of(settings: Settings) -> float:
    """Return the lowest score that means anything to any camera of a unit."""
    return min(_lowest(camera, settings.model) for camera in settings.camera)


def _lowest(camera: CameraSettings, common: ModelSettings) -> float:
    lowest = min([threshold_of(camera, common), *camera.thresholds.values()])
    return lowest * LOW_SHARE if camera.objects.enabled else lowest


class Admission:
    """One camera's rules.

    Args:
        camera: its settings.
        labels: of the model.
        common: what counts at cameras that say nothing of their own.

    Raises:
        LabelsError: the model does not know a label.
    """

    def __init__(self, camera: CameraSettings, labels: Labels, common: ModelSettings) -> None:
        key = f"camera[{camera.name}]"
        wanted = labels.ids(camera.labels, f"{key}.labels")
        self._wanted = np.asarray(sorted(wanted), np.int32) if wanted else None
        self._threshold = threshold_of(camera, common)
        self._thresholds = [
            (next(iter(labels.ids((name,), f"{key}.thresholds"))), score)
            for name, score in camera.thresholds.items()
        ]
        for zone in camera.zone:
            labels.ids(zone.labels, f"{key}.zone[{zone.name}].labels")
        for line in camera.line:
            labels.ids(line.labels, f"{key}.line[{line.name}].labels")
        self._areas = camera.min_area, camera.max_area
        self._ignored = [
            (one.polygon, labels.ids(one.labels, f"{key}.ignore[{number}].labels"))
            for number, one in enumerate(camera.ignore, 1)
        ]

    def possible(self, found: Detections) -> Detections:
        """Leave out what can never count, whatever its score."""
        if not len(found):
            return found
        keep = None
        if self._wanted is not None:
            keep = np.isin(found.label_ids, self._wanted)
        if self._areas != (0.0, 1.0):
            sides = found.boxes[:, 2:] - found.boxes[:, :2]
            areas = sides[:, 0] * sides[:, 1]
            fits = (areas >= self._areas[0]) & (areas <= self._areas[1])
            keep = fits if keep is None else keep & fits
        if self._ignored:
            outside = ~self._is_ignored(found)
            keep = outside if keep is None else keep & outside
        return found if keep is None or keep.all() else found.where(keep)

    def sure(self, found: Detections) -> NDArray[np.bool_]:
        """Say of each whether its score is high enough to be told by itself."""
        if not self._thresholds:
            return np.greater_equal(found.scores, self._threshold)
        least = np.full(len(found), self._threshold, np.float32)
        for label_id, score in self._thresholds:
            least[found.label_ids == label_id] = score
        return np.greater_equal(found.scores, least)

    def _is_ignored(self, found: Detections) -> NDArray[np.bool_]:
        rows = zip(found.boxes.tolist(), found.label_ids.tolist(), strict=True)
        return np.asarray(
            [
                any(
                    (not ids or label_id in ids) and inside(polygon, (x0 + x1) / 2, y1)
                    for polygon, ids in self._ignored
                )
                for (x0, _, x1, y1), label_id in rows
            ],
            bool,
        )
