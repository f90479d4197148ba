"""What commands changed of the settings: it lies above the files, and outlives restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from appliance.config.settings import CameraSettings, Settings


class CameraChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is other than the files say of one camera; None where nothing is.

    Attributes:
        enabled: False: it is closed, and nobody looks.
        threshold: lowest score that counts.
        labels: what is looked for; none for all.
    """

    enabled: bool = True
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    labels: tuple[str, ...] | None = None


class Changes(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is other than the files say.

    Attributes:
        paused: nobody looks at any camera.
        cameras: by name; names that are not configured are kept, for they may come back.
    """

    paused: bool = False
    cameras: dict[str, CameraChange] = msgspec.field(default_factory=dict)

    def of(self, camera: str) -> CameraChange:
        """Return what is other at a camera."""
        return self.cameras.get(camera, CameraChange())

    def rests(self, camera: str) -> bool:
        """Say whether nobody looks at a camera."""
        return self.paused or not self.of(camera).enabled

    def with_camera(self, camera: str, change: CameraChange) -> Changes:
        """Return these, with another one for a camera."""
        return msgspec.structs.replace(self, cameras={**self.cameras, camera: change})


def overlay(settings: Settings, changes: Changes) -> Settings:
    """Return the settings with what commands changed of them."""
    cameras = tuple(_changed(camera, changes.of(camera.name)) for camera in settings.camera)
    return msgspec.structs.replace(settings, camera=cameras)


def _changed(camera: CameraSettings, change: CameraChange) -> CameraSettings:
    values: dict[str, object] = {}
    if change.threshold is not None:
        values["threshold"] = change.threshold
    if change.labels is not None:
        values["labels"] = change.labels
    return msgspec.structs.replace(camera, **values)
