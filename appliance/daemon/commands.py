"""What may be asked of a unit over MQTT: from a payload to what changes, or why not. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from appliance.config.scene import Share

if TYPE_CHECKING:
    from appliance.config import Settings
    from appliance.config.changes import CameraChange, Changes

Id = Annotated[str, Meta(max_length=64, description="Comes back in the result.")]
CameraName = Annotated[str, Meta(max_length=64, description="Name of a camera; empty for all.")]
_NOTHING = frozenset({b"", b"PRESS"})
"""Payloads that say nothing: PRESS is what a button of Home Assistant sends."""


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every command may carry."""

    id: Id = ""


class Pause(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Look at no camera, or at all again; cameras are closed meanwhile."""

    paused: bool = True


class Resume(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Look again."""


class Camera(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Close a camera, or open it again."""

    camera: CameraName = ""
    enabled: bool


class Threshold(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Set the lowest score that counts; null for what the files say."""

    camera: CameraName = ""
    threshold: Share | None


class Labels(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Set what is looked for; null for what the files say, [] for all."""

    camera: CameraName = ""
    labels: Annotated[tuple[str, ...], Meta(max_length=100)] | None


class Restart(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End the process; the service manager starts it again."""


class Update(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Install newer software; the word `install` alone is understood, too."""


COMMANDS: dict[str, type[Command]] = {
    "pause": Pause,
    "resume": Resume,
    "camera": Camera,
    "threshold": Threshold,
    "labels": Labels,
    "restart": Restart,
    "update": Update,
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a command.

    Attributes:
        ok: it is done, or being done.
        detail: in words.
        id: of the command, as given.
        changes: what is in force from now on; None where nothing changes.
        act: what is to be done besides.
    """

    ok: bool
    detail: str
    id: str = ""
    changes: Changes | None = None
    act: Literal["", "restart", "update"] = ""


def decide(name: str, payload: bytes, changes: Changes, settings: Settings) -> Decision:
    """Return what becomes of a command; never raises.

    Args:
        name: last part of its topic.
        payload: as it came.
        changes: what was changed so far.
        settings: in force now.
    """
    kind = COMMANDS.get(name)
    if kind is None:
        return Decision(ok=False, detail=f"no such command; there are: {', '.join(COMMANDS)}")
    says_nothing = payload.strip() in _NOTHING or (kind, payload.strip()) == (Update, b"install")
    try:
        command = msgspec.json.decode(b"{}" if says_nothing else payload, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Decision(ok=False, detail=f"the payload cannot be used: {error}; {_expected(kind)}")
    cameras = tuple(camera.name for camera in settings.camera)
    wanted = getattr(command, "camera", "")
    if wanted and wanted not in cameras:
        detail = f"no camera has this name; there are: {', '.join(cameras)}"
        return Decision(ok=False, detail=detail, id=command.id)
    return _decide(command, changes, (wanted,) if wanted else cameras)


def _decide(command: Command, changes: Changes, cameras: tuple[str, ...]) -> Decision:
    if isinstance(command, Restart):
        return Decision(ok=True, detail="restarting", id=command.id, act="restart")
    if isinstance(command, Update):
        detail = "asked for; see the topic update"
        return Decision(ok=True, detail=detail, id=command.id, act="update")
    if isinstance(command, Pause | Resume):
        paused = isinstance(command, Pause) and command.paused
        new = msgspec.structs.replace(changes, paused=paused)
        return Decision(
            ok=True, detail="paused" if paused else "resumed", id=command.id, changes=new
        )
    new = changes
    for name in cameras:
        new = new.with_camera(name, _changed(command, changes.of(name)))
    return Decision(ok=True, detail="in force", id=command.id, changes=new)


def _changed(command: Command, change: CameraChange) -> CameraChange:
    values: dict[str, Any] = {}
    if isinstance(command, Camera):
        values["enabled"] = command.enabled
    elif isinstance(command, Threshold):
        values["threshold"] = command.threshold
    elif isinstance(command, Labels):
        values["labels"] = command.labels
    return msgspec.structs.replace(change, **values)


def _expected(kind: type[Command]) -> str:
    """Say what a command takes."""
    fields = ", ".join(
        f'"{one.name}"' + (": ..." if one.required else ": ... (optional)")
        for one in msgspec.structs.fields(kind)
    )
    return f"expected JSON: {{{fields}}}"


def command_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a command's payload."""
    schema: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(msgspec.json.schema(COMMANDS[name]))
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"appliance.command.{name}/1",
        **schema,
    }
