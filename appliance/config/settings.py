"""The settings, one struct for each table of ``appliance.toml``.

The descriptions are the documentation: ``docs/configuration.md`` and ``config/appliance.toml``
are generated from them (``appliance schema config``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from appliance.config.pictures import PictureSettings
from appliance.config.scene import (
    IgnoreSettings,
    LineSettings,
    MaskSettings,
    ObjectSettings,
    Share,
    ZoneSettings,
)
from appliance.config.webhook import WebhookSettings

Port = Annotated[int, Meta(ge=1, le=65535)]


class MqttSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where detections, metrics and health are published."""

    enabled: Annotated[bool, Meta(description="Publish over MQTT.")] = True
    host: Annotated[str, Meta(description="Name or address of the broker.")] = "localhost"
    port: Annotated[Port, Meta(description="Port of the broker; 8883 is usual with TLS.")] = 1883
    prefix: Annotated[
        Annotated[str, Meta(pattern=r"^[^+#/\s]+(/[^+#/\s]+)*$")],
        Meta(description="First part of every topic: {prefix}/{device}/..."),
    ] = "appliance"
    username: Annotated[str, Meta(description="User name; empty to connect without one.")] = ""
    password_file: Annotated[
        str,
        Meta(
            description="File holding the password (mode 0600). Passwords never stand in this file."
        ),
    ] = ""
    password_credential: Annotated[
        str,
        Meta(description="Name of a systemd credential (LoadCredential=) holding the password."),
    ] = ""
    client_id: Annotated[str, Meta(description="MQTT client id; empty for the device's name.")] = ""
    protocol: Annotated[
        Literal["auto", "5", "3.1.1"], Meta(description="MQTT version; auto tries 5, then 3.1.1.")
    ] = "auto"
    keepalive_seconds: Annotated[
        Annotated[int, Meta(ge=5, le=3600)],
        Meta(description="A dead broker is noticed within twice this."),
    ] = 15
    tls: Annotated[
        bool, Meta(description="Encrypt the connection and check the broker's certificate.")
    ] = False
    tls_ca_file: Annotated[
        str, Meta(description="CA certificates (PEM); empty for the system's.")
    ] = ""
    tls_certificate_file: Annotated[
        str, Meta(description="Our certificate (PEM), where the broker asks.")
    ] = ""
    tls_key_file: Annotated[str, Meta(description="Key of our certificate (PEM).")] = ""
    tls_insecure: Annotated[
        bool, Meta(description="Do not check the broker's name. For tests only.")
    ] = False
    commands: Annotated[
        bool,
        Meta(
            description="Listen to commands (pause, camera, threshold, labels, settings, restart) "
            "on {prefix}/{device}/cmd/...; updates are asked for there where [update] has an "
            "origin."
        ),
    ] = True
    outbox: Annotated[
        Literal["runtime", "memory", "disk"],
        Meta(
            description="Where must-deliver messages wait for the broker: runtime (RAM, kept "
            "over restarts of "
            "the service), memory (lost with the process) or disk (survives a power cut). Where "
            "that place is full or unusable they wait in memory, and health says so."
        ),
    ] = "runtime"
    outbox_messages: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)],
        Meta(
            description="Must-deliver messages kept while the broker is away; the oldest go first."
        ),
    ] = 1000


class ModelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to look for."""

    name: Annotated[
        str,
        Meta(
            description="auto takes what suits the accelerator; or a model id (see `appliance "
            "models`), which stands for its whole family; or a path."
        ),
    ] = "auto"
    score_threshold: Annotated[
        Share, Meta(description="Lowest score that counts as a detection, 0 to 1.")
    ] = 0.5
    labels: Annotated[
        tuple[str, ...],
        Meta(description='Only these labels of all cameras, e.g. ["person"]; empty for all.'),
    ] = ()


class AcceleratorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What runs the model."""

    name: Annotated[
        str,
        Meta(
            description="auto proves those that are there and takes the best; or a name (see "
            "`appliance probe`)."
        ),
    ] = "auto"
    fallback: Annotated[
        Literal["cpu", "none"],
        Meta(
            description="When the accelerator is lost or absent: cpu goes on there, alerts and "
            "keeps trying; none ends the service instead."
        ),
    ] = "cpu"
    retry_seconds: Annotated[
        Annotated[float, Meta(ge=1, le=3600)],
        Meta(description="How often a lost accelerator is tried again."),
    ] = 30.0
    optimise_for: Annotated[
        Literal["throughput", "latency"],
        Meta(
            description="What auto compares, accelerators and layouts: frames a second, or the "
            "time of one."
        ),
    ] = "throughput"
    workers: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=1, le=64)],
        Meta(
            description="Frames inferred at the same time. auto starts with one a CPU; a minute "
            "later it measures, once, which layout of workers and threads is best for "
            "optimise_for, and cameras rest for some seconds."
        ),
    ] = "auto"
    threads: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=1, le=64)],
        Meta(description="Threads of each worker's runtime; auto goes with the workers."),
    ] = "auto"
    options: Annotated[
        dict[str, dict[str, Any]],
        Meta(
            description="What one accelerator alone can be told, a table each: "
            "[accelerator.options.edgetpu]."
        ),
    ] = field(default_factory=dict)


