"""The live view of one appliance in a terminal, fed with its messages."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

_STAGES = ("capture", "queue", "preprocess", "inference", "postprocess", "publish")


class ApplianceView:
    """Remembers the newest messages and draws them.

    Args:
        title: above the view.
        hint: below it.
    """

    def __init__(self, title: str, hint: str = "") -> None:
        self._title = title
        self._hint = hint
        self._status = "waiting"
        self._info: dict[str, Any] = {}
        self._health: dict[str, Any] = {}
        self._detections: dict[str, dict[str, Any]] = {}
        self._metrics: dict[str, dict[str, Any]] = {}

    def feed(self, topic: str, message: Any) -> None:
        """Take a message; ``topic`` is what follows ``{prefix}/{device}/``."""
        camera, _, kind = topic.rpartition("/")
        if topic == "status":
            self._status = str(message)
        elif topic == "info":
            self._info = message
        elif topic == "health":
            self._health = message
        elif kind == "detections":
            self._detections[camera] = message
        elif kind == "metrics":
            self._metrics[camera] = message

    def __rich__(self) -> Panel:
        parts: list[Any] = [self._unit()]
        for camera in sorted({*self._detections, *self._metrics}):
            parts += [Text(), Text(f"camera {camera}", style="bold"), *self._camera(camera)]
        if self._hint:
            parts += [Text(), Text(self._hint, style="dim")]
        return Panel(Group(*parts), title=self._title, expand=False)

    def summary(self) -> str:
        """Return one line a camera: rates and temperature, for a terminal that cannot redraw."""
        lines = []
        for camera, metrics in self._metrics.items():
            seen = self._sees(camera)
            lines.append(
                f"{camera}: end-to-end {_fps(metrics['end_to_end_fps'])}, camera "
                f"{_fps(metrics['camera_fps'])}, inference-only "
                f"{_fps(metrics['inference_only_fps'])} FPS; {self._temperature()}; sees {seen}"
            )
        return "\n".join(lines)

    def _unit(self) -> Text:
        parts = [self._status]
        if self._info:
            parts.append(
                f"{self._info['model']['id']} on {self._info['accelerator']}, "
                f"{self._info['workers']} x {self._info['threads']} thread"
            )
        parts.append(self._temperature())
        throttled = self._health.get("throttled")
        if throttled is not None:
            parts.append("THROTTLED" if throttled else "not throttled")
        parts += list(self._health.get("reasons", ()))
        return Text("  |  ".join(parts))

    def _temperature(self) -> str:
        celsius = self._health.get("temperature_celsius")
        return f"{celsius:.1f} °C" if celsius is not None else "no temperature sensor"

    def _camera(self, camera: str) -> list[Any]:
        metrics = self._metrics.get(camera, {})
        rates = Table(box=None, padding=(0, 3, 0, 0))
        for heading in ("end-to-end FPS", "camera FPS", "inference-only FPS", "latency p50"):
            rates.add_column(heading)
        latency = metrics.get("latency_ms")
        rates.add_row(
            Text(_fps(metrics.get("end_to_end_fps")), style="bold green"),
            _fps(metrics.get("camera_fps")),
            _fps(metrics.get("inference_only_fps")),
            f"{latency['p50']:.1f} ms" if latency else "-",
        )
        stages = Table(box=None, padding=(0, 3, 0, 0))
        row = []
        for name in _STAGES:
            stages.add_column(name)
            one = metrics.get("stages_ms", {}).get(name)
            row.append(f"{one['p50']:.2f} ms" if one else "-")
        stages.add_row(*row)
        return [Text(f"sees {self._sees(camera)}"), rates, stages]

    def _sees(self, camera: str) -> str:
        """Return what a camera sees, and what is wrong with the unit where there is something."""
        reasons = "; ".join(self._health.get("reasons", ()))
        why = f" ({self._health['state']}: {reasons})" if reasons else ""
        return f"{self._seen(camera) or 'nothing'}{why}"

    def _seen(self, camera: str) -> str:
        found = self._detections.get(camera, {}).get("detections", ())
        return ", ".join(f"{one['label']} {one['score']:.2f}" for one in found)


def _fps(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.1f}"
