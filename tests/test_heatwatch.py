"""A running unit on a board that heats up: episodes and the governor, seen from the broker."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.board.processor import CpuTimes, cpu_times
from appliance.clock import NS_PER_SECOND
from appliance.config import CameraSettings, Settings
from appliance.config.settings import (
    AcceleratorSettings,
    GovernorSettings,
    MetricsSettings,
    MqttSettings,
    TelemetrySettings,
)
from appliance.daemon.heatwatch import HeatWatch
from appliance.daemon.lifecycle import Daemon
from appliance.daemon.requests import Requests
from appliance.daemon.systemd import ServiceManager
from appliance.heat.contention import CONTENDED_SHARE, Contention
from appliance.pipeline.pace import Pace
from appliance.pipeline.statistics import Spread, Window
from appliance.telemetry import Snapshot
from appliance.telemetry.thermal import Thermal
from tests.helpers import Subscriber, environment, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.cli.demo_broker import DemoBroker

PI4 = Path(__file__).parent / "fixtures/roots/pi4"
ZONE = "sys/class/thermal/thermal_zone0/temp"
FLAGS = "sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled"


GOVERNED_WINDOWS = 4
UNDER_WAY = 4
"""Frames let in before the first window and after a late one, that the rate did not hold back."""


@contextmanager
def unit(
    broker: DemoBroker, tmp_path: Path, mode: str, board: Path = PI4
) -> Iterator[tuple[Subscriber, Path]]:
    root = tmp_path / "root"
    shutil.copytree(board, root)
    settings = Settings(
        sinks={"prometheus": {"port": 0}},  # others run beside it
        device="unit-1",
        mqtt=MqttSettings(host="127.0.0.1", port=broker.port),
        accelerator=AcceleratorSettings(name="cpu", workers=1),
        governor=GovernorSettings(mode=mode, min_fps=0.5),  # type: ignore[arg-type]
        metrics=MetricsSettings(window_seconds=1),
        telemetry=TelemetrySettings(interval_seconds=1),
        camera=(CameraSettings(name="front", source="synthetic", width=320, height=240, fps=15),),
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


def rates(subscriber: Subscriber) -> list[float]:
    """The rates that were told, one a window."""
    return [one["end_to_end_fps"] for one in subscriber.of("front/metrics")]


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
        (root / FLAGS).write_text("0\n")
        wait_for(lambda: alerts(subscriber, "throttling_ended"))
        (ended,) = alerts(subscriber, "throttling_ended")
        assert ended["cause"] == "soft_temperature_limit"
        assert ended["duration_seconds"] > 0
        told = rates(subscriber)
        assert min(told) <= ended["fps_before"] <= max(told)
        assert min(told) <= ended["fps_during"] <= max(told)
        assert "FPS" in ended["reason"]
        wait_for(lambda: subscriber.of("health")[-1]["state"] == "ok")
        assert subscriber.of("health")[-1]["throttle"]["since_boot"] == ["soft_temperature_limit"]
        throttling = subscriber.of("health")[-1]["throttling"]
        assert throttling["episodes_total"] == {"soft_temperature_limit": 1}


def test_each_health_message_has_a_reading_of_its_own(broker: DemoBroker, tmp_path: Path) -> None:
    """From the first one on, though heat is looked after every ten seconds only."""
    with unit(broker, tmp_path, "off") as (subscriber, root):
        assert subscriber.of("health")[0]["temperature_celsius"] == 52.095
        for celsius in (61.0, 62.0, 63.0):
            (root / ZONE).write_text(f"{celsius * 1000:.0f}\n")
            told = len(subscriber.of("health"))
            wait_for(lambda told=told: len(subscriber.of("health")) > told + 2)  # type: ignore[misc]
            assert subscriber.of("health")[told + 2]["temperature_celsius"] == celsius


def test_the_governor_eases_and_says_what_it_did(broker: DemoBroker, tmp_path: Path) -> None:
    with unit(broker, tmp_path, "act") as (subscriber, root):
        (root / ZONE).write_text("79000\n")
        wait_for(lambda: alerts(subscriber, "governor"))
        (alert,) = alerts(subscriber, "governor")
        assert (alert["mode"], alert["advised"]) == ("eased", False)
        assert alert["fps_before"] in rates(subscriber)
        assert alert["target_fps"] == pytest.approx(0.8 * alert["fps_before"], abs=0.01)
        assert "slowed from 80" in alert["reason"]
        before = len(subscriber.of("front/metrics")) + 1
        wait_for(lambda: len(subscriber.of("front/metrics")) >= before + GOVERNED_WINDOWS)
        governed = subscriber.of("front/metrics")[before:]
        allowed = alert["target_fps"] * sum(one["window"]["seconds"] for one in governed)
        assert sum(one["window"]["frames"] for one in governed) <= allowed + UNDER_WAY
        assert governed[-1]["frames"]["dropped"]["governed"] > 0
        wait_for(lambda: subscriber.of("health")[-1]["governor"]["fps_after"] is not None)
        governor = subscriber.of("health")[-1]["governor"]
        assert governor["fps_before"] == alert["fps_before"]
        assert governor["fps_after"] in rates(subscriber)
        assert (governor["state"], governor["mode"]) == ("act", "eased")


def test_an_adviser_changes_nothing(broker: DemoBroker, tmp_path: Path) -> None:
    with unit(broker, tmp_path, "advise") as (subscriber, root):
        (root / ZONE).write_text("79000\n")
        wait_for(lambda: alerts(subscriber, "governor"))
        assert alerts(subscriber, "governor")[0]["advised"] is True
        windows = len(subscriber.of("front/metrics"))
        wait_for(lambda: len(subscriber.of("front/metrics")) > windows + 1)
        assert subscriber.of("front/metrics")[-1]["frames"]["dropped"].get("governed", 0) == 0


def test_without_a_known_limit_nothing_is_done(broker: DemoBroker, tmp_path: Path) -> None:
    """A guess would take frames away from a board that is well."""
    pc = Path(__file__).parent / "fixtures/roots/x86"
    with unit(broker, tmp_path, "act", pc) as (subscriber, root):
        (root / ZONE).write_text("97000\n")
        health = len(subscriber.of("health"))
        wait_for(lambda: len(subscriber.of("health")) > health + 3)
        governor = subscriber.of("health")[-1]["governor"]
        assert governor["soft_limit_celsius"] is None
        assert not alerts(subscriber, "governor")


class Memory:
    """A reporter that remembers its alerts."""

    def __init__(self) -> None:
        self.alerts: list[str] = []

    def alert(self, kind: str, **fields: Any) -> None:
        self.alerts.append(f"{kind} {fields.get('cause') or fields.get('mode')}")


def watch(mode: str = "act") -> tuple[HeatWatch, Pace, Memory]:
    pace, memory = Pace(), Memory()
    settings = GovernorSettings(mode=mode, min_fps=2.0)  # type: ignore[arg-type]
    return HeatWatch(settings, pace, memory), pace, memory  # type: ignore[arg-type]


def metrics(fps: float, inference_ms: float, alone: float) -> Window:
    """A window of ten seconds; ``alone`` is what all workers, two of them, would sustain."""
    spread = Spread(
        mean=inference_ms, p50=inference_ms, p95=inference_ms, p99=inference_ms, max=inference_ms
    )
    frames = round(10 * fps)
    return Window(
        seconds=10, frames=frames, first_seq=0, last_seq=99, captured=frames, gated=0,
        inference_seconds=2 * frames / alone, stages={"inference": spread}, latency=spread,
    )  # fmt: skip


def board(celsius: float | None = 50.0) -> Snapshot:
    if celsius is None:
        return Snapshot(collectors={})
    thermal = Thermal(
        temperature_celsius=celsius,
        zones_celsius={"cpu-thermal": celsius},
        limits_celsius={"soft": 80.0, "hard": 85.0},
    )
    return Snapshot(readings={"thermal": thermal}, collectors={})


def test_inferred_throttling_begins_and_ends_where_nothing_is_told() -> None:
    heat, _, memory = watch("off")
    now = 0
    for inference_ms in (15.0,) * 8 + (24.0,) * 4 + (15.0,) * 4:
        heat.window([metrics(10, inference_ms, 60)], "edgetpu", "m", 1)
        now += 10 * NS_PER_SECOND
        heat.poll(now, board())
    assert memory.alerts == ["throttling_began inferred", "throttling_ended inferred"]
    assert heat.active == ()


def test_nothing_is_inferred_while_other_programs_take_the_processor() -> None:
    heat, _, memory = watch("off")
    now = 0
    for inference_ms in (15.0,) * 8 + (24.0,) * 20:
        heat.window([metrics(10, inference_ms, 60)], "edgetpu", "m", 1, contended=inference_ms > 20)
        now += 10 * NS_PER_SECOND
        heat.poll(now, board())
    assert memory.alerts == []


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=20),
    st.integers(1, 16),
)
def test_contention_is_what_others_take_of_the_time_between_two_looks(
    shares: list[tuple[float, float]], processors: int
) -> None:
    contention = Contention()
    total = idle = own = 0.0
    assert not contention.look(CpuTimes(total, idle, own))
    for others, ours in shares:
        scale = 1 / max(1.0, others + ours)
        total += 10 * processors
        own += 10 * processors * ours * scale
        idle += 10 * processors * (1 - (others + ours) * scale)
        share = others * scale
        if abs(share - CONTENDED_SHARE) > 0.001:
            assert contention.look(CpuTimes(total, idle, own)) == (share > CONTENDED_SHARE)
        else:
            contention.look(CpuTimes(total, idle, own))
    assert not contention.look(None)
    assert not contention.look(CpuTimes(total, idle, own))


def test_just_the_share_that_is_allowed_is_no_contention() -> None:
    contention = Contention()
    contention.look(CpuTimes(0, 0, 0))
    assert not contention.look(CpuTimes(100, 85, 0))
    assert contention.look(CpuTimes(200, 169, 0))
    assert not contention.look(CpuTimes(200, 169, 0))  # no time has passed


def test_the_processors_time_is_read_as_the_kernel_writes_it(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    assert cpu_times(tmp_path) is None
    stat = tmp_path / "proc/stat"
    stat.write_text("cpu  100 20 30 4000 50 6 7 8 900 90\ncpu0 1 2 3\n")
    times = cpu_times(tmp_path)
    assert times is not None
    hertz = os.sysconf("SC_CLK_TCK")
    assert times.total == pytest.approx(4221 / hertz)
    assert times.idle == pytest.approx(4050 / hertz)
    assert times.own > 0
    for damaged in ("", "cpu 1 2 3\n", "cpu a b c d e f g h\n"):
        stat.write_text(damaged)
        assert cpu_times(tmp_path) is None


@pytest.mark.parametrize(("alone", "single"), [(60.0, True), (3.0, False)])
def test_workers_rest_only_if_one_can_hold_the_floor(alone: float, *, single: bool) -> None:
    heat, pace, _ = watch()
    for number in range(60):
        heat.window([metrics(3.0, 100, alone)], "cpu", "m", 2)
        heat.poll(number * 10 * NS_PER_SECOND, board(82.0))
    assert heat.governor().mode == "minimum"
    assert pace.target_fps == 2.0
    assert pace.single_worker is single


def test_a_pause_is_a_reason_and_so_is_a_thermometer_that_is_gone() -> None:
    heat, pace, _ = watch()
    for number in range(30):
        heat.window([metrics(3.0, 100, 60)], "cpu", "m", 2)
        heat.poll(number * 10 * NS_PER_SECOND, board(90.0))
    assert pace.target_fps == 0.0
    (paused,) = heat.problems()
    assert paused.text == "governor: paused, 90.0 °C at the lowest rate"
    for number in range(30, 40):
        heat.poll(number * 10 * NS_PER_SECOND, board(None))
    assert pace.target_fps == 2.0
    (gone,) = heat.problems()
    assert gone.text == "temperature: not told any more, the governor holds the rate (minimum)"
    for number in range(40, 400):
        heat.window([metrics(3.0, 100, 60)], "cpu", "m", 2)
        heat.poll(number * 10 * NS_PER_SECOND, board(50.0))
    assert heat.governor().mode == "full"
    assert heat.problems() == ()


def test_an_adviser_never_pauses_and_has_no_reason() -> None:
    heat, pace, _ = watch("advise")
    for number in range(60):
        heat.window([metrics(3.0, 100, 60)], "cpu", "m", 2)
        heat.poll(number * 10 * NS_PER_SECOND, board(90.0))
    assert not pace.paused
    assert heat.problems() == ()


def test_a_reload_forgets_neither_mode_nor_pace() -> None:
    heat, pace, _ = watch()
    for number in range(20):
        heat.window([metrics(12.0, 100, 12)], "cpu", "m", 1)
        heat.poll(number * 10 * NS_PER_SECOND, board(79.0))
    assert heat.governor().mode == "eased"
    target = pace.target_fps
    assert target is not None
    heat.use(GovernorSettings(mode="act", min_fps=2.0))
    assert pace.target_fps == target
    heat.use(GovernorSettings(mode="off", min_fps=2.0))
    assert heat.governor().mode == "full"
    assert pace.target_fps is None


def test_the_rate_after_a_change_is_that_of_the_first_whole_window() -> None:
    """The window in which the change was made is neither before nor after."""
    heat, _, _ = watch()
    heat.window([metrics(12.0, 100, 12)], "cpu", "m", 1)
    heat.poll(0, board(79.0))
    assert (heat.governor().mode, heat.governor().fps_before) == ("eased", 12.0)
    told = []
    for fps in (11.0, 9.5, 9.6, 9.7):
        heat.window([metrics(fps, 100, 12)], "cpu", "m", 1)
        told.append(heat.governor().fps_after)
    assert told == [None, 9.5, 9.5, 9.5]
    heat.poll(40 * NS_PER_SECOND, board(79.0))
    assert (heat.governor().fps_before, heat.governor().fps_after) == (9.7, None)
