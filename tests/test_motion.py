"""The motion gate: still frames cost no inference, what moves is seen, and both are told."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import NS_PER_SECOND
from appliance.config import CameraSettings, Settings
from appliance.config.settings import (
    AcceleratorSettings,
    MetricsSettings,
    MotionSettings,
    MqttSettings,
)
from appliance.daemon.lifecycle import Daemon
from appliance.daemon.requests import Requests
from appliance.daemon.systemd import ServiceManager
from appliance.pipeline.statistics import Window
from appliance.values import Frame, PixelFormat, Pixels
from appliance.vision.motion import MotionGate
from appliance.vision.preprocess import View
from tests.helpers import Subscriber, environment, wait_for
from tests.packing import planes_of

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.cli.demo_broker import DemoBroker

SIZE = (640, 360)
SECOND = NS_PER_SECOND


def picture(x: int = -1, grey: int = 90, noise: float = 0.0, seed: int = 0) -> Pixels:
    """A grey scene with noise; a bright box of 40x60 at x unless that is negative."""
    random = np.random.default_rng(seed)
    scene = np.full((SIZE[1], SIZE[0], 3), grey, np.float32)
    if x >= 0:
        scene[150:210, x : x + 40] = 220
    scene += random.normal(0, noise, scene.shape) if noise else 0
    return np.clip(scene, 0, 255).astype(np.uint8)


def frame(*planes: Pixels, form: PixelFormat = PixelFormat.BGR24) -> Frame:
    return Frame(planes, form, *SIZE, captured_ns=0, seq=0)


class Gate(MotionGate):
    """Accepts whatever moved, as a pipeline does whose pace is not governed."""

    def admits(self, frame: Frame, now_ns: int) -> bool:
        if not self.moved(frame, now_ns):
            return False
        self.accept(now_ns)
        return True


def gate(threshold: float = 0.002, keepalive: float = 5.0, view: View | None = None) -> Gate:
    return Gate(view or View(), threshold, keepalive)


def test_a_still_scene_is_looked_at_once_and_then_now_and_then() -> None:
    one = gate(keepalive=5)
    seconds = [s / 10 for s in range(121)]
    admitted = [s for s in seconds if one.admits(frame(picture()), round(s * SECOND) + 1)]
    assert admitted == [0, 5, 10]


def test_noise_of_a_sensor_is_no_motion() -> None:
    one = gate()
    assert one.admits(frame(picture(noise=8)), SECOND * 9)
    assert not any(
        one.admits(frame(picture(noise=8, seed=seed)), SECOND * 9 + seed) for seed in range(1, 30)
    )


def test_what_comes_moves_and_goes_is_looked_at() -> None:
    one = gate()
    assert one.admits(frame(picture()), 9 * SECOND)
    assert one.admits(frame(picture(x=100)), 9 * SECOND + 1)
    assert not one.admits(frame(picture(x=100)), 9 * SECOND + 2)
    assert one.admits(frame(picture(x=140)), 9 * SECOND + 3)
    assert one.admits(frame(picture()), 9 * SECOND + 4)


def test_what_changes_slowly_counts_in_the_end() -> None:
    one = gate()
    assert one.admits(frame(picture(grey=90)), 9 * SECOND)
    admitted = [
        step
        for step in range(1, 40)
        if one.admits(frame(picture(grey=90 + step)), 9 * SECOND + step)
    ]
    assert admitted == [13, 26, 39]


@pytest.mark.parametrize("colour", [(0, 0, 255), (255, 0, 0), (0, 255, 0)])
def test_any_colour_counts(colour: tuple[int, int, int]) -> None:
    one, lit = gate(), picture(grey=0)
    lit[100:160, 100:160] = colour
    assert one.admits(frame(picture(grey=0)), 9 * SECOND)
    assert one.admits(frame(lit), 9 * SECOND + 1)


def test_what_was_governed_or_failed_is_looked_at_again() -> None:
    one = gate()
    assert one.admits(frame(picture()), 9 * SECOND)
    assert one.moved(frame(picture(x=100)), 9 * SECOND + 1)  # not accepted: the governor refused it
    assert one.admits(frame(picture(x=100)), 9 * SECOND + 2)
    one.forget()  # its inference failed
    assert one.admits(frame(picture(x=100)), 9 * SECOND + 3)


def test_only_the_crop_is_looked_at() -> None:
    left = gate(view=View(crop=(0, 0, 0.5, 1)))
    assert left.admits(frame(picture()), 9 * SECOND)
    assert not left.admits(frame(picture(x=500)), 9 * SECOND + 1)
    assert left.admits(frame(picture(x=100)), 9 * SECOND + 2)


@pytest.mark.parametrize("form", [PixelFormat.RGB24, PixelFormat.I420, PixelFormat.NV12])
def test_every_format_is_compared(form: PixelFormat) -> None:
    def shot(x: int) -> Frame:
        pixels = picture(x=x)
        if form is PixelFormat.RGB24:
            return frame(pixels, form=form)
        y, u, v = planes_of(pixels)
        chroma = (u, v) if form is PixelFormat.I420 else (np.dstack([u, v]),)
        return frame(y, *chroma, form=form)

    one = gate()
    assert one.admits(shot(-1), 9 * SECOND)
    assert not one.admits(shot(-1), 9 * SECOND + 1)
    assert one.admits(shot(300), 9 * SECOND + 2)


@given(st.integers(0, 599), st.integers(0, 599))
def test_whatever_moves_by_half_its_width_is_looked_at(before: int, after: int) -> None:
    one = gate()
    assert one.admits(frame(picture(x=before)), 9 * SECOND)
    admitted = one.admits(frame(picture(x=after)), 9 * SECOND + 1)
    assert admitted or abs(after - before) < 20


def window(captured: int, frames: int, gated: int) -> Window:
    return Window(10.0, frames, 0, 1, captured, gated, 1.0, {}, None)


def test_efficiency_says_nothing_while_frames_are_left_out() -> None:
    assert window(300, 50, 0).efficiency(1) == pytest.approx(50 / 300)
    assert window(300, 100, 200).efficiency(1) is None
    assert window(300, 100, 200).gated_fps == 20


KEEPALIVE_SECONDS = 3600


@pytest.mark.parametrize("gated", [True, False])
def test_a_unit_tells_gated_frames_from_processed_ones(
    gated: bool, broker: DemoBroker, tmp_path: Path
) -> None:
    still = tmp_path / "still"
    still.mkdir()
    cv2.imwrite(str(still / "one.png"), picture())
    motion = MotionSettings(gate=gated, keepalive_seconds=KEEPALIVE_SECONDS)
    settings = Settings(
        sinks={"prometheus": {"port": 0}},  # others run beside it
        device="unit-1",
        mqtt=MqttSettings(host="127.0.0.1", port=broker.port),
        accelerator=AcceleratorSettings(name="cpu", workers=1, threads=1),
        metrics=MetricsSettings(window_seconds=1),
        camera=(
            CameraSettings(
                name="front", source=f"images:{still}", options={"loop": True}, motion=motion
            ),
        ),
    )
    subscriber, requests = Subscriber(broker.port), Requests()
    daemon = Daemon(lambda: settings, replace(environment(tmp_path)), requests, ServiceManager({}))
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        wait_for(lambda: len(subscriber.of("front/metrics")) >= 3, 30)
        metrics = subscriber.of("front/metrics")[2]
        frames = metrics["frames"]
        assert frames["captured"] == (
            frames["processed"] + sum(frames["dropped"].values()) + frames["in_flight"]
        )
        if gated:
            assert frames["processed"] == 1  # the first; nothing moves, and nobody waits so long
            assert metrics["window"]["frames"] == 0
            assert metrics["gated_fps"] > 0
        else:
            assert frames["processed"] > 1
            assert metrics["gated_fps"] is None
            assert frames["dropped"]["gated"] == 0
    finally:
        requests.ask_stop()
        thread.join(20)
        subscriber.close()
    assert not thread.is_alive()
