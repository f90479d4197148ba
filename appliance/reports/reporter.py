"""Makes messages from what happened; ``sender`` numbers, encodes and hands them over."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from appliance.album.photographer import NONE
from appliance.clock import NS_PER_MS, rfc3339, wall_of
from appliance.reports.encode import event_fields, rounded_box, state_fields
from appliance.reports.messages import (
    AcceleratorFinding,
    AlertMessage,
    CameraInfo,
    CameraStateInfo,
    Detection,
    DetectionsMessage,
    FrameInfo,
    FrameTotals,
    GovernorInfo,
    HealthMessage,
    InfoMessage,
    MetricsMessage,
    ModelInfo,
    OutboxInfo,
    ResultMessage,
    SinkInfo,
    SpreadMs,
    StageMs,
    StateMessage,
    ThrottlingInfo,
    UpdateMessage,
    WindowInfo,
)
from appliance.reports.objects import EventMessage, ObjectsMessage
from appliance.reports.outgoing import JPEG, Outgoing
from appliance.reports.problems import OF_CAMERAS
from appliance.reports.sender import Sender
from appliance.telemetry.thermal import Thermal
from appliance.values import StageTimes

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from appliance.album.photographer import Taken
    from appliance.clock import Clock
    from appliance.pipeline import CameraEvent, Counts, Window
    from appliance.reports.homeassistant import Discovery
    from appliance.reports.outgoing import Sink
    from appliance.reports.problems import Change
    from appliance.reports.sender import Identity
    from appliance.selection.failover import AcceleratorEvent
    from appliance.telemetry import Snapshot
    from appliance.update.state import UpdateState
    from appliance.values import Observation, Picture
    from appliance.values.happened import Happened

DETECTIONS_EXPIRY_SECONDS = 60
VALID_INTERVALS = 3
"""A retained metrics or health message counts as stale after so many missed intervals."""
_SCORE_DIGITS = 4
_FPS_DIGITS = 3


class Reporter:
    """Thread-safe. One for the life of the daemon.

    Args:
        identity: of the unit.
        sinks: every message goes to each, in order.
        clock: the appliance's clock.
    """

    def __init__(self, identity: Identity, sinks: tuple[Sink, ...], clock: Clock) -> None:
        self._sender = Sender(identity, sinks, clock)
        self._clock = clock

    def use(self, identity: Identity) -> None:
        """Go on as this; the numbers of the messages go on."""
        self._sender.use(identity)

    def use_sinks(self, sinks: tuple[Sink, ...], device: str) -> None:
        """Send to these from the next message on, which carries this name: topics do, too."""
        self._sender.use_sinks(sinks, device)

    @property
    def boot_id(self) -> str:
        """Return what every message of this start carries."""
        return self._sender.identity.boot_id

    def detections(self, seen: Observation, written: Callable[[int], None] | None = None) -> int:
        """Publish what was seen in one frame; return the message's number."""
        topic = f"{seen.camera}/detections"
        head = self._sender.head(topic)
        message = DetectionsMessage(
            **head,
            camera=seen.camera,
            frame=FrameInfo(
                seq=seen.frame_seq,
                captured_at=wall_of(self._clock, seen.times.captured_ns),
                captured_ns=seen.times.captured_ns,
                origin=seen.origin.value,
                width=seen.width,
                height=seen.height,
                file=seen.name,
            ),
            model=seen.model_id,
            accelerator=seen.accelerator,
            latency_ms=seen.times.latency_ns / NS_PER_MS,
            stages_ms=_stages_ms(seen.times),
            detections=self._detections(seen),
        )
        self._sender.send(
            "detections",
            topic,
            message,
            expiry=DETECTIONS_EXPIRY_SECONDS,
            written=written,
            handed_ns=seen.times.done_ns,
        )
        return message.seq

    def happened(self, camera: str, happened: Happened, pictures: Taken = NONE) -> None:
        """Publish what became of objects, their pictures, and how many are where."""
        topic = f"{camera}/events"
        for event in happened.events:
            picture = pictures.of(event.id)
            told = EventMessage(
                **self._sender.head(topic),
                camera=camera,
                snapshot=picture.sha256 if picture else None,
                **event_fields(event, self._clock),
            )
            fold = event.id if event.change == "update" else ""
            self._sender.send("event", topic, told, qos=1, durable=True, fold=fold)
        self._pictures(camera, pictures)
        if happened.state is not None:
            topic = f"{camera}/objects"
            state = ObjectsMessage(
                **self._sender.head(topic), camera=camera, **state_fields(happened.state)
            )
            self._sender.send("objects", topic, state, qos=1, retain=True)

    def _pictures(self, camera: str, taken: Taken) -> None:
        for number, picture in taken.pictures:
            self._send_picture("snapshot", camera, picture, number, retain=False)
        if taken.boxed is not None:
            self._send_picture("image", camera, taken.boxed, "", retain=True)

    def _send_picture(
        self, kind: str, camera: str, picture: Picture, number: str, *, retain: bool
    ) -> None:
        self._sender.put(
            Outgoing(
                kind=kind,
                topic=f"{camera}/{kind}",
                payload=picture.jpeg,
                message=None,
                qos=0,
                retain=retain,
                durable=False,
                expiry_seconds=None,
                handed_ns=self._clock.monotonic_ns(),
                content_type=JPEG,
                user=(
                    ("id", number),
                    ("sha256", picture.sha256),
                    ("captured_at", wall_of(self._clock, picture.captured_ns)),
                ),
            )
        )

    def ended(self, event: EventMessage) -> None:
        """Publish that an object of an earlier start is gone, as it was last told."""
        topic = f"{event.camera}/events"
        head = {"schema": event.schema, **self._sender.head(topic)}
        known = msgspec.structs.asdict(event) | head
        known |= {"event": "end", "changes": (), "zones": (), "ended": "restarted"}
        known |= {"snapshot": None}
        self._sender.send("event", topic, EventMessage(**known), qos=1, durable=True)

    def metrics(
        self,
        camera: str,
        window: Window,
        counts: Counts,
        *,
        live: bool,
        valid_for: timedelta,
        gated: bool = False,
    ) -> MetricsMessage:
        topic = f"{camera}/metrics"
        workers = self._sender.identity.workers
        message = MetricsMessage(
            **self._sender.head(topic),
            camera=camera,
            valid_until=rfc3339(self._clock.utc() + valid_for),
            window=WindowInfo(
                seconds=round(window.seconds, 6),
                frames=window.frames,
                first_seq=window.first_seq,
                last_seq=window.last_seq,
            ),
            camera_fps=_rounded(window.camera_fps) if live else None,
            end_to_end_fps=_rounded(window.end_to_end_fps),
            inference_only_fps=_rounded(window.inference_only_fps(workers)),
            gated_fps=_rounded(window.gated_fps) if gated else None,
            efficiency=_rounded(window.efficiency(workers)) if live else None,
            latency_ms=SpreadMs(**asdict(window.latency)) if window.latency else None,
            stages_ms={name: SpreadMs(**asdict(one)) for name, one in window.stages.items()},
            frames=FrameTotals(
                captured=counts.captured,
                processed=counts.processed,
                dropped=counts.dropped,
                in_flight=counts.in_flight,
            ),
        )
        expiry = round(valid_for.total_seconds())
        self._sender.send("metrics", topic, message, retain=True, expiry=expiry)
        return message

    def health(
        self,
        snapshot: Snapshot,
        *,
        reasons: tuple[str, ...],
        starting: bool,
        paused: bool,
        uptime_seconds: float,
        outbox: OutboxInfo | None,
        sinks: dict[str, SinkInfo],
        valid_for: timedelta,
        throttled: bool | None = None,
        throttling: ThrottlingInfo | None = None,
        governor: GovernorInfo | None = None,
    ) -> HealthMessage:
        """Publish how the unit is."""
        thermal = snapshot.get(Thermal)
        message = HealthMessage(
            **self._sender.head("health"),
            valid_until=rfc3339(self._clock.utc() + valid_for),
            state=_state(reasons, starting=starting, paused=paused),
            reasons=reasons,
            uptime_seconds=round(uptime_seconds, 1),
            temperature_celsius=thermal.temperature_celsius if thermal else None,
            throttled=throttled,
            throttling=throttling,
            governor=governor,
            outbox=outbox,
            sinks=sinks,
            collectors=snapshot.collectors,
            readings=snapshot.readings,
        )
        expiry = round(valid_for.total_seconds())
        payload = message.flat()
        self._sender.send(
            "health", "health", message, payload=payload, qos=1, retain=True, expiry=expiry
        )
        return message

    def info(
        self,
        *,
        software: str,
        board: str,
        python: str,
        accelerator: str,
        threads: int,
        layout: str,
        accelerators: tuple[AcceleratorFinding, ...],
        model: ModelInfo,
        cameras: tuple[CameraInfo, ...],
    ) -> None:
        """Publish who the unit is."""
        message = InfoMessage(
            **self._sender.head("info"),
            software=software,
            board=board,
            python=python,
            accelerator=accelerator,
            workers=self._sender.identity.workers,
            threads=threads,
            layout=layout,
            accelerators=accelerators,
            model=model,
            cameras=cameras,
        )
        self._sender.send("info", "info", message, qos=1, retain=True)

    def update(self, state: UpdateState, software: str) -> None:
        """Publish what is installed and available."""
        installed = state.installed or software
        reason = f"{state.result}: {state.reason}" if state.reason else state.result
        message = UpdateMessage(
            **self._sender.head("update"),
            installed_version=installed,
            latest_version=state.available or installed,
            in_progress=state.phase != "idle",
            release_summary=reason,
            phase=state.phase,
            result=state.result,
        )
        self._sender.send("update", "update", message, qos=1, retain=True)

    def state(self, *, paused: bool, tried: bool, cameras: dict[str, CameraStateInfo]) -> None:
        """Publish what commands can change."""
        message = StateMessage(
            **self._sender.head("state"), paused=paused, tried=tried, cameras=cameras
        )
        self._sender.send("state", "state", message, qos=1, retain=True)

    def result(self, command: str, *, ok: bool, detail: str, request: str = "") -> None:
        """Publish what became of a command."""
        topic = f"cmd/{command}/result"
        message = ResultMessage(
            **self._sender.head(topic), command=command, id=request, ok=ok, detail=detail
        )
        self._sender.send("result", topic, message, qos=1)

    def discovery(self, device: Discovery, *, gone: dict[str, str]) -> None:
        """Publish what Home Assistant needs to find a device.

        Args:
            device: what there is.
            gone: platforms of the entities that are no more; it wants to be told of each, once.
        """
        topic = f"/{device.topic}"
        self._sender.send("discovery", topic, None, qos=1, retain=True, payload=device.payload)
        if gone:
            told = device.without(gone).payload
            self._sender.send("discovery", topic, None, qos=1, durable=True, payload=told)

    def clear(self, topic: str, done: Callable[[], None]) -> None:
        """Empty a retained topic that is no longer ours; ``done`` once the broker has it."""
        self._sender.put(
            Outgoing(
                kind="clear",
                topic=f"/{topic}",
                payload=b"",
                message=None,
                qos=1,
                retain=True,
                durable=False,
                expiry_seconds=None,
                handed_ns=self._clock.monotonic_ns(),
                written=lambda _duration_ns: done(),
            )
        )

    def camera_event(self, event: CameraEvent) -> None:
        """Publish that a camera was lost or came back."""
        self.alert(
            event.kind,
            camera=event.camera,
            reason=event.reason,
            duration_seconds=event.seconds if event.kind == "camera_back" else None,
        )

    def alert(self, kind: str, **fields: Any) -> None:
        """Publish any other transition; delivered even if the broker is away."""
        head = self._sender.head("alerts")
        number = f"{self._sender.identity.boot_id}-{head['seq']}"
        values = {**head, "id": number, "kind": kind, "camera": "", **fields}
        message = AlertMessage(**values)
        self._sender.send("alert", "alerts", message, qos=1, durable=True)

    def problem(self, change: Change) -> None:
        """Publish that something is wrong, or no longer is."""
        problem, ended = change.problem, change.seconds is not None
        self.alert(
            "problem_ended" if ended else "problem_began",
            problem=problem.kind,
            camera=problem.subject if problem.kind in OF_CAMERAS else "",
            reason=problem.text,
            duration_seconds=change.seconds,
        )

    def accelerator_event(self, event: AcceleratorEvent) -> None:
        """Publish that another accelerator took over, or that the chosen one is back."""
        self.alert(
            event.kind,
            accelerator=event.accelerator,
            running=event.running,
            reason=event.reason,
            duration_seconds=event.seconds if event.kind == "failback" else None,
        )

    def _detections(self, seen: Observation) -> tuple[Detection, ...]:
        found = seen.detections
        name = self._sender.identity.vocabulary.name
        return tuple(
            Detection(
                label=name(label_id),
                label_id=label_id,
                score=round(score, _SCORE_DIGITS),
                box=rounded_box(box),
            )
            for box, score, label_id in zip(
                found.boxes.tolist(), found.scores.tolist(), found.label_ids.tolist(), strict=True
            )
        )


def _state(
    reasons: tuple[str, ...], *, starting: bool, paused: bool
) -> Literal["starting", "ok", "degraded", "paused"]:
    if reasons:
        return "degraded"
    if paused:
        return "paused"
    return "starting" if starting else "ok"


def _stages_ms(times: StageTimes) -> StageMs:
    durations = zip(StageTimes.NAMES, times.durations_ns, strict=True)
    return StageMs(**{name: duration / NS_PER_MS for name, duration in durations})


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, _FPS_DIGITS)
