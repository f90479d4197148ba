"""A reload stops what it changes, and nothing else: the other camera loses no frame."""

from __future__ import annotations

import json
import shutil
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from appliance.config import CameraSettings
from appliance.objects.admission import LOW_SHARE
from tests.faulty_unit import FPS, FaultyUnit, mishap
from tests.helpers import Subscriber, wait_for
from tests.memory import MemoryOutlet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.cli.demo_broker import DemoBroker
    from appliance.pipeline import Lane
    from appliance.pipeline.statistics import Window


class TwoCameras(FaultyUnit):
    """A unit with ``cam0`` and ``cam1``, and all that it said."""

    def __init__(self, folder: Path) -> None:
        self.memory = MemoryOutlet(100_000)
        super().__init__(folder, cameras=({}, {}), outlets=(self.memory,))

    def said(self, kind: str, camera: str = "") -> list[Any]:
        found: list[Any] = [one.message for one in list(self.memory.messages) if one.kind == kind]
        return [one for one in found if not camera or one.camera == camera]

    def lane(self, name: str) -> Lane:
        return next(lane for lane in self.unit.lanes if lane.name == name)

    def camera(self, name: str, **changes: Any) -> tuple[CameraSettings, ...]:
        """Return the cameras with one of them changed."""
        return tuple(
            msgspec.structs.replace(one, **changes) if one.name == name else one
            for one in self.settings.camera
        )

    def goes_on(self) -> None:
        """Wait for more results of every camera."""
        for name in [one.name for one in self.settings.camera]:
            count = len(self.said("detections", name))
            wait_for(lambda name=name, count=count: len(self.said("detections", name)) > count + 5)  # type: ignore[misc]

    def lost(self, name: str) -> int:
        return self.lane(name).ledger.counts().dropped["shutdown"]

    def numbers_are_whole(self, name: str) -> bool:
        numbers = [one.seq for one in self.said("detections", name)]
        return numbers == list(range(len(numbers)))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[TwoCameras]:
    unit = TwoCameras(tmp_path)
    try:
        unit.goes_on()
        wait_for(lambda: unit.health["state"] == "ok")
        yield unit
        assert unit.failure is None
    finally:
        unit.stop()


def test_a_changed_camera_is_opened_anew_and_the_other_loses_nothing(running: TwoCameras) -> None:
    before, engine = running.unit.lanes, running.unit.engine
    heard = len(running.said("health"))
    running.reload(camera=running.camera("cam1", width=400))
    wait_for(lambda: running.said("detections", "cam1")[-1].frame.width == 400)
    running.goes_on()
    assert running.lane("cam0") is before[0]
    assert running.lane("cam1") is not before[1]
    assert running.unit.engine is engine
    assert running.lost("cam0") == 0
    assert {one.state for one in running.said("health")[heard:]} == {"ok"}  # results never ceased
    for name in ("cam0", "cam1"):
        assert running.numbers_are_whole(name)
        frames = [one.frame.seq for one in running.said("detections", name)]
        assert frames == sorted(set(frames))
    assert len({one.boot_id for one in running.said("detections")}) == 1


def test_a_camera_that_is_turned_is_looked_at_anew_by_detectors_that_go_on(
    running: TwoCameras,
) -> None:
    engine = running.unit.engine
    running.reload(camera=running.camera("cam1", rotation=90))
    running.goes_on()
    last = running.said("detections", "cam1")[-1].frame
    assert running.unit.engine is engine
    assert (last.width, last.height) == (240, 320)


def test_a_reload_without_a_change_changes_nothing(running: TwoCameras) -> None:
    before = running.unit
    running.reload()
    running.goes_on()
    assert (running.unit.lanes, running.unit.engine) == (before.lanes, before.engine)
    assert running.unit.sinks.all == before.sinks.all
    assert (running.lost("cam0"), running.lost("cam1")) == (0, 0)


