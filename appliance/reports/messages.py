"""Every message the appliance publishes: the structs that encode it and make its JSON Schema.

Times ending in ``_ms`` are whole nanoseconds written as milliseconds with six decimals, so stage
times add up to the latency exactly.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from appliance.reports.common import Box, Message, Moment
from appliance.reports.objects import EventMessage, ObjectsMessage
from appliance.telemetry import Cause, CollectorStatus, reading_structs


class Detection(Struct, frozen=True, kw_only=True):
    """One object."""

    label: str
    label_id: Annotated[int, Meta(description="COCO category id (1..90) for COCO models.")]
    score: Annotated[float, Meta(ge=0, le=1)]
    box: Box


class FrameInfo(Struct, frozen=True, kw_only=True):
    """The frame an inference ran on."""

    seq: Annotated[int, Meta(ge=0, description="Captured frames; gaps are dropped frames.")]
    captured_at: Moment
    captured_ns: Annotated[int, Meta(description="CLOCK_MONOTONIC of the unit.")]
    origin: Annotated[
        Literal["sensor", "driver", "arrival", "read"], Meta(description="What captured_* marks.")
    ]
    width: Annotated[int, Meta(gt=0)]
    height: Annotated[int, Meta(gt=0)]
    file: Annotated[str, Meta(description="For sources of pictures: the file.")] = ""


class StageMs(Struct, frozen=True, kw_only=True):
    """Time of each stage of one frame; they add up to latency_ms."""

    capture: float
    queue: float
    preprocess: float
    inference: float
    postprocess: float


class DetectionsMessage(Message, frozen=True, kw_only=True):
    """What was seen in one processed frame; an empty list means: looked, and saw nothing."""

    schema: Literal["appliance.detections/1"] = "appliance.detections/1"
    camera: str
    frame: FrameInfo
    model: str
    accelerator: str
    latency_ms: Annotated[float, Meta(description="Capture to hand-off to the sinks.")]
    stages_ms: StageMs
    detections: tuple[Detection, ...]


class SpreadMs(Struct, frozen=True, kw_only=True):
    """Distribution of a duration over the window, milliseconds."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


class WindowInfo(Struct, frozen=True, kw_only=True):
    """The window the rates were counted over, and the detections messages in it."""

    seconds: float
    frames: int
    first_seq: int | None
    last_seq: int | None


class FrameTotals(Struct, frozen=True, kw_only=True):
    """Since the daemon began: captured = processed + sum(dropped) + in_flight."""

    captured: int
    processed: int
    dropped: dict[str, int]
    in_flight: int


class MetricsMessage(Message, frozen=True, kw_only=True):
    """Rates and stage times of one camera over a window; null where nothing ran."""

    schema: Literal["appliance.metrics/1"] = "appliance.metrics/1"
    camera: str
    valid_until: Moment
    window: WindowInfo
    camera_fps: float | None
    end_to_end_fps: float | None
    inference_only_fps: float | None
    gated_fps: Annotated[
        float | None,
        Meta(
            description="Frames a second left out because nothing moved; null without a motion "
            "gate. They are not in end_to_end_fps."
        ),
    ]
    efficiency: Annotated[
        float | None,
        Meta(
            description="Live: end_to_end / min(camera, inference_only). Null for files, and where "
            "the motion gate left frames out."
        ),
    ]
    latency_ms: SpreadMs | None
    stages_ms: dict[str, SpreadMs]
    frames: FrameTotals


class OutboxInfo(Struct, frozen=True, kw_only=True):
    """Must-deliver messages that wait for the broker."""

    messages: int
    bytes: int
    dropped: Annotated[int, Meta(description="Oldest messages given up since the daemon began.")]


class SinkInfo(Struct, frozen=True, kw_only=True):
    """What became of the messages that a sink was given since it began."""

    handled: Annotated[int, Meta(description="Written, or taken by the broker.")]
    waiting: int
    dropped: Annotated[int, Meta(description="Given up because too many waited.")]
    failed: Annotated[int, Meta(description="Given up because the sink could not take them.")]


class PaceInfo(Struct, frozen=True, kw_only=True):
    """How fast the unit was over some time; null where nothing ran."""

    fps: float | None
    inference_ms: float | None


