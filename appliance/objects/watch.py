"""The filter that makes objects of detections: admission, scene, and what is told of a frame."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.objects.admission import Admission
    from appliance.objects.scene import Scene
    from appliance.values import Observation
    from appliance.values.happened import Ending, Happened


class ObjectWatch:
    """Follows objects, and leaves the detections that count by themselves.

    Args:
        admission: which detections count.
        scene: of the camera; None where objects are not followed.
    """

    wants_picture = False

    def __init__(self, admission: Admission, scene: Scene | None) -> None:
        self._admission = admission
        self._scene = scene

    def use(self, admission: Admission, labels: tuple[str, ...]) -> None:
        """Go on with other rules: who is there stays who it is; between two results only.

        Args:
            admission: which detections count from now on.
            labels: names of what is looked for; empty where anything is.
        """
        self._admission = admission
        if self._scene is not None:
            self._scene.use_labels(labels)

    def apply(self, observation: Observation) -> Observation:
        """Return the observation with what happened."""
        found = self._admission.possible(observation.detections)
        sure = self._admission.sure(found)
        told = found if sure.all() else found.where(sure)
        if self._scene is None:
            if told is observation.detections:
                return observation
            return replace(observation, detections=told)
        happened = self._scene.look(observation, found, sure)
        return replace(observation, detections=told, happened=happened)

    def tick(self, now_ns: int) -> Happened | None:
        """Let time pass without a frame."""
        return self._scene.tick(now_ns) if self._scene is not None else None

    def again(self) -> None:
        """Tell all once more."""
        if self._scene is not None:
            self._scene.again()

    def end(self, ending: Ending, now_ns: int) -> Happened | None:
        """Nobody looks any more."""
        return self._scene.end(ending, now_ns) if self._scene is not None else None
