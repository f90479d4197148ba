"""Fixtures shared by all tests: a real broker, known models, a place for test data."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.demo_broker import DemoBroker, start_broker
from appliance.detectors import load_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.models import Model

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data() -> Path:
    folder = Path(os.environ.get("APPLIANCE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set APPLIANCE_TEST_DATA")
    return folder


@pytest.fixture
def broker() -> Iterator[DemoBroker]:
    running = start_broker("mosquitto")
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


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """A daemon that ran in this process left Python's collector off."""
    yield
    gc.unfreeze()
    gc.enable()


@pytest.fixture
def built_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the models that `make models` built be found; tests that need one skip without it."""
    if "APPLIANCE_MODELS" not in os.environ:
        monkeypatch.setenv("APPLIANCE_MODELS", str(ROOT / "models/out"))
