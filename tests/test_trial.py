"""Settings on trial: who is silent, for how long, and what is gone back to."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import ManualClock
from appliance.config import CameraSettings, Settings
from appliance.config.changes import Changes
from appliance.daemon.commands import Decision
from appliance.daemon.control import RETRY_SECONDS, Control
from appliance.daemon.trial import FLOWING_SECONDS, SILENT_SECONDS, WATCHED_SECONDS, Flow, Trial
from appliance.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 10**9


class Camera:
    """Counts results on a clock of its own."""

    def __init__(self) -> None:
        self.flow = Flow()
        self.now = 0.0
        self.count = 0

    def live(self, seconds: float, *, delivers: bool = True, rests: bool = False) -> None:
        """Let time pass, looked at twice a second."""
        for _ in range(round(seconds * 2)):
            self.now += 0.5
            self.count += delivers
            self.flow.look({"front": self.count}, ["front"] if rests else [], self.now_ns)

    @property
    def now_ns(self) -> int:
        return round(self.now * SECOND)

    def trial(self, seconds: float = 0.0) -> Trial:
        decision = Decision(ok=True, detail="", tried_seconds=seconds, watched=True)
        flowing = self.flow.flowing(self.now_ns)
        return Trial("config/apply", decision, Changes(), flowing, self.now_ns)


def test_a_camera_that_stops_is_told_after_its_time_and_not_before() -> None:
    camera = Camera()
    camera.live(5)
    trial = camera.trial()
    camera.live(SILENT_SECONDS - 0.5, delivers=False)
    assert trial.fault(camera.flow, camera.now_ns) == ""
    assert not trial.proven(camera.flow)
    camera.live(0.5, delivers=False)
    assert "front" in trial.fault(camera.flow, camera.now_ns)


def test_a_camera_that_did_not_deliver_before_need_not_now() -> None:
    camera = Camera()
    camera.live(5)
    camera.live(FLOWING_SECONDS, delivers=False)
    trial = camera.trial()
    assert trial.proven(camera.flow)
    camera.live(SILENT_SECONDS * 2, delivers=False)
    assert trial.fault(camera.flow, camera.now_ns) == ""


def test_nobody_is_expected_to_deliver_while_nobody_looks() -> None:
    camera = Camera()
    camera.live(5)
    trial = camera.trial()
    camera.live(SILENT_SECONDS * 2, delivers=False, rests=True)
    assert trial.fault(camera.flow, camera.now_ns) == ""
    camera.live(SILENT_SECONDS, delivers=False)
    assert trial.fault(camera.flow, camera.now_ns)


def test_rest_is_no_proof() -> None:
    camera = Camera()
    camera.live(5)
    trial = camera.trial()
    camera.live(20, delivers=False, rests=True)
    assert not trial.proven(camera.flow)
    camera.live(1)
    assert trial.proven(camera.flow)


class Stub:
    """What of a unit ``Control`` looks at, and what it is told to publish."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = ManualClock()
        self.environment = SimpleNamespace(clock=self.clock)
        self.pace = SimpleNamespace(paused=False, resting=lambda _now_ns: False)
        self.lanes: list[Any] = []
        self.results: list[tuple[str, bool, str]] = []
        self.reporter = SimpleNamespace(result=self._result)

    def _result(self, name: str, *, ok: bool, detail: str, request: str) -> None:
        self.results.append((name, ok, detail))

    def publish_state(self, *_words: Any, **_more: Any) -> None:
        return


def camera_with(**keys: Any) -> Settings:
    return Settings(camera=(CameraSettings(name="front", **keys),))


def changed(**keys: Any) -> bytes:
    return json.dumps({"settings": keys, "seconds": 5}).encode()


@pytest.mark.parametrize("fits", [True, False], ids=["fits", "does not fit any more"])
def test_what_is_taken_back_is_what_fits_and_is_tried_until_it_is_accepted(
    fits: bool, tmp_path: Path
) -> None:
    files = camera_with()
    unit: Any = Stub(files)
    control = Control(tmp_path / "changes.json", tmp_path)
    accepted: list[Settings] = []

    def change(name: str, payload: bytes) -> None:
        assert control.obey(name, payload, unit, files, accepted.append)
        unit.settings = accepted[-1]
        control.done(unit, files)

    change("config/apply", json.dumps({"settings": {"min_area": 0.3}}).encode())
    change("config/try", changed(min_area=0.01))
    if not fits:
        files = camera_with(max_area=0.2)
        unit.settings = camera_with(max_area=0.2, min_area=0.01)
    unit.clock.advance(6.0)

    def refuse(_settings: Settings) -> None:
        raise ConfigError("not now")

    assert not control.look(unit, files, refuse)
    assert control.notice == "settings cannot be taken back: not now"
    assert not control.look(unit, files, accepted.append)  # it is left alone for a while
    unit.clock.advance(RETRY_SECONDS)
    assert control.look(unit, files, accepted.append)
    control.failed(unit, files, ConfigError("nor now"))
    assert control.notice == "settings cannot be taken back: nor now"
    assert not control.look(unit, files, accepted.append)
    assert len(unit.results) == 2  # nothing is told as done
    unit.clock.advance(RETRY_SECONDS)
    assert control.look(unit, files, accepted.append)
    unit.settings = accepted[-1]
    control.done(unit, files)
    assert unit.results[-1][1:] == (False, "taken back: the time to try is over")
    assert unit.settings.camera[0].min_area == (0.3 if fits else 0.0)
    assert not control.look(unit, files, accepted.append)


def test_a_camera_that_is_no_more_is_not_waited_for() -> None:
    camera = Camera()
    camera.live(5)
    trial = camera.trial()
    camera.flow.look({"back": 1}, [], camera.now_ns)
    camera.now += SILENT_SECONDS * 2
    assert trial.fault(camera.flow, camera.now_ns) == ""


@given(st.floats(5, 3600), st.lists(st.booleans(), min_size=1, max_size=80))
def test_what_is_tried_is_over_in_time_and_what_is_applied_is_watched_for_a_while(
    seconds: float, steps: list[bool]
) -> None:
    camera = Camera()
    camera.live(3)
    tried, applied, began = camera.trial(seconds), camera.trial(), camera.now
    for delivers in steps:
        camera.live(5, delivers=delivers)
        assert tried.expired(camera.now_ns) == (camera.now - began >= seconds)
        assert not tried.over(camera.now_ns)
        assert not applied.expired(camera.now_ns)
        assert applied.over(camera.now_ns) == (camera.now - began > WATCHED_SECONDS)
        assert applied.proven(camera.flow) == any(steps[: round((camera.now - began) / 5)])
