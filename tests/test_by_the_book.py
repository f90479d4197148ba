"""One of each, added by the book from outside the repository: docs/examples, installed by pip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import tomllib
from functools import partial
from typing import TYPE_CHECKING

import pytest

from appliance.accelerators import Machine, Registry
from appliance.config import CameraSettings, Settings
from appliance.config.settings import AcceleratorSettings, MqttSettings, TelemetrySettings
from appliance.daemon.lifecycle import Daemon
from appliance.daemon.requests import Requests
from appliance.daemon.systemd import ServiceManager
from appliance.extensions import kinds
from tests.helpers import ROOT, environment, wait_for
from tests.memory import MemoryOutlet

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = ROOT / "docs/examples"
ROOMS = ("sources", "accelerators", "filters", "sinks", "telemetry")
SUITES = {
    "grey": "test_sources_contract.py",
    "opencv": "test_accelerator_contract.py",
    "largest": "test_filters_contract.py",
    "latest": "test_sinks_contract.py",
    "load": "test_collectors_contract.py",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip installed the examples to."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder),
            str(EXAMPLES),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_each_is_one_file_and_a_line_of_their_own_pyproject() -> None:
    project = tomllib.loads((EXAMPLES / "pyproject.toml").read_text())
    groups = project["project"]["entry-points"]
    assert set(groups) == {f"appliance.{room}" for room in ROOMS}
    for entries in groups.values():
        ((_, module),) = entries.items()
        assert (EXAMPLES / f"{module}.py").exists()
    assert len(list(EXAMPLES.glob("*.py"))) == len(ROOMS)


@pytest.mark.timeout(180)
def test_the_contract_suites_judge_them_as_they_judge_ours(site: Path) -> None:
    """In a process of its own, where they are installed as for anybody."""
    paths = os.pathsep.join((str(site), str(ROOT)))
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
            "-k", " or ".join(SUITES), *(f"tests/{suite}" for suite in SUITES.values()), "-rA",
        ],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    for name, suite in SUITES.items():
        assert f"PASSED tests/{suite}" in done.stdout
        assert f"[{name}" in done.stdout or f"-{name}]" in done.stdout or f"{name}]" in done.stdout


def test_a_unit_runs_with_all_of_them(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(site)
    kinds.cache_clear()
    folder = tmp_path / "latest"
    settings = Settings(
        device="unit-1",
        mqtt=MqttSettings(enabled=False),
        sinks={"prometheus": {"port": 0}, "latest": {"folder": str(folder)}},
        accelerator=AcceleratorSettings(name="cpu", workers=1),
        telemetry=TelemetrySettings(interval_seconds=1),
        camera=(
            CameraSettings(
                name="front", source="grey", width=64, height=48, fps=20, options={"level": 200},
                filter=({"kind": "largest", "count": 1},),
            ),
        ),
    )  # fmt: skip
    memory, requests = MemoryOutlet(), Requests()
    daemon = Daemon(
        lambda: settings,
        environment(tmp_path),
        requests,
        ServiceManager({}),
        extra_outlets=(memory,),
    )
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        wait_for((folder / "front.json").exists)
        wait_for(partial(memory.latest, "health"))
    finally:
        requests.ask_stop()
        thread.join(20)
    written = json.loads((folder / "front.json").read_text())
    assert written["schema"] == "appliance.detections/1"
    assert len(written["detections"]) <= 1
    health = memory.latest("health")
    assert health is not None
    told = json.loads(health.payload)
    assert told["load"]["one_minute"] >= 0
    assert "latest" in told["sinks"]
    assert Registry().probe("opencv", Machine()).found
