"""The doctor works on a broken installation, and its bundle keeps secrets."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from appliance.cli import main
from appliance.cli.doctor import examine
from appliance.config import Settings
from appliance.selection.environment import Environment
from tests.helpers import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {row["check"]: row for row in found}


def test_a_unit_without_camera_and_broker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "appliance.toml"
    config.write_text(
        '[mqtt]\nhost = "127.0.0.1"\nport = 1\n[[camera]]\nsource = "v4l2:/dev/none"\n'
    )
    assert main(["doctor", "--config", str(config), "--json"]) == 69
    found = rows(capsys)
    assert found["configuration"]["state"] == "ok"
    assert found["model"]["state"] == "ok"
    assert "/dev/none" in found["camera camera"]["detail"]
    assert found["broker"]["state"] == "fault"
    assert {"space /", "clock", "service", "journal", "throttled"} <= set(found)


def test_a_bad_configuration_is_a_finding_not_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "appliance.toml"
    config.write_text("sorce = 1\n")
    assert main(["doctor", "--config", str(config), "--offline", "--json"]) == 69
    found = rows(capsys)
    assert found["configuration"]["state"] == "fault"
    assert "sorce" in found["configuration"]["detail"]
    assert found["model"]["state"] == "ok"


@pytest.mark.parametrize(("free", "state"), [(0.5, "ok"), (0.03, "warning"), (0.001, "fault")])
def test_little_space_is_said(free: float, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = type("usage", (), {"total": 1_000_000_000, "free": round(free * 1_000_000_000)})
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    found = {row.check: row for row in examine(Settings(), Environment(), offline=True)}
    assert found["space state"].state == state


def test_a_board_with_a_weak_supply() -> None:
    root = ROOT / "tests/fixtures/roots/pi4-undervolt"
    found = {r.check: r for r in examine(Settings(), Environment(root=root), offline=True)}
    assert found["throttled"].state == "warning"
    assert "under_voltage" in found["throttled"].detail
    assert found["temperature"].detail == "61.4 °C, slowed from 80 on"


def test_the_bundle_keeps_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2")
    secret.chmod(0o600)
    config = tmp_path / "appliance.toml"
    config.write_text(
        f'[mqtt]\nusername = "alice"\npassword_file = "{secret}"\n'
        '[[camera]]\nsource = "rtsp://bob:swordfish@camera.local/stream?token=xyzzy"\n'
        '[sinks.telegram]\nbot_token = "plugh"\nproxy = "http://carol:frotz@proxy.local/"\n'
        'token_file = "/etc/telegram.token"\n'
        '[accelerator.options.remote]\nheaders = [{ secret = "rezrov" }]\n'
    )
    bundle = tmp_path / "bundle.tar.gz"
    main(["doctor", "--config", str(config), "--offline", "--bundle", str(bundle)])
    with tarfile.open(bundle) as archive:
        names = {name.rpartition("/")[2] for name in archive.getnames()}
        texts = [archive.extractfile(one) for one in archive.getmembers()]
        content = b"".join(one.read() for one in texts if one is not None)
    assert {"doctor.json", "system.json", "settings.json", "probe.json", "telemetry.json"} <= names
    for word in (b"camera.local", b"proxy.local", b"/etc/telegram.token"):
        assert word in content
    for word in (b"hunter2", b"alice", b"swordfish", b"xyzzy", b"plugh", b"frotz", b"rezrov"):
        assert word not in content
    assert "packed" in capsys.readouterr().out


def test_a_bundle_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--offline", "--bundle", "/no/such/folder/b.tar.gz"]) == 69
    assert "bundle /no/such/folder/b.tar.gz" in capsys.readouterr().err
