"""The source that looks for a camera by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.clock import SystemClock
from appliance.errors import SourceLostError, SourceUnavailableError
from appliance.sources.auto import AutoSource, v4l2_devices
from tests.helpers import source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.sources import Source


def node(root: Path, number: int, *, index: int = 0, driver: str = "uvcvideo") -> None:
    folder = root / f"sys/class/video4linux/video{number}"
    (folder / "device").mkdir(parents=True)
    (folder / "index").write_text(f"{index}\n")
    drivers = root / "sys/bus/drivers" / driver
    drivers.mkdir(parents=True, exist_ok=True)
    (folder / "device/driver").symlink_to(drivers)


def test_nodes_that_are_no_cameras_are_left_out(tmp_path: Path) -> None:
    node(tmp_path, 19, driver="rp1-cfe")
    node(tmp_path, 10, driver="bcm2835-codec")
    node(tmp_path, 11)
    node(tmp_path, 2)
    node(tmp_path, 3, index=1)  # the metadata node of camera 2
    assert v4l2_devices(tmp_path) == ["/dev/video2", "/dev/video11"]


def test_no_nodes_are_no_cameras(tmp_path: Path) -> None:
    assert v4l2_devices(tmp_path) == []


class Absent:
    live = True

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name, self.closed = name, False
        self.error = error or SourceUnavailableError(f"camera {name}: is not there")

    def open(self) -> None:
        raise self.error

    def read(self) -> None:
        raise AssertionError

    def close(self) -> None:
        self.closed = True


def test_the_first_that_opens_is_taken_and_those_before_are_closed() -> None:
    absent = Absent("picamera2")
    there = source("synthetic", SystemClock(), width=64, height=64)

    def candidates() -> Iterator[tuple[str, Source]]:
        yield "picamera2", absent
        yield "synthetic", there
        raise AssertionError("looked further than needed")

    auto = AutoSource(candidates)
    auto.open()
    frame = auto.read()
    assert frame is not None and (frame.width, frame.height) == (64, 64)
    assert absent.closed
    auto.close()
    auto.close()
    with pytest.raises(SourceLostError):
        auto.read()


def test_a_library_that_is_broken_is_no_camera() -> None:
    broken = Absent("picamera2", ValueError("numpy.dtype size changed"))
    there = source("synthetic", SystemClock(), width=64, height=64)
    auto = AutoSource(lambda: iter([("picamera2", broken), ("synthetic", there)]))
    auto.open()
    assert auto.read() is not None and broken.closed
    auto.close()


def test_where_none_opens_every_reason_is_given() -> None:
    auto = AutoSource(lambda: iter([(name, Absent(name)) for name in ("one", "two")]))
    with pytest.raises(SourceUnavailableError, match=r"one: is not there; .*two: is not there"):
        auto.open()


def test_it_is_the_default_and_is_looked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    found: list[Source] = [Absent("camera")]
    auto = AutoSource(lambda: iter([("camera", found[-1])]))
    with pytest.raises(SourceUnavailableError):
        auto.open()
    found.append(source("synthetic", SystemClock()))
    with caplog.at_level("INFO"):
        auto.open()
    assert "camera found: camera" in caplog.text
    auto.close()
