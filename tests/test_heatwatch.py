"""A running unit on a board that heats up: episodes and the governor, seen from the broker."""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from appliance.config import Camera, Settings
from appliance.config.settings import Accelerator, Governor, Metrics, Mqtt, Telemetry
from appliance.daemon import Daemon
from appliance.service import ServiceManager
from appliance.supervisor import Requests
from tests.helpers import Subscriber, environment, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.demo_broker import DemoBroker

PI4 = Path(__file__).parent / "fixtures/roots/pi4"
ZONE = "sys/class/thermal/thermal_zone0/temp"
FLAGS = "sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled"


@contextmanager
def unit(broker: DemoBroker, tmp_path: Path, mode: str) -> Iterator[tuple[Subscriber, Path]]:
    root = tmp_path / "root"
    shutil.copytree(PI4, root)
    settings = Settings(
        device="unit-1",
        mqtt=Mqtt(host="127.0.0.1", port=broker.port),
        accelerator=Accelerator(name="cpu", workers=1),
        governor=Governor(mode=mode, min_fps=2.0),  # type: ignore[arg-type]
        metrics=Metrics(window_seconds=1),
        telemetry=Telemetry(interval_seconds=1),
        camera=(Camera(name="front", source="synthetic", width=320, height=240, fps=15),),
    )
    subscriber, requests = Subscriber(broker.port), Requests()
    surroundings = replace(environment(tmp_path), root=root)
    daemon = Daemon(lambda: settings, surroundings, requests, ServiceManager({}))
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        wait_for(lambda: len(subscriber.of("front/metrics")) >= 2, 20)
        yield subscriber, root
    finally:
        requests.ask_stop()
        thread.join(20)
        subscriber.close()
    assert not thread.is_alive()


def alerts(subscriber: Subscriber, kind: str) -> list[dict[str, Any]]:
    return [one for one in subscriber.of("alerts") if one["kind"] == kind]


def test_an_episode_is_told_with_its_cost(broker: DemoBroker, tmp_path: Path) -> None:
    with unit(broker, tmp_path, "off") as (subscriber, root):
        (root / FLAGS).write_text("80008\n")
        wait_for(lambda: alerts(subscriber, "throttling_began"))
        wait_for(lambda: subscriber.of("health")[-1]["state"] == "degraded")
        health = subscriber.of("health")[-1]
        assert health["reasons"] == ["throttled: soft temperature limit"]
        assert health["throttled"] is True
        assert health["throttling"]["active"] == ["soft_temperature_limit"]
        metrics = len(subscriber.of("front/metrics"))
        wait_for(lambda: len(subscriber.of("front/metrics")) > metrics + 1)
        (root / FLAGS).write_text("80000\n")
        wait_for(lambda: alerts(subscriber, "throttling_ended"))
        (ended,) = alerts(subscriber, "throttling_ended")
        assert ended["cause"] == "soft_temperature_limit"
        assert ended["duration_seconds"] > 0
        assert ended["fps_before"] == pytest.approx(15, rel=0.3)
        assert ended["fps_during"] is not None
        assert "FPS" in ended["reason"]
        wait_for(lambda: subscriber.of("health")[-1]["state"] == "ok")
        throttling = subscriber.of("health")[-1]["throttling"]
        assert throttling["episodes_total"] == {"soft_temperature_limit": 1}


def test_the_governor_eases_and_says_what_it_did(broker: DemoBroker, tmp_path: Path) -> None:
    with unit(broker, tmp_path, "act") as (subscriber, root):
        (root / ZONE).write_text("79000\n")
        wait_for(lambda: alerts(subscriber, "governor"))
        (alert,) = alerts(subscriber, "governor")
        assert (alert["mode"], alert["advised"]) == ("eased", False)
        target = alert["target_fps"]
        assert 2 < target < 14
        assert "slowed from 80" in alert["reason"]
        wait_for(
            lambda: (
                subscriber.of("front/metrics")[-1]["end_to_end_fps"]
                == pytest.approx(target, rel=0.15)
            )
        )
        frames = subscriber.of("front/metrics")[-1]["frames"]
        assert frames["dropped"]["governed"] > 0
        wait_for(lambda: subscriber.of("health")[-1]["governor"]["fps_after"] is not None)
        governor = subscriber.of("health")[-1]["governor"]
        assert governor["fps_after"] < governor["fps_before"]
        assert (governor["state"], governor["mode"]) == ("act", "eased")


def test_an_adviser_changes_nothing(broker: DemoBroker, tmp_path: Path) -> None:
    with unit(broker, tmp_path, "advise") as (subscriber, root):
        (root / ZONE).write_text("79000\n")
        wait_for(lambda: alerts(subscriber, "governor"))
        assert alerts(subscriber, "governor")[0]["advised"] is True
        windows = len(subscriber.of("front/metrics"))
        wait_for(lambda: len(subscriber.of("front/metrics")) > windows + 1)
        assert subscriber.of("front/metrics")[-1]["frames"]["dropped"].get("governed", 0) == 0