class EpisodeInfo(Struct, frozen=True, kw_only=True):
    """A time of throttling with one cause, and what it cost."""

    cause: Cause
    seconds: float
    ended_seconds_ago: float
    peak_celsius: float | None
    before: PaceInfo
    during: PaceInfo
    after: PaceInfo


class ThrottlingInfo(Struct, frozen=True, kw_only=True):
    """Throttling since the daemon began."""

    active: Annotated[tuple[Cause, ...], Meta(description="Causes in force now.")]
    seconds_total: dict[str, float]
    episodes_total: dict[str, int]
    recent: Annotated[tuple[EpisodeInfo, ...], Meta(description="The last that ended.")]


class GovernorInfo(Struct, frozen=True, kw_only=True):
    """What the governor does, or would do."""

    state: Literal["off", "advise", "act"]
    mode: Literal["full", "eased", "minimum", "paused"]
    target_fps: Annotated[float | None, Meta(description="Of all cameras together; null: no limit")]
    min_fps: float
    soft_limit_celsius: float | None
    reason: Annotated[str, Meta(description="Of the last change.")]
    fps_before: Annotated[float | None, Meta(description="Before the last change.")]
    fps_after: Annotated[float | None, Meta(description="In the first whole window after it.")]


class HealthMessage(Message, frozen=True, kw_only=True):
    """How the unit is."""

    schema: Literal["appliance.health/1"] = "appliance.health/1"
    valid_until: Moment
    state: Annotated[
        Literal["starting", "ok", "degraded", "paused"],
        Meta(
            description="ok: results are coming. starting: none came yet, or workers rest while "
            "layouts are measured. degraded: see reasons. paused: nobody looks, as was asked."
        ),
    ]
    reasons: Annotated[tuple[str, ...], Meta(description="Why it is not ok.")]
    uptime_seconds: float
    temperature_celsius: Annotated[float | None, Meta(description="The processor's.")]
    throttled: Annotated[bool | None, Meta(description="Now; null where no platform says so.")]
    throttling: ThrottlingInfo | None
    governor: GovernorInfo | None
    outbox: OutboxInfo | None
    sinks: Annotated[dict[str, SinkInfo], Meta(description="By name: mqtt, jsonl, prometheus...")]
    collectors: dict[str, CollectorStatus]
    readings: Annotated[
        dict[str, Any], Meta(description="By collector; told beside the others, see ``flat``.")
    ]

    def flat(self) -> dict[str, Any]:
        """Return the message as it is sent: each collector's reading under its name, or null."""
        tree: dict[str, Any] = msgspec.to_builtins(self)
        readings = tree.pop("readings")
        return {**{name: readings.get(name) for name in reading_structs()}, **tree}


class AcceleratorFinding(Struct, frozen=True, kw_only=True):
    """An accelerator that was looked at: found, or refused with the reason."""

    name: str
    found: bool
    detail: str
    devices: Annotated[tuple[str, ...], Meta(description="Hardware that is there.")] = ()


class ModelInfo(Struct, frozen=True, kw_only=True):
    """The model in use."""

    id: str
    sha256: str
    input: tuple[int, int]


class CameraInfo(Struct, frozen=True, kw_only=True):
    """A configured camera; its source without secrets."""

    name: str
    source: str
    width: int
    height: int
    fps: float
    detections: Annotated[
        Literal["every", "changed", "off"] | float,
        Meta(description="Which frames' detections are published; a number: so many a second."),
    ] = "every"
    objects: Annotated[bool, Meta(description="Whether objects are followed.")] = True


class InfoMessage(Message, frozen=True, kw_only=True):
    """Who the unit is."""

    schema: Literal["appliance.info/1"] = "appliance.info/1"
    software: str
    board: Annotated[str, Meta(description="Model of the board, as the device tree names it.")]
    python: str
    accelerator: Annotated[str, Meta(description="The one that runs now.")]
    workers: int
    threads: int
    layout: Annotated[str, Meta(description="Why so many workers and threads.")]
    accelerators: tuple[AcceleratorFinding, ...]
    model: ModelInfo
    cameras: tuple[CameraInfo, ...]


AlertKind = Literal[
    "camera_lost",
    "camera_back",
    "failover",
    "failback",
    "throttling_began",
    "throttling_ended",
    "governor",
    "problem_began",
    "problem_ended",
]