def test_windows_that_reloads_cut_short_say_nothing_of_heat(
    running: TwoCameras, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    heat = running.unit.heat
    take = heat.window

    def note(windows: list[Window], *words: Any, **more: Any) -> None:
        told.extend(one.seconds for one in windows)
        take(windows, *words, **more)

    monkeypatch.setattr(heat, "window", note)
    for _ in range(3):
        running.reload()
        assert running.unit.heat is heat
    wait_for(lambda: told)
    assert min(told) > 0.9 * running.settings.metrics.window_seconds


def test_filters_and_the_threshold_are_changed_while_all_goes_on(running: TwoCameras) -> None:
    before = running.unit
    running.reload(
        camera=running.camera("cam1", filter=({"kind": "labels", "labels": ["zebra"]},)),
        model=msgspec.structs.replace(running.settings.model, score_threshold=0.01),
    )
    running.goes_on()
    assert (running.unit.lanes, running.unit.engine) == (before.lanes, before.engine)
    assert running.said("detections", "cam1")[-1].detections == ()
    assert running.said("detections", "cam0")[-1].detections != ()
    thresholds = {worker.score_threshold for worker in running.unit.engine.workers}
    assert thresholds == {0.01 * LOW_SHARE}
    assert (running.lost("cam0"), running.lost("cam1")) == (0, 0)


def test_filters_that_do_not_change_keep_what_they_remember(running: TwoCameras) -> None:
    tables = ({"kind": "labels", "labels": ["person"]},)
    running.reload(camera=running.camera("cam1", filter=tables))
    running.goes_on()
    before = [lane._filters for lane in running.unit.lanes]
    running.reload(camera=running.camera("cam0", filter=tables))
    running.goes_on()
    assert running.unit.lanes[1]._filters is before[1]
    assert running.unit.lanes[0]._filters is not before[0]


def test_other_detectors_are_opened_while_the_cameras_go_on(running: TwoCameras) -> None:
    before = running.unit
    wanted = msgspec.structs.replace(running.settings.accelerator, workers=2)
    running.reload(accelerator=wanted)
    running.goes_on()
    assert running.unit.lanes == before.lanes
    assert running.unit.engine is not before.engine
    assert running.unit.pipeline.workers == running.unit.engine.workers
    assert len(running.unit.engine.workers) == 2
    assert (running.lost("cam0"), running.lost("cam1")) == (0, 0)
    assert running.numbers_are_whole("cam0")


def test_another_model_under_the_same_name_is_taken(running: TwoCameras) -> None:
    taken = running.unit.engine.selection.model.path
    mine = running.folder / taken.name
    for one in taken.parent.glob(f"{taken.stem}*"):
        shutil.copy(one, running.folder)
    model = msgspec.structs.replace(running.settings.model, name=str(mine))
    running.reload(model=model)
    running.goes_on()
    before = running.unit.engine.selection.model.sha256
    with mine.open("ab") as file:
        file.write(bytes(64))
    running.reload()
    running.goes_on()
    assert running.unit.engine.selection.model.sha256 != before
    assert (running.lost("cam0"), running.lost("cam1")) == (0, 0)


def test_a_camera_goes_and_another_comes(running: TwoCameras) -> None:
    stays = running.lane("cam0")
    other = CameraSettings(name="garden", source="synthetic", width=320, height=240, fps=FPS)
    running.reload(camera=(running.settings.camera[0], other))
    running.goes_on()
    assert [lane.name for lane in running.unit.lanes] == ["cam0", "garden"]
    assert running.lane("cam0") is stays
    assert running.lost("cam0") == 0
    count = len(running.said("detections", "cam1"))
    running.goes_on()
    assert len(running.said("detections", "cam1")) == count


def test_no_alert_is_lost_while_the_broker_or_the_name_is_changed(
    broker: DemoBroker, tmp_path: Path
) -> None:
    memory, stop = MemoryOutlet(100_000), threading.Event()
    subscriber = Subscriber(broker.port)
    unit = FaultyUnit(tmp_path, port=broker.port, outlets=(memory,))

    def tell() -> None:
        while not stop.wait(0.002):
            unit.unit.reporter.alert("test", reason="")

    telling = threading.Thread(target=tell)
    try:
        wait_for(lambda: unit.results() > 5)
        telling.start()
        for seconds, device in ((20, "unit-1"), (21, "unit-2"), (22, "unit-2")):
            mqtt = msgspec.structs.replace(unit.settings.mqtt, keepalive_seconds=seconds)
            unit.reload(mqtt=mqtt, device=device)
            wait_for(lambda: unit.sinks()[0].connected)
        stop.set()
        telling.join()

        def told() -> list[str]:  # the unit itself goes on telling, of its own problems
            alerts = [one for one in memory.messages if one.kind == "alert"]
            return [json.loads(one.payload)["id"] for one in alerts]

        wait_for(lambda: [one["id"] for one in subscriber.of("alerts")] == told())
    finally:
        stop.set()
        unit.stop()
        subscriber.close()


def test_what_was_wrong_before_is_wrong_afterwards(tmp_path: Path) -> None:
    unit = FaultyUnit(tmp_path, cameras=(mishap("corrupt"),))
    try:
        wait_for(lambda: unit.health["state"] == "degraded")
        heard = len(unit.listener.all("health"))
        unit.reload()
        wait_for(lambda: len(unit.listener.all("health")) > heard + 3)
        assert {one["state"] for one in unit.listener.all("health")[heard:]} == {"degraded"}
    finally:
        unit.stop()


def test_a_camera_that_gave_nothing_yet_still_starts_after_a_reload(tmp_path: Path) -> None:
    script = [{"at_frame": 0, "kind": "corrupt", "frames": 1_000_000}]
    unit = FaultyUnit(tmp_path, cameras=({"options": {"script": script}},))
    try:
        wait_for(lambda: unit.health["state"] == "starting")
        unit.reload()
        heard = len(unit.listener.all("health"))
        wait_for(lambda: len(unit.listener.all("health")) > heard + 3)
        assert {one["state"] for one in unit.listener.all("health")} == {"starting"}
    finally:
        unit.stop()


def test_what_fails_only_when_it_is_opened_leaves_the_old_configuration(
    running: TwoCameras,
) -> None:
    before = running.unit
    elsewhere = running.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "away").touch()
    wanted = msgspec.structs.replace(
        running.settings.accelerator, options={"cpu": {"control": str(elsewhere)}}
    )
    running.reload(accelerator=wanted)
    wait_for(lambda: any("reload failed" in text for text in running.health["reasons"]))
    running.goes_on()
    assert running.unit.lanes == before.lanes
    assert running.unit.settings == before.settings
    assert running.unit.engine is not before.engine  # it had to go first
    assert (running.lost("cam0"), running.lost("cam1")) == (0, 0)
    (elsewhere / "away").unlink()
    running.reload(accelerator=wanted)
    wait_for(lambda: running.health["state"] == "ok")
    assert running.unit.settings.accelerator == wanted


