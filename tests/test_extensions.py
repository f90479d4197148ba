"""Packages outside add a camera and an accelerator: one file each, and an entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.accelerators import Machine, Registry
from appliance.config import CameraSettings
from appliance.errors import ConfigError
from appliance.extensions import added, kinds, load
from appliance.selection.environment import Environment
from appliance.sources import check_source
from tests.helpers import source
from tests.packages import install

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CAMERA = """
import msgspec
import numpy as np
from appliance.values import Frame, PixelFormat

class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    "Options of a thermal camera."
    level: int = 7

class Thermal:
    live = True

    def __init__(self, request):
        self._request = request

    def open(self):
        pass

    def read(self):
        picture = np.full((8, 16, 3), self._request.options.level, np.uint8)
        now_ns = self._request.clock.monotonic_ns()
        return Frame((picture,), PixelFormat.BGR24, 16, 8, captured_ns=now_ns, seq=0)

    def close(self):
        pass

create = Thermal
"""
ACCELERATOR = """
import msgspec
from appliance.accelerators import About, Finding, Target

class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    "Options of an abacus."
    beads: int = 10

class Abacus:
    name = "abacus"
    max_detectors = None
    target = Target("beads", frozenset({"tflite"}))
    about = About("beads", "wood", "nothing", "contract")

    def __init__(self, options):
        self._beads = options.beads

    def probe(self, machine):
        return Finding("abacus", found=False, detail=f"{self._beads} beads, none here")

create = Abacus
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install a package as pip would: its module, and what is said of it."""

    def one(group: str, name: str, place: str, content: str = "") -> None:
        install(tmp_path, monkeypatch, group, name, place, content)

    return one


def test_a_camera_of_another_package_is_used_like_ours(package: Callable[..., None]) -> None:
    package("appliance.sources", "thermal", "thermal_camera", CAMERA)
    one = source("thermal:front", options={"level": 9})
    one.open()
    frame = one.read()
    assert frame is not None
    assert int(frame.planes[0].max()) == 9
    one.close()
    with pytest.raises(ConfigError, match=r"levl.*did you mean level"):
        source("thermal", options={"levl": 9})


def test_what_is_not_known_is_told_with_what_others_add(package: Callable[..., None]) -> None:
    package("appliance.sources", "thermal", "thermal_camera", CAMERA)
    with pytest.raises(ConfigError, match=r"expected one of auto, .*, thermal"):
        source("termal:front")


def test_a_camera_whose_package_cannot_be_loaded_is_told(package: Callable[..., None]) -> None:
    package("appliance.sources", "thermal", "thermal_camera", "import nothing_like_it")
    with pytest.raises(ConfigError, match="source thermal: its package cannot be loaded"):
        source("thermal")


def test_an_accelerator_of_another_package_is_probed_behind_ours(
    package: Callable[..., None],
) -> None:
    package("appliance.accelerators", "abacus", "abacus_runs", ACCELERATOR)
    registry = Registry({"abacus": {"beads": 3}}, Environment().accelerators)
    assert registry.names[0] == "cpu"
    assert "abacus" in registry.names
    finding = registry.probe("abacus", Machine())
    assert (finding.found, finding.detail) == (False, "3 beads, none here")
    with pytest.raises(ConfigError, match=r"accelerator.options.abacus.beds: .*mean beads"):
        Registry({"abacus": {"beds": 3}}, Environment().accelerators)


def test_an_accelerator_whose_package_cannot_be_loaded_is_a_refusal(
    package: Callable[..., None],
) -> None:
    package("appliance.accelerators", "abacus", "abacus_runs", "import nothing_like_it")
    registry = Registry(places=Environment().accelerators)
    assert "cannot be loaded" in registry.probe("abacus", Machine()).detail
    with pytest.raises(
        ConfigError, match=r"abacus: its package cannot be loaded \(abacus_runs: No "
    ):
        registry.get("abacus")
    told = Registry({"abacus": {"beads": 3}}, Environment().accelerators)  # a unit starts anyhow
    assert told.get("cpu").probe(Machine()).found


def test_an_accelerator_that_brings_no_options_is_a_refusal_too(
    package: Callable[..., None],
) -> None:
    package("appliance.accelerators", "abacus", "abacus_runs", ACCELERATOR.replace("Options", "X"))
    registry = Registry(places=Environment().accelerators)
    assert "has no attribute 'Options'" in registry.probe("abacus", Machine()).detail


def test_ours_cannot_be_replaced(
    package: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    package("appliance.sources", "synthetic", "thermal_camera", CAMERA)
    assert "synthetic" not in added("appliance.sources", {"synthetic"})
    assert "'synthetic' of package thermal_camera is left out: it is taken" in caplog.text
    check_source(CameraSettings(source="synthetic"))


def test_what_our_own_package_adds_cannot_be_replaced_either(
    package: Callable[..., None],
) -> None:
    package("appliance.sources", "jevois", "thermal_camera", CAMERA)
    assert kinds("appliance.sources")["jevois"] == "appliance.legacy.jevois_camera"


def test_a_room_holds_the_modules_that_lie_in_it_and_what_others_add(
    package: Callable[..., None],
) -> None:
    package("appliance.sources", "thermal", "thermal_camera", CAMERA)
    found = kinds("appliance.sources")
    assert found["video"] == "appliance.sources.video"
    assert list(found)[-1] == "thermal"
    assert "encoded" not in found  # a package: what several kinds share
    assert load(found["thermal"]).Options().level == 7
    assert load("thermal_camera:Thermal").live is True