class AlertMessage(Message, frozen=True, kw_only=True):
    """A transition that somebody should know of."""

    schema: Literal["appliance.alert/1"] = "appliance.alert/1"
    id: Annotated[str, Meta(description="Unique; the same when delivered twice.")]
    kind: AlertKind
    camera: Annotated[str, Meta(description="Empty where no camera is concerned.")]
    accelerator: Annotated[
        str, Meta(description="For failover and failback: the one lost, or back.")
    ] = ""
    running: Annotated[str, Meta(description="The accelerator that runs from now on.")] = ""
    reason: str = ""
    duration_seconds: float | None = None
    cause: Annotated[str, Meta(description="Of throttling.")] = ""
    temperature_celsius: Annotated[float | None, Meta(description="The hottest.")] = None
    fps_before: float | None = None
    fps_during: float | None = None
    mode: Annotated[str, Meta(description="Of the governor from now on.")] = ""
    target_fps: float | None = None
    advised: Annotated[bool, Meta(description="The governor only says so.")] = False
    problem: Annotated[
        Literal[
            "",
            "no_results",
            "failing",
            "frozen",
            "hung",
            "sink_failing",
            "sink_stalled",
            "outbox",
            "refused",
            "twin",
            "temperature",
        ],
        Meta(description="For problem_began and problem_ended: what was wrong."),
    ] = ""


class UpdateMessage(Message, frozen=True, kw_only=True):
    """Software installed and available; the keys without units are Home Assistant's."""

    schema: Literal["appliance.update/1"] = "appliance.update/1"
    title: str = "appliance"
    installed_version: str
    latest_version: Annotated[str, Meta(description="As installed, where nobody was asked.")]
    in_progress: bool
    release_summary: Annotated[str, Meta(description="What became of the last update.")]
    phase: Literal["idle", "staging", "installing", "proving", "going-back"]
    result: Annotated[str, Meta(description="Of the last: installed, taken back, failed or empty.")]


class ResultMessage(Message, frozen=True, kw_only=True):
    """What became of a command."""

    schema: Literal["appliance.result/1"] = "appliance.result/1"
    command: str
    id: Annotated[str, Meta(description="As the command gave it.")] = ""
    ok: bool
    detail: str


class CameraStateInfo(Struct, frozen=True, kw_only=True):
    """What commands can change of a camera, as it is now."""

    enabled: bool
    threshold: float
    labels: Annotated[tuple[str, ...], Meta(description="What is looked for; empty for all.")]
    scheduled: Annotated[
        bool, Meta(description="Nobody looks now, because `pause` of the camera says so.")
    ]
    settings: Annotated[
        dict[str, Any], Meta(description="Keys of [[camera]] that are other than the files say.")
    ]


class StateMessage(Message, frozen=True, kw_only=True):
    """What commands can change, as it is now; the same after a restart."""

    schema: Literal["appliance.state/1"] = "appliance.state/1"
    paused: bool
    tried: Annotated[
        bool, Meta(description="Settings are only tried: they are taken back by themselves.")
    ]
    cameras: dict[str, CameraStateInfo]


MESSAGES: dict[str, type[Message]] = {
    "detections": DetectionsMessage,
    "event": EventMessage,
    "objects": ObjectsMessage,
    "metrics": MetricsMessage,
    "health": HealthMessage,
    "info": InfoMessage,
    "alert": AlertMessage,
    "update": UpdateMessage,
    "result": ResultMessage,
    "state": StateMessage,
}
SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a kind of message; unknown keys are allowed."""
    struct = _flat_health() if kind == "health" else MESSAGES[kind]
    encoded = msgspec.json.encode(msgspec.json.schema(struct))  # a default may be a tuple
    schema: dict[str, Any] = msgspec.json.decode(encoded)
    return {"$schema": SCHEMA_DIALECT, "$id": f"appliance.{kind}/1", **schema}


def _flat_health() -> type[Struct]:
    """Return the health message as it is sent, with a field for each collector there is."""
    own: list[Any] = [
        (one.name, one.type, one.default)
        if one.default is not msgspec.NODEFAULT
        else (one.name, one.type)
        for one in msgspec.structs.fields(HealthMessage)
        if one.name != "readings"
    ]
    read: list[Any] = [(name, struct | None) for name, struct in reading_structs().items()]
    return msgspec.defstruct(
        "HealthMessage", [*own, *read], kw_only=True, namespace={"__doc__": HealthMessage.__doc__}
    )
