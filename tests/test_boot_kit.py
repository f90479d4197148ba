"""The boot kit's scripts, in a mount namespace where the system's folders are the test's own.

That they install is shown on an emulated board (tests/image/raspios.py); here is what seldom is
so: cards without cloud-init, no network, no package for the release.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.helpers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "appliance-install.service"
STOCK = "console=tty1 root=PARTUUID=5eedc0de-02 rootwait resize"
FIRSTRUN = "systemd.run=/boot/firmware/appliance-kit/firstrun.sh systemd.run_success_action=reboot"
IMAGERS = """\
#!/bin/sh
set +e
touch /etc/systemd/system/imager-was-here
rm -f /boot/firmware/firstrun.sh
sed -i 's| systemd.run.*||g' /boot/firmware/cmdline.txt
exit 0
"""
"""The shape of what Imager writes for cards of this kind: it removes itself, and the words."""
NAMESPACE = """\
set -e
mount -t tmpfs none /boot
mkdir /boot/firmware
mount --bind "$T/boot" /boot/firmware
mount --bind "$T/units" /etc/systemd/system
mount --bind "$T/local" /usr/local/lib
mount --bind "$T/hostname" /etc/hostname
mount --bind "$T/os-release" /usr/lib/os-release
exec "$@"
"""


def allowed() -> bool:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    words = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/boot"]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not allowed(), reason="nothing may be mounted here")


@dataclass
class Card:
    """A board's folders."""

    folder: Path

    def run(self, script: str, *words: str) -> tuple[int, str]:
        inside = ["sh", f"/boot/firmware/{script}", *words]
        path = f"{self.folder / 'bin'}:/usr/bin:/bin:/usr/sbin:/sbin"
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", NAMESPACE, "sh", *inside],
            env={"T": str(self.folder), "PATH": path},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def program(self, name: str, text: str) -> None:
        """Put a stand-in before a program of the system; it notes what it was called with."""
        path = self.folder / "bin" / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.folder}/called\n{text}\n')
        path.chmod(0o755)

    @property
    def called(self) -> str:
        path = self.folder / "called"
        return path.read_text() if path.exists() else ""

    @property
    def prepared(self) -> bool:
        """Whether the next start installs."""
        link = self.folder / "units/multi-user.target.wants" / UNIT
        return link.is_symlink() and (self.folder / "units" / UNIT).is_file()


@pytest.fixture
def card(tmp_path: Path) -> Card:
    shutil.copytree(ROOT / "deploy/boot-kit", tmp_path / "boot")
    for name in ("units", "local", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "hostname").write_text("raspberrypi\n")
    (tmp_path / "os-release").write_text("PRETTY_NAME=Debian\nVERSION_CODENAME=bookworm\n")
    for name in ("appliance_1~trixie_arm64.deb", "appliance_1~bookworm_arm64.deb"):
        (tmp_path / "boot/appliance-kit" / name).touch()
    (tmp_path / "boot/appliance-kit/appliance-card_1_all.deb").touch()
    card = Card(tmp_path)
    card.program("dpkg-query", "exit 1")  # nothing is installed
    card.program("dpkg", "")
    card.program("apt-get", "")
    card.program("systemctl", "")
    return card


@pytest.mark.parametrize("imager", [True, False])
def test_a_card_without_cloud_init_does_what_imager_wrote_and_prepares(
    card: Card, imager: bool
) -> None:
    words = card.folder / "boot/cmdline.txt"
    words.write_text(f"{STOCK} {FIRSTRUN} systemd.unit=kernel-command-line.target\n")
    if imager:
        (card.folder / "boot/firstrun.sh").write_text(IMAGERS)
    code, told = card.run("appliance-kit/firstrun.sh")
    assert code == 0, told
    assert words.read_text() == f"{STOCK}\n"  # once only
    assert (card.folder / "units/imager-was-here").exists() == imager
    assert card.prepared
    assert "systemctl" not in card.called  # nothing runs yet there


def test_at_each_start_it_is_prepared_until_it_is_done(card: Card) -> None:
    for _ in range(2):
        code, told = card.run("appliance-kit/install.sh", "prepare")
        assert code == 0, told
        assert card.prepared
    card.program("dpkg-query", "echo install ok installed")
    for path in (card.folder / "units").rglob(UNIT):
        path.unlink()
    before = card.called.count("systemctl")
    assert card.run("appliance-kit/install.sh", "prepare")[0] == 0
    assert not card.prepared
    assert card.called.count("systemctl") == before


def test_without_a_network_it_says_so_and_is_tried_again(card: Card) -> None:
    card.run("appliance-kit/install.sh", "enable")
    card.program("apt-get", 'case "$*" in *update) exit 100 ;; esac')
    code, told = card.run("appliance-kit/install.sh", "run")
    assert code == 1
    assert "is there a network?" in told
    assert card.prepared
    assert "Restart=on-failure" in (card.folder / "units" / UNIT).read_text()


def test_what_is_installed_is_of_the_cards_release_and_what_was_asked_for(card: Card) -> None:
    card.run("appliance-kit/install.sh", "enable")
    (card.folder / "boot/appliance-kit/accelerators.txt").write_bytes(
        b"coral, toaster\r\nimx500\r\n"
    )
    code, told = card.run("appliance-kit/install.sh", "run")
    assert code == 0, told
    (asked,) = [line for line in card.called.splitlines() if " install " in line]
    assert "appliance_1~bookworm_arm64.deb" in asked
    assert "trixie" not in asked
    assert asked.endswith("libedgetpu1-std imx500-all")
    assert "toaster is none of coral, hailo, imx500" in told
    assert not card.prepared
    assert (card.folder / "hostname").read_text() == "appliance\n"  # it will name itself
    assert card.called.splitlines()[-1] == "systemctl reboot"


def test_a_name_that_its_owner_gave_stays(card: Card) -> None:
    (card.folder / "hostname").write_text("garden\n")
    assert card.run("appliance-kit/install.sh", "run")[0] == 0
    assert (card.folder / "hostname").read_text() == "garden\n"


def test_an_installation_that_fails_stays_to_be_done(card: Card) -> None:
    card.run("appliance-kit/install.sh", "enable")
    card.program("apt-get", 'case "$*" in *" install "*) exit 100 ;; esac')
    assert card.run("appliance-kit/install.sh", "run")[0] == 100
    assert card.prepared
    assert "reboot" not in card.called


def test_another_release_is_told_in_words(card: Card) -> None:
    (card.folder / "os-release").write_text("PRETTY_NAME=Forky\nVERSION_CODENAME=forky\n")
    code, told = card.run("appliance-kit/install.sh", "run")
    assert code == 1
    assert "there is no package for Forky" in told
    assert "install" not in card.called