def test_a_camera_that_was_taken_out_counts_on_when_it_comes_back(running: TwoCameras) -> None:
    both = running.settings.camera
    running.reload(camera=both[:1])
    running.goes_on()
    running.reload(camera=both)
    running.goes_on()
    frames = [one.frame.seq for one in running.said("detections", "cam1")]
    assert frames == sorted(set(frames))
    assert running.numbers_are_whole("cam1")
    captured = [one.frames.captured for one in running.said("metrics", "cam1")]
    assert captured == sorted(captured)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: {"camera": r.camera("cam1", filter=({"kind": "labels", "labels": ["cow!"]},))},
        lambda r: {
            "accelerator": msgspec.structs.replace(
                r.settings.accelerator, options={"cpu": {"colour": "red"}}
            )
        },
        lambda r: {"camera": r.camera("cam1", source="images:/nonexistent")},
    ],
    ids=["a filter", "an option of the accelerator", "a file"],
)
def test_what_is_wrong_is_refused_before_anything_is_touched(
    change: Callable[[TwoCameras], dict[str, Any]], running: TwoCameras
) -> None:
    before = running.unit
    running.reload(**change(running))
    wait_for(lambda: any("reload failed" in text for text in running.health["reasons"]))
    running.goes_on()
    assert running.unit is before
    assert (running.lost("cam0"), running.lost("cam1")) == (0, 0)
