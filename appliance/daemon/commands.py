"""What may be asked of a unit over MQTT: from a payload to what changes, or why not. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from appliance.config.changes import overlay
from appliance.config.scene import Share
from appliance.errors import ConfigError
from appliance.sinks.mqtt.commands import LONGEST

if TYPE_CHECKING:
    from appliance.config import Settings
    from appliance.config.changes import CameraChange, Changes

Id = Annotated[str, Meta(max_length=64, description="Comes back in the result.")]
Patch = Annotated[
    dict[str, Any],
    Meta(description="Keys of [[camera]], as in the file; null for what the files say."),
]
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


class ConfigTry(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Try other settings of a camera; they are taken back by themselves."""

    camera: CameraName = ""
    settings: Patch
    seconds: Annotated[
        float,
        Meta(ge=5, le=3600, description="Until they are taken back, unless they are applied."),
    ] = 60.0


class ConfigApply(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Set other settings of a camera, or keep what is tried; taken back where frames stop."""

    camera: CameraName = ""
    settings: Annotated[Patch | None, Meta(description="Without, what is tried now is kept.")] = (
        None
    )


class Snapshot(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send a picture of the next frame, with this `id`, where [camera.pictures] is on."""

    camera: CameraName = ""


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
    "config/try": ConfigTry,
    "config/apply": ConfigApply,
    "snapshot": Snapshot,
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
        cameras: with which.
        tried_seconds: it is taken back then; 0 to stay.
        watched: it is taken back where frames stop.
    """

    ok: bool
    detail: str
    id: str = ""
    changes: Changes | None = None
    act: Literal["", "restart", "update", "snapshot"] = ""
    cameras: tuple[str, ...] = ()
    tried_seconds: float = 0.0
    watched: bool = False


def decide(
    name: str, payload: bytes, changes: Changes, files: Settings, *, tries: bool = False
) -> Decision:
    """Return what becomes of a command; never raises.

    Args:
        name: what its topic says after ``cmd/``.
        payload: as it came.
        changes: what was changed so far.
        files: the settings, as the files have them.
        tries: what is in force is only tried.
    """
    kind = COMMANDS.get(name)
    if kind is None:
        return Decision(ok=False, detail=f"no such command; there are: {', '.join(COMMANDS)}")
    if len(payload) > LONGEST:
        return Decision(ok=False, detail=f"the payload has more than {LONGEST} bytes")
    says_nothing = payload.strip() in _NOTHING or (kind, payload.strip()) == (Update, b"install")
    try:
        command = msgspec.json.decode(b"{}" if says_nothing else payload, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Decision(ok=False, detail=f"the payload cannot be used: {error}; {_expected(kind)}")
    cameras = tuple(camera.name for camera in files.camera)
    wanted = getattr(command, "camera", "")
    if wanted and wanted not in cameras:
        detail = f"no camera has this name; there are: {', '.join(cameras)}"
        return Decision(ok=False, detail=detail, id=command.id)
    try:
        decision = _decide(command, changes, (wanted,) if wanted else cameras, tries=tries)
        if decision.changes is not None:
            overlay(files, decision.changes)
            msgspec.json.encode(decision.changes)
    except (ConfigError, RecursionError) as error:
        return Decision(ok=False, detail=str(error), id=command.id)
    return decision


def _decide(
    command: Command, changes: Changes, cameras: tuple[str, ...], *, tries: bool
) -> Decision:
    if isinstance(command, Restart):
        return Decision(ok=True, detail="restarting", id=command.id, act="restart")
    if isinstance(command, Update):
        detail = "asked for; see the topic update"
        return Decision(ok=True, detail=detail, id=command.id, act="update")
    if isinstance(command, Snapshot):
        detail = "of the next frame"
        return Decision(ok=True, detail=detail, id=command.id, act="snapshot", cameras=cameras)
    if isinstance(command, Pause | Resume):
        paused = isinstance(command, Pause) and command.paused
        new = msgspec.structs.replace(changes, paused=paused)
        return Decision(
            ok=True, detail="paused" if paused else "resumed", id=command.id, changes=new
        )
    keeps = isinstance(command, ConfigApply) and command.settings is None
    if keeps and not tries:
        return Decision(ok=False, detail="nothing is tried now", id=command.id)
    new = changes
    for name in () if keeps else cameras:
        new = new.with_camera(name, _changed(command, changes.of(name)))
    seconds = command.seconds if isinstance(command, ConfigTry) else 0.0
    return Decision(
        ok=True,
        detail=f"in force for {seconds:g} s" if seconds else "in force",
        id=command.id,
        changes=new,
        tried_seconds=seconds,
        watched=isinstance(command, ConfigTry | ConfigApply),
    )


def _changed(command: Command, change: CameraChange) -> CameraChange:
    if isinstance(command, Camera):
        return msgspec.structs.replace(change, enabled=command.enabled)
    if isinstance(command, Threshold):
        return change.patched({"threshold": command.threshold})
    if isinstance(command, Labels):
        return change.patched({"labels": command.labels})
    if isinstance(command, ConfigTry | ConfigApply):
        return change.patched(command.settings or {})
    return change


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
        "$id": f"appliance.command.{name.replace('/', '.')}/1",
        **schema,
    }
