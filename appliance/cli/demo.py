"""``appliance demo``: the main job without hardware: synthetic camera, own broker, live view."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import msgspec

from appliance.cli.common import handle_signals
from appliance.cli.demo_broker import DemoBroker, start_broker
from appliance.cli.view import ApplianceView
from appliance.config import CameraSettings, Settings
from appliance.config.settings import MetricsSettings, MqttSettings, TelemetrySettings
from appliance.daemon.lifecycle import Daemon
from appliance.daemon.requests import Requests
from appliance.daemon.sinks import device_of
from appliance.daemon.systemd import ServiceManager
from appliance.selection.environment import Environment

if TYPE_CHECKING:
    import argparse

    from appliance.reports.outgoing import Outgoing

WINDOW_SECONDS = 2.0
_REDRAWS_PER_SECOND = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument(
        "--frames", type=int, default=0, metavar="N", help="end by itself after N results"
    )
    parser.add_argument("--fps", type=float, default=30.0, help="of the synthetic camera")
    parser.add_argument(
        "--source", default="synthetic", help="another source, e.g. v4l2:/dev/video0"
    )
    parser.add_argument("--broker", choices=("auto", "mosquitto", "amqtt"), default="auto")
    parser.add_argument("--port", type=int, default=0, help="of the broker; 0 for a free one")


def run(options: argparse.Namespace) -> int:
    """Run until Ctrl-C, or until enough frames were seen."""
    requests = Requests()
    handle_signals(requests)
    broker = start_broker(options.broker, options.port)
    try:
        _run(options, broker, requests)
    finally:
        broker.stop()
    return 0


def _run(options: argparse.Namespace, broker: DemoBroker, requests: Requests) -> None:
    settings = demo_settings(options.source, options.fps, broker.port)
    environment = Environment()
    device = device_of(settings, environment)
    line = f"mosquitto_sub -h 127.0.0.1 -p {broker.port} -v -t 'appliance/{device}/#'"
    view = ApplianceView(
        f"appliance demo, {broker.kind} on 127.0.0.1:{broker.port}",
        f"from another terminal: {line}\nor: appliance watch --host 127.0.0.1 "
        f"--port {broker.port}\nCtrl-C ends it.",
    )
    sink = ViewOutlet(view)
    daemon = Daemon(
        lambda: settings,
        environment,
        requests,
        ServiceManager(os.environ),
        extra_outlets=(sink,),
        max_frames=options.frames,
    )
    print(f"subscribe from another terminal with:\n  {line}", flush=True)
    with _Screen(view, sink):
        daemon.run()
    print(view.summary())
    print(f"{sink.count_of_detections} results published. Bye.")


def demo_settings(source: str, fps: float, port: int) -> Settings:
    """Return the settings of the demo: one camera, a broker on loopback, short windows."""
    return Settings(
        mqtt=MqttSettings(host="127.0.0.1", port=port, outbox="memory"),
        metrics=MetricsSettings(window_seconds=WINDOW_SECONDS),
        telemetry=TelemetrySettings(interval_seconds=WINDOW_SECONDS),
        camera=(CameraSettings(name="demo", source=source, fps=fps),),
    )


class ViewOutlet:
    """Feeds the view; counts results."""

    name = "view"
    kinds: frozenset[str] | None = None

    def __init__(self, view: ApplianceView) -> None:
        self._view = view
        self.count_of_detections = 0
        self.windows = 0
        view.feed("status", "running")

    def open(self) -> None:
        """There is nothing to open."""

    def handle(self, outgoing: Outgoing) -> None:
        self._view.feed(outgoing.topic, msgspec.json.decode(outgoing.payload))
        self.count_of_detections += outgoing.kind == "detections"
        self.windows += outgoing.kind == "metrics"

    def close(self) -> None:
        """Leave the last picture."""


class _Screen:
    """Redraws on a terminal; prints one line a window elsewhere."""

    def __init__(self, view: ApplianceView, sink: ViewOutlet) -> None:
        self._view = view
        self._sink = sink
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="screen", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(2)

    def _draw(self) -> None:
        if not sys.stdout.isatty():
            shown = 0
            while not self._stop.wait(1 / _REDRAWS_PER_SECOND):
                if self._sink.windows > shown:
                    shown = self._sink.windows
                    print(self._view.summary(), flush=True)
            return
        from rich.live import Live  # noqa: PLC0415 - terminal only

        with Live(self._view, refresh_per_second=_REDRAWS_PER_SECOND):
            self._stop.wait()