class Controls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Camera controls, where the driver offers them; unset ones stay automatic."""

    exposure_microseconds: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Fixed exposure time.")
    ] = None
    gain: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="Fixed analogue gain.")
    ] = None
    focus: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="Fixed focus, in the driver's unit (dioptres on Pi)."),
    ] = None


class MotionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Leave out frames in which nothing moved; saves power and heat."""

    gate: Annotated[
        bool,
        Meta(description="Infer only where something moved since the last frame looked at."),
    ] = False
    threshold: Annotated[
        Annotated[float, Meta(gt=0, le=1)],
        Meta(description="Share of the picture that must have changed."),
    ] = 0.002
    keepalive_seconds: Annotated[
        Annotated[float, Meta(ge=0.1, le=3600)],
        Meta(description="Infer at least this often, moved or not."),
    ] = 5.0


class CameraSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source of frames; repeat the table for more."""

    name: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z0-9-]+$")],
        Meta(description="Name in topics: a-z, 0-9 and -."),
    ] = "camera"
    source: Annotated[
        str,
        Meta(
            description="Where frames come from: auto (whichever camera is there), picamera2, "
            "libcamera, v4l2:/dev/video0, rtsp://..., http://..., video:PATH, images:PATH or "
            "synthetic. In the user and password of an address, / is written %2F, ? %3F, # %23 and "
            "@ %40."
        ),
    ] = "auto"
    width: Annotated[
        Annotated[int, Meta(ge=16, le=8192)], Meta(description="Captured width, pixels.")
    ] = 1280
    height: Annotated[
        Annotated[int, Meta(ge=16, le=8192)], Meta(description="Captured height, pixels.")
    ] = 720
    fps: Annotated[
        Annotated[float, Meta(ge=0.1, le=1000)],
        Meta(description="Frames per second asked of the camera."),
    ] = 30.0
    rotation: Annotated[
        Literal[0, 90, 180, 270],
        Meta(description="Degrees clockwise that make the picture upright."),
    ] = 0
    flip_horizontal: Annotated[
        bool, Meta(description="Mirror left and right, after the rotation.")
    ] = False
    flip_vertical: Annotated[
        bool, Meta(description="Mirror top and bottom, after the rotation.")
    ] = False
    crop: Annotated[
        tuple[Share, Share, Share, Share],
        Meta(
            description="Look only at this part: x, y, width, height in 0..1 of the upright "
            "picture."
        ),
    ] = (0.0, 0.0, 1.0, 1.0)
    fit: Annotated[
        Literal["stretch", "letterbox"],
        Meta(
            description="stretch fills the model's square input (as SSD was trained), "
            "letterbox keeps proportions."
        ),
    ] = "stretch"
    frozen_seconds: Annotated[
        Literal["auto"] | Annotated[float, Meta(ge=0)],
        Meta(
            description="The same picture, to the bit, for so long means a frozen camera: auto "
            "takes 5 s, and 30 s for network cameras, whose encoders repeat pictures; 0: never."
        ),
    ] = "auto"
    controls: Annotated[Controls, Meta(description="Exposure, gain, focus.")] = field(
        default_factory=Controls
    )
    motion: Annotated[MotionSettings, Meta(description="The motion gate.")] = field(
        default_factory=MotionSettings
    )
    options: Annotated[
        dict[str, Any],
        Meta(description="Options of this kind of source; see docs/configuration.md."),
    ] = field(default_factory=dict)
    labels: Annotated[
        tuple[str, ...],
        Meta(description="Only these labels of this camera; empty for those of [model]."),
    ] = ()
    threshold: Annotated[
        Share | None,
        Meta(description="Lowest score that counts here; unset for [model] score_threshold."),
    ] = None
    thresholds: Annotated[
        dict[str, Share],
        Meta(description="The same for single labels, e.g. {dog = 0.7}."),
    ] = field(default_factory=dict)
    min_area: Annotated[
        Share, Meta(description="Objects that take less of the picture are left out.")
    ] = 0.0
    max_area: Annotated[
        Share, Meta(description="Objects that take more of the picture are left out.")
    ] = 1.0
    detections: Annotated[
        Literal["every", "changed", "off"] | Annotated[float, Meta(gt=0, le=1000)],
        Meta(
            description="Which frames' detections are published: every; changed (only where the "
            "objects, their labels, zones or stillness are other than before); so many a second; "
            "off."
        ),
    ] = "every"
    objects: Annotated[
        ObjectSettings, Meta(description="The same object over time: events and counts.")
    ] = field(default_factory=ObjectSettings)
    zone: Annotated[
        tuple[ZoneSettings, ...],
        Meta(description="Parts of the picture to tell apart: [[camera.zone]] tables."),
    ] = ()
    line: Annotated[
        tuple[LineSettings, ...],
        Meta(description="Lines whose crossings are counted: [[camera.line]] tables."),
    ] = ()
    ignore: Annotated[
        tuple[IgnoreSettings, ...],
        Meta(description="Parts whose objects are left out: [[camera.ignore]] tables."),
    ] = ()
    mask: Annotated[
        tuple[MaskSettings, ...],
        Meta(description="Parts that nobody may see: [[camera.mask]] tables."),
    ] = ()
    pause: Annotated[
        tuple[str, ...],
        Meta(
            description="When nobody looks, by the machine's clock (be it set or not) and time "
            'zone: "22:00-06:00", "Mon-Fri 08:00-17:30".'
        ),
    ] = ()
    pictures: Annotated[
        PictureSettings, Meta(description="Pictures of objects, with their events; off by default.")
    ] = field(default_factory=PictureSettings)
    filter: Annotated[
        tuple[dict[str, Any], ...],
        Meta(
            description="What is done, in order, with what was seen: [[camera.filter]] tables, "
            "each with a kind; see docs/configuration.md."
        ),
    ] = ()


class TelemetrySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Heat, frequency, throttling and memory of the board."""

    interval_seconds: Annotated[
        Annotated[float, Meta(ge=1, le=3600)],
        Meta(description="How often health is read and published."),
    ] = 10.0


class GovernorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Eases the work before the board's firmware slows the processor."""

    mode: Annotated[
        Literal["off", "advise", "act"],
        Meta(description="act eases and restores; advise only says what it would do."),
    ] = "act"
    min_fps: Annotated[
        Annotated[float, Meta(gt=0, le=1000)],
        Meta(
            description="Frames a second of all cameras together that are held as long as the "
            "board allows."
        ),
    ] = 5.0
    soft_limit_celsius: Annotated[
        Annotated[float, Meta(ge=0, le=120)],
        Meta(description="Where the firmware begins to slow; 0 for what the board is known for."),
    ] = 0.0


class MetricsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frame rates and stage times."""

    window_seconds: Annotated[
        Annotated[float, Meta(ge=1, le=3600)],
        Meta(
            description="Rates and percentiles are counted over this window and published at "
            "its end."
        ),
    ] = 10.0


class UpdateSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where newer software comes from; for the Debian package."""

    origin: Annotated[
        str,
        Meta(
            description="Address of an apt repository (https://... or file:///...); empty: no "
            "updates."
        ),
    ] = ""
    key_file: Annotated[str, Meta(description="Key that must have signed it (.asc or .gpg).")] = (
        "/etc/appliance/update-key.asc"
    )
    install: Annotated[
        Literal["ask", "automatic"],
        Meta(description="ask waits for `appliance update --install` or a word over MQTT."),
    ] = "ask"


class HomeAssistantSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Home Assistant finds the unit by itself."""

    discovery: Annotated[bool, Meta(description="Publish what it needs for that.")] = True
    prefix: Annotated[
        Annotated[str, Meta(pattern=r"^[^+#/\s]+(/[^+#/\s]+)*$")],
        Meta(description="Its discovery prefix."),
    ] = "homeassistant"
    configuration_url: Annotated[
        Annotated[str, Meta(pattern=r"^(https?://\S+)?$", examples=["http://unit.local/"])],
        Meta(description="Where its device page leads for settings; empty for nowhere."),
    ] = ""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a unit can be told."""

    device: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z0-9-]*$")],
        Meta(
            description="Name of this unit in topics; empty for appliance- and 8 digits from "
            "the machine id."
        ),
    ] = ""
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    accelerator: AcceleratorSettings = field(default_factory=AcceleratorSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    governor: GovernorSettings = field(default_factory=GovernorSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    sinks: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="Where messages go besides MQTT, one table a kind: [sinks.jsonl]."),
    ] = field(default_factory=dict)
    update: UpdateSettings = field(default_factory=UpdateSettings)
    webhook: Annotated[
        tuple[WebhookSettings, ...],
        Meta(description="Receivers of events by HTTP: [[webhook]] tables."),
    ] = ()
    homeassistant: HomeAssistantSettings = field(default_factory=HomeAssistantSettings)
    camera: tuple[CameraSettings, ...] = field(default_factory=lambda: (CameraSettings(),))
