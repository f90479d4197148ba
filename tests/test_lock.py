"""One daemon for a device: whichever folder, whichever user, whatever the disk."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.config import Settings
from appliance.daemon.lock import DeviceLock
from appliance.daemon.sinks import device_of
from appliance.errors import BusyError, UnavailableError
from appliance.selection.environment import Environment
from tests.helpers import ROOT, Subscriber, small_disk, wait_for
from tests.test_daemon import Systemd, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.cli.demo_broker import DemoBroker

NOBODY = 65534
STRANGER = 54321
AS_USER = (
    # All that it needs is imported first: a Python below /root is not for others to read.
    "import locale, os, sys; from appliance.cli import main; import appliance.cli.run\n"
    "user = int(sys.argv[1]); os.setgroups([]); os.setgid(user); os.setuid(user)\n"
    "sys.exit(main(sys.argv[2:]))"
)
HOLD = (
    "import os, sys; from appliance.daemon.lock import DeviceLock\n"
    "user = int(sys.argv[1]); os.setgid(user); os.setuid(user)\n"
    "lock = DeviceLock(sys.argv[2]); print('held', flush=True); sys.stdin.read()"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes its user: root only")


@pytest.fixture
def device() -> str:
    return f"lock-{os.getpid()}"


@pytest.fixture
def unit(tmp_path: Path, broker: DemoBroker) -> Iterator[Unit]:
    one = Unit(tmp_path, broker.port, Systemd(tmp_path))
    yield one
    one.close()


def by_hand(unit: Unit, user: int, **variables: str) -> subprocess.CompletedProcess[str]:
    words = {"device": unit.device, "mqtt.host": "127.0.0.1", "mqtt.port": str(unit.port)}
    sets = [part for key, value in words.items() for part in ("--set", f"{key}={value}")]
    kept = {k: v for k, v in os.environ.items() if k not in {"XDG_RUNTIME_DIR", "NOTIFY_SOCKET"}}
    return subprocess.run(
        [sys.executable, "-c", AS_USER, str(user), "run", "--frames", "3", *sets],
        env=kept | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def holder_of(device: str, user: int) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(user), device],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


@pytest.mark.parametrize("user", [os.geteuid(), pytest.param(NOBODY, marks=needs_root)])
def test_a_run_by_hand_beside_the_service_is_refused_before_it_does_anything(
    unit: Unit, broker: DemoBroker, tmp_path: Path, user: int
) -> None:
    """It has another runtime folder, and may be of another user."""
    subscriber = Subscriber(broker.port)
    unit.configure()
    service = unit.start()
    wait_for(lambda: subscriber.of("front/detections"))
    second = by_hand(unit, user, RUNTIME_DIRECTORY=str(tmp_path / "another"))
    assert second.returncode == 75, second.stderr
    assert f"pid {service.pid}" in second.stderr
    assert "user root" in second.stderr or os.geteuid() != 0
    assert not (tmp_path / "another").exists()
    seen = len(subscriber.of("front/detections"))
    wait_for(lambda: len(subscriber.of("front/detections")) > seen + 10)
    assert subscriber.of("status") == ["online"]
    assert unit.stop()[0] == 0
    subscriber.close()


@needs_root
def test_the_service_is_refused_beside_a_run_by_hand_and_says_whose(device: str) -> None:
    child = holder_of(device, NOBODY)
    with pytest.raises(BusyError, match=f"pid {child.pid}, user nobody") as caught:
        DeviceLock(device)
    assert f"kill {child.pid}" in caught.value.hint
    child.communicate("")


def test_a_killed_holder_holds_nothing(device: str) -> None:
    child = holder_of(device, os.geteuid())
    child.send_signal(signal.SIGKILL)
    child.communicate()
    DeviceLock(device).release()


def test_it_says_who_it_is_however_often_it_was_asked(device: str) -> None:
    lock = DeviceLock(device)
    for _ in range(300):
        with pytest.raises(BusyError, match=f"pid {os.getpid()}"):
            DeviceLock(device)
    lock.release()
    DeviceLock(device).release()


def test_another_device_is_another_lock(device: str) -> None:
    first, second = DeviceLock(device), DeviceLock(f"{device}-b" + "x" * 200)
    with pytest.raises(BusyError):
        first.move(f"{device}-b" + "x" * 200)
    with pytest.raises(BusyError):
        DeviceLock(device)  # it is still held
    second.release()
    first.move(f"{device}-b" + "x" * 200)
    DeviceLock(device).release()
    first.release()


def test_a_reload_that_renames_the_device_takes_its_lock_along(
    unit: Unit, broker: DemoBroker
) -> None:
    subscriber = Subscriber(broker.port)
    path = unit.configure()
    process = unit.start()
    wait_for(lambda: subscriber.of("front/detections"))
    taken = DeviceLock(f"{unit.device}-taken")
    text = path.read_text()
    path.write_text(text.replace(unit.device, f"{unit.device}-taken"))
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: any("reload failed" in str(h["reasons"]) for h in subscriber.of("health")))
    path.write_text(text.replace(unit.device, f"{unit.device}-new"))
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: subscriber.raw(f"appliance/{unit.device}-new/status") == [b"online"])
    with pytest.raises(BusyError):
        DeviceLock(f"{unit.device}-new")
    DeviceLock(unit.device).release()
    assert unit.stop()[0] == 0
    taken.release()
    subscriber.close()


def test_the_demo_runs_beside_the_service() -> None:
    lock = DeviceLock(device_of(Settings(), Environment()))
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "demo", "--frames", "20", "--broker", "mosquitto"],
        capture_output=True,
        text=True,
        check=False,
    )
    lock.release()
    assert done.returncode == 0, done.stderr


def test_a_full_disk_ends_neither_daemon_nor_lock(unit: Unit, broker: DemoBroker) -> None:
    subscriber = Subscriber(broker.port)
    with small_disk("tmpfs", unit.folder) as disk:
        disk.fill()
        unit.configure()
        unit.runtime = disk.folder / "run"  # there is not even room to make it
        unit.start()
        wait_for(lambda: len(subscriber.of("front/detections")) > 10)
        wait_for(lambda: any("outbox: " in str(h["reasons"]) for h in subscriber.of("health")))
        assert by_hand(unit, os.geteuid()).returncode == 75
        disk.free()
        wait_for(lambda: subscriber.of("health")[-1]["reasons"] == [])
        assert unit.stop()[0] == 0
    subscriber.close()


@needs_root
def test_a_folder_that_a_stranger_made_for_us_is_refused(unit: Unit, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = Path(f"/tmp/appliance-{STRANGER}")  # noqa: S108 - the very place it is about
    folder.mkdir(mode=0o755)
    try:
        os.chown(folder, NOBODY, NOBODY)
        for name in (f"{unit.device}.lock", ".progress.new", f"outbox-{unit.device}.sqlite"):
            (folder / name).symlink_to(victim)
        done = by_hand(unit, STRANGER)
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 69, done.stderr
    assert f"belongs to another user ({NOBODY})" in done.stderr
    assert "RUNTIME_DIRECTORY" in done.stderr
    assert victim.read_text() == "precious"


def test_a_missing_family_of_addresses_is_named(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.daemon.lock._address", lambda _: b"/no/such/folder/socket")
    with pytest.raises(UnavailableError, match="No such file"):
        DeviceLock(device)


def test_the_service_may_use_the_lock_and_shares_its_network() -> None:
    text = (ROOT / "deploy/debian/appliance.service").read_text()
    families = re.search(r"^RestrictAddressFamilies=(.*)$", text, re.MULTILINE)
    assert families is not None
    assert "AF_UNIX" in families[1].split()
    assert "PrivateNetwork" not in text
