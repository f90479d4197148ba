"""What commands changed of the settings: it lies above the files, and outlives restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from appliance.config.faults import find_faults
from appliance.config.load import cross_faults, merge
from appliance.config.settings import CameraSettings
from appliance.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.config.settings import Settings

OWNERS = frozenset(
    {
        *("name", "source", "options", "filter"),
        *("mask", "pause", "pictures"),
        *("rotation", "flip_horizontal", "flip_vertical"),
    }
)
"""Keys of a camera that only the files set: addresses, paths, other programs' code; and what is
seen and leaves at all, which is not for everybody who may send a command to say. A picture that is
turned moves away from under its masks."""
_UNUSABLE = "the settings cannot be used:"


class CameraChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is other than the files say of one camera.

    Attributes:
        enabled: False: it is closed, and nobody looks.
        settings: keys of ``[[camera]]`` with other values, as a fragment would have them.
    """

    enabled: bool = True
    settings: dict[str, Any] = msgspec.field(default_factory=dict)

    def patched(self, patch: Mapping[str, Any]) -> CameraChange:
        """Return this with a patch laid on top.

        Args:
            patch: keys and values; None for what the files say; tables merge (RFC 7396).

        Raises:
            ConfigError: a key that there is not, or that only the files set.
        """
        faults = [f"{key}: only the files set it" for key in patch if key in OWNERS] + find_faults(
            dict.fromkeys(patch.keys() - CameraSettings.__struct_fields__), CameraSettings
        )
        if faults:
            raise ConfigError(_UNUSABLE, faults=tuple(sorted(faults)))
        return msgspec.structs.replace(self, settings=_patched(self.settings, patch))


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

    def without_settings(self) -> Changes:
        """Return who rests, and nothing else."""
        cameras = {name: CameraChange(enabled=one.enabled) for name, one in self.cameras.items()}
        return msgspec.structs.replace(self, cameras=cameras)


def overlay(settings: Settings, changes: Changes) -> Settings:
    """Return the settings with what commands changed of them.

    Raises:
        ConfigError: it makes no sense, by itself or together with what the files say.
    """
    faults: list[str] = []
    cameras = tuple(
        _changed(camera, changes.of(camera.name).settings, faults) for camera in settings.camera
    )
    changed = msgspec.structs.replace(settings, camera=cameras)
    if not faults and cameras != settings.camera:
        faults = cross_faults(changed)
    if faults:
        raise ConfigError(_UNUSABLE, faults=tuple(faults))
    return changed


def _changed(camera: CameraSettings, tree: dict[str, Any], faults: list[str]) -> CameraSettings:
    if not tree:
        return camera
    found = find_faults(tree, CameraSettings, f"camera[{camera.name}]")
    faults += found
    if found:
        return camera
    whole = merge({key: msgspec.to_builtins(getattr(camera, key)) for key in tree}, tree)
    try:
        new = msgspec.convert(whole, CameraSettings)
    except msgspec.ValidationError as error:  # each is right, together they are not
        faults.append(f"camera[{camera.name}]: {error}")
        return camera
    return msgspec.structs.replace(camera, **{key: getattr(new, key) for key in tree})


def _patched(tree: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(tree)
    for key, value in patch.items():
        new = value
        if isinstance(value, dict):
            old = made.get(key)
            new = _patched(old if isinstance(old, dict) else {}, value) or None
        if new is None:
            made.pop(key, None)
        else:
            made[key] = new
    return made
