"""A whole unit in this process whose parts can be made to fail while it runs."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.config import CameraSettings, Settings
from appliance.config.settings import (
    AcceleratorSettings,
    MetricsSettings,
    MqttSettings,
    TelemetrySettings,
)
from appliance.daemon.lifecycle import Daemon
from appliance.daemon.requests import Requests
from appliance.daemon.systemd import ServiceManager
from appliance.errors import ApplianceError
from tests.fakes.unsound_cpu import PATHS
from tests.helpers import environment, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.daemon.unit import Unit
    from appliance.filters import Filter
    from appliance.reports.outgoing import Outgoing
    from appliance.sinks import Outlet
    from appliance.values import Observation

FPS = 20
AT_FRAME = 60


@dataclass
class Listener:
    """An outlet in the process: it hears of everything, also while the broker does not.

    Of detections it keeps the number of the frame.
    """

    name = "listener"
    kinds: frozenset[str] | None = None
    heard: list[tuple[float, str, Any]] = field(default_factory=list)

    def open(self) -> None:
        pass

    def handle(self, outgoing: Outgoing) -> None:
        if outgoing.kind in {"health", "alert"}:
            message = msgspec.json.decode(outgoing.payload)
            self.heard.append((time.monotonic(), outgoing.kind, message))
        elif outgoing.kind == "detections":
            seq = msgspec.json.decode(outgoing.payload)["frame"]["seq"]
            self.heard.append((time.monotonic(), "detections", seq))

    def close(self) -> None:
        pass

    def all(self, kind: str) -> list[Any]:
        return [message for _, one, message in list(self.heard) if one == kind]


@dataclass
class Gate:
    """A filter, and an outlet, through which no frame passes once it is shut.

    As an outlet it can also fail.
    """

    name = "gate"
    kinds: frozenset[str] | None = frozenset({"detections"})
    shut: bool = False
    fault: Exception | None = None
    wants_picture: bool = False

    def apply(self, observation: Observation) -> Observation:
        self._pass()
        return observation

    def open(self) -> None:
        pass

    def handle(self, outgoing: Outgoing) -> None:
        self._pass()
        if self.fault is not None:
            raise self.fault

    def close(self) -> None:
        pass

    def _pass(self) -> None:
        pause = threading.Event()
        while self.shut:
            pause.wait(0.05)


class FaultyUnit:
    """See the module's description.

    Args:
        folder: for everything; its ``sys`` holds the board's files.
        port: of the broker; None for no MQTT.
        jsonl: where lines go, if anywhere.
        cameras: settings of each, besides the usual ones; one camera without any.
        filters: applied to every camera.
        outlets: besides the one that listens.
    """

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        jsonl: str = "",
        cameras: tuple[dict[str, Any], ...] = ({},),
        filters: tuple[Filter, ...] = (),
        outlets: tuple[Outlet, ...] = (),
    ) -> None:
        self.folder = folder
        self.control = folder / "control"
        self.control.mkdir()
        self.thermometer = folder / "sys/class/thermal/thermal_zone0/temp"
        self.thermometer.parent.mkdir(parents=True)
        (self.thermometer.parent / "type").write_text("cpu-thermal\n")
        self.thermometer.write_text("45000\n")
        usual = {"source": "synthetic", "width": 320, "height": 240, "fps": FPS}
        self.settings = Settings(
            device="unit-1",
            mqtt=MqttSettings(enabled=port is not None, host="127.0.0.1", port=port or 1883),
            sinks={"jsonl": {"path": jsonl}, "prometheus": {"port": 0}},
            accelerator=AcceleratorSettings(
                name="cpu",
                options={"cpu": {"control": str(self.control)}},
                workers=1,
                threads=1,
            ),
            metrics=MetricsSettings(window_seconds=1),
            telemetry=TelemetrySettings(interval_seconds=1),
            camera=tuple(
                msgspec.convert({"name": f"cam{n}", **usual, **one}, CameraSettings)
                for n, one in enumerate(cameras)
            ),
        )
        self.listener = Listener()
        self.failure: BaseException | None = None
        self.requests = Requests()
        surroundings = replace(environment(folder, root=folder), accelerators=PATHS)
        variables = {**surroundings.variables, "STATE_DIRECTORY": str(folder / "state")}
        self._daemon = Daemon(
            lambda: self.settings,
            replace(surroundings, variables=variables),
            self.requests,
            ServiceManager({}),
            extra_outlets=(self.listener, *outlets),
            extra_filters=lambda _: filters,
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._daemon.run()
        except ApplianceError as error:
            self.failure = error

    @property
    def health(self) -> dict[str, Any]:
        """Return the newest health message; nothing in it before there was one."""
        messages: list[dict[str, Any]] = self.listener.all("health")
        return messages[-1] if messages else {"state": "", "reasons": []}

    @property
    def unit(self) -> Unit:
        """Return what runs now."""
        wait_for(lambda: self._daemon.unit is not None)
        assert self._daemon.unit is not None
        return self._daemon.unit

    def reload(self, **settings: Any) -> None:
        """Reload with other settings; returns when they are in force, or were refused."""
        before = self.unit
        self.settings = msgspec.structs.replace(self.settings, **settings)
        self.requests.ask_reload()
        wait_for(lambda: self.unit is not before or self._daemon.refusal)

    def sinks(self) -> tuple[Any, ...]:
        """Return the sinks; waits until there are some."""
        wait_for(lambda: self._daemon.sinks is not None)
        assert self._daemon.sinks is not None
        return self._daemon.sinks.all

    def results(self) -> int:
        return len(self.listener.all("detections"))

    def problems(self) -> list[tuple[str, str]]:
        """Return what alerts told: kind of alert and of problem."""
        alerts = self.listener.all("alert")
        return [(one["kind"], one["problem"]) for one in alerts if one["problem"]]

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def stop(self) -> None:
        for name in ("hang", "fail"):
            (self.control / name).unlink(missing_ok=True)
        self.requests.ask_stop()
        self._thread.join(20)
        assert self.ended


def mishap(kind: str, **more: Any) -> dict[str, Any]:
    """Return a camera that begins to misbehave after three seconds."""
    script = {"at_frame": AT_FRAME, "kind": kind, "frames": 1_000_000, **more}
    return {"options": {"script": [script]}}


def stuck_file(path: Path) -> Callable[[], None]:
    """Make reading ``path`` hang; return what ends that."""
    fifo = path.with_name("fifo")
    os.mkfifo(fifo)
    fifo.replace(path)

    def release() -> None:
        with path.open("r+b", buffering=0) as both:
            both.write(b"45000\n")
            regular = path.with_name("regular")
            regular.write_text("45000\n")
            regular.replace(path)

    return release


@dataclass(frozen=True)
class Fault:
    """A fault of the field: how it is brought about, and what has to be said of it.

    Attributes:
        name: for people.
        problem: what the alert calls it.
        words: in the reason.
        camera: settings that act it out.
        control: file that tells the detector to.
        ends: the process ends by it.
    """

    name: str
    problem: str
    words: str
    camera: dict[str, Any] = field(default_factory=dict)
    control: str = ""
    ends: bool = False


FAULTS = (
    Fault("every frame corrupt", "no_results", "(corrupt ", mishap("corrupt")),
    Fault("detector hung", "no_results", "frames come", control="hang", ends=True),
    Fault("source stalled", "no_results", "no frames", mishap("stall", seconds=600), ends=True),
    Fault("picture frozen", "frozen", "the same picture", mishap("duplicate")),
    Fault("9 of 10 inferences fail", "failing", "% of frames fail (detector_e", control="fail"),
)
