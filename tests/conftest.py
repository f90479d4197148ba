"""Fixtures shared by all tests: a real broker, known models, a place for test data."""

from __future__ import annotations

import contextlib
import gc
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from appliance.cli.demo_broker import DemoBroker, start_broker
from appliance.extensions import kinds
from appliance.selection.choose import load_model
from tests.helpers import ROOT, free_port
from tests.rtsp.camera import serve
from tests.samples import PEOPLE, Samples, Video, fetched_samples, find_samples, find_video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.models import Model
    from tests.rtsp.camera import Server
    from tests.test_daemon import Unit


@pytest.fixture(scope="session")
def data() -> Samples:
    return find_samples(os.environ, ROOT)


# How long an example takes says something of the machine, nothing of the product.
settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")


@pytest.fixture(scope="session")
def fetched() -> Samples:
    return fetched_samples()


@pytest.fixture(scope="session")
def picture(data: Samples) -> Path:
    """Return a photograph; whatever is in it."""
    return data.first("fruit.jpg", PEOPLE)


@pytest.fixture(scope="session")
def video(data: Samples, tmp_path_factory: pytest.TempPathFactory) -> Video:
    return find_video(data, tmp_path_factory.mktemp("video"))


@pytest.fixture
def unit(tmp_path: Path, broker: DemoBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unit]:
    """Return a daemon in a process of its own, with a state folder that outlives its starts."""
    from tests.test_daemon import Systemd, Unit

    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    one = Unit(tmp_path, broker.port, Systemd(tmp_path))
    yield one
    one.close()


@pytest.fixture
def broker() -> Iterator[DemoBroker]:
    running = start_broker("mosquitto", free_port())
    yield running
    running.stop()


@pytest.fixture(scope="session")
def default_model() -> Model:
    return load_model("ssdlite-mobilenet-v2-int8")


@pytest.fixture(autouse=True)
def isolated_folders(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("HOME", str(folder))
    # One lock for a device on a machine, and other processes test on it too.
    monkeypatch.setenv("APPLIANCE_DEVICE", f"test-{os.getpid()}")


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """A daemon that ran in this process left Python's collector off."""
    yield
    gc.unfreeze()
    gc.enable()


@pytest.fixture(autouse=True)
def rooms() -> Iterator[None]:
    """What packages of a test add to the rooms is gone with it."""
    yield
    kinds.cache_clear()


@pytest.fixture
def built_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the models that `make models` built be found; tests that need one skip without it."""
    if "APPLIANCE_MODELS" not in os.environ:
        monkeypatch.setenv("APPLIANCE_MODELS", str(ROOT / "models/out"))


@pytest.fixture
def serve_camera(picture: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start network cameras (``tests.rtsp.camera.serve``), which end with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **settings: stack.enter_context(
            serve(picture, tmp_path, *args, **settings)
        )
