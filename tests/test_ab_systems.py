"""Two systems on a card: a real RAUC with our backend, on a boot state that stands for firmware.

What the firmware makes of autoboot.txt and "tryboot" is modelled here from its documentation; only
a board shows that it does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.helpers import ROOT, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AB = ROOT / "deploy/image/ab"
AUTOBOOT = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n"
SLOT_BYTES = 1 << 20


@dataclass
class Board:
    """A card with two systems, and the firmware's choice between them."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("selector", "run", "slots"):
            (self.folder / name).mkdir()
        (self.folder / "selector/autoboot.txt").write_text(AUTOBOOT)
        for system in "AB":
            (self.folder / f"selector/state-{system}").write_text("good\n")
            for part in ("boot", "root"):
                content = f"{part} one ".encode().ljust(SLOT_BYTES, b".")
                (self.folder / f"slots/{part}-{system}").write_bytes(content)
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "APPLIANCE_SELECTOR": str(self.folder / "selector"),
            "APPLIANCE_CMDLINE": str(self.folder / "cmdline"),
            "APPLIANCE_RESTART": str(self.folder / "run/reboot-param"),
        }

    def start(self) -> str:
        """Switch it on, or restart: what systemd hands over and a crash forgets is in run/."""
        partitions = dict(self._sections())
        wish = self.folder / "run/reboot-param"
        trial = wish.exists() and wish.read_text().strip() == "0 tryboot"
        wish.unlink(missing_ok=True)
        system = {"2": "A", "3": "B"}[partitions["tryboot" if trial else "all"]]
        (self.folder / "cmdline").write_text(f"root=x rauc.slot={system} rw\n")
        return system

    def crash(self) -> str:
        """Pull the plug: a wish for a trial is lost."""
        (self.folder / "run/reboot-param").unlink(missing_ok=True)
        return self.start()

    def _sections(self) -> Iterator[tuple[str, str]]:
        section = ""
        for line in (self.folder / "selector/autoboot.txt").read_text().splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line.startswith("boot_partition="):
                yield section, line.removeprefix("boot_partition=")

    def backend(self, *words: str) -> str:
        done = subprocess.run(
            ["sh", AB / "tryboot-backend.sh", *words],
            env=self.environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    def holds(self, system: str) -> str:
        content = (self.folder / f"slots/root-{system}").read_bytes()
        return content.split()[1].decode()


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def test_the_first_state(board: Board) -> None:
    assert board.backend("get-primary") == board.backend("get-current") == "A"
    assert [board.backend("get-state", one) for one in "AB"] == ["good", "good"]


def test_a_trial_is_kept_only_when_it_is_marked_good(board: Board) -> None:
    board.backend("set-primary", "B")
    assert board.backend("get-primary") == "B"
    assert board.start() == "B"
    assert board.crash() == "A"  # nobody marked it good
    board.backend("set-primary", "B")
    assert board.start() == "B"
    board.backend("set-state", "B", "good")
    assert board.crash() == "B"
    board.backend("set-primary", "A")
    assert board.start() == "A"


def test_only_a_trial_has_to_prove_itself(board: Board) -> None:
    def trial() -> bool:
        words = ["sh", str(AB / "tryboot-backend.sh"), "is-trial"]
        return subprocess.run(words, env=board.environment, check=False).returncode == 0

    assert not trial()
    board.backend("set-primary", "B")
    board.start()
    assert trial()
    board.backend("set-state", "B", "good")
    assert not trial()


def test_marking_the_other_one_good_changes_nothing(board: Board) -> None:
    board.backend("set-state", "B", "good")
    assert board.crash() == "A"


def test_a_wish_can_be_taken_back(board: Board) -> None:
    board.backend("set-primary", "B")
    board.backend("set-primary", "A")
    assert board.start() == "A"


def test_the_files_keep_their_length_and_fit_a_sector(board: Board) -> None:
    files = sorted((board.folder / "selector").iterdir())
    before = [file.stat().st_size for file in files]
    board.backend("set-state", "A", "bad")
    board.backend("set-primary", "B")
    board.start()
    board.backend("set-state", "B", "good")
    assert [file.stat().st_size for file in files] == before
    assert all(size < 512 for size in before)


@pytest.mark.parametrize("words", [["set-primary", "C"], ["set-state", "A", "x"], ["x"], []])
def test_nonsense_is_refused(board: Board, words: list[str]) -> None:
    done = subprocess.run(
        ["sh", AB / "tryboot-backend.sh", *words], env=board.environment, capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode != 0 and done.stderr


STEPS = (
    ("set-state", "B", "bad"),  # what RAUC does: the target is bad while it is written,
    ("write",),
    ("set-state", "B", "good"),  # good when it is whole,
    ("set-primary", "B"),  # and starts next
    ("start",),
    ("set-state", "B", "good"),  # our mark-good, after the pipeline's progress
)


@pytest.mark.parametrize("cut", range(len(STEPS) + 1))
def test_a_cut_at_any_point_starts_a_whole_system(board: Board, cut: int) -> None:
    for step in STEPS[:cut]:
        if step == ("write",):
            for part in ("boot", "root"):
                content = f"{part} two ".encode().ljust(SLOT_BYTES, b".")
                (board.folder / f"slots/{part}-B").write_bytes(content)
        elif step == ("start",):
            board.start()
        else:
            board.backend(*step)
    system = board.crash()
    assert board.backend("get-state", system) == "good"
    assert (system, board.holds(system)) == (("B", "two") if cut == len(STEPS) else ("A", "one"))


# With a real RAUC.

needs_rauc = pytest.mark.skipif(
    not all(shutil.which(tool) for tool in ("rauc", "mksquashfs", "dbus-daemon"))
    or os.geteuid() != 0,
    reason="needs root and: apt install rauc-service squashfs-tools dbus",
)
BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={folder}/bus</listen>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/>
</policy></busconfig>
"""


@dataclass
class Rauc:
    """A RAUC service on a bus of its own."""

    board: Board
    folder: Path

    def __post_init__(self) -> None:
        for name in ("ours", "theirs"):
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                 "-subj", f"/CN={name}", "-keyout", self.folder / f"{name}.key",
                 "-out", self.folder / f"{name}.pem"],
                check=True, capture_output=True,
            )  # fmt: skip
        backend = self.folder / "backend"
        shutil.copy(AB / "tryboot-backend.sh", backend)
        backend.chmod(0o755)
        conf = (AB / "system.conf").read_text()
        for old, new in {
            "/run/rauc": str(self.folder / "mnt"),
            "/data/rauc.status": str(self.folder / "status"),
            "/etc/rauc/keyring.pem": str(self.folder / "ours.pem"),
            "/usr/lib/appliance/tryboot-backend": str(backend),
        }.items():
            conf = conf.replace(old, new)
        for system in "AB":
            for part in ("boot", "root"):
                device = f"/dev/disk/by-label/{part.upper()}_{system}"
                conf = conf.replace(device, str(self.board.folder / f"slots/{part}-{system}"))
        (self.folder / "mnt").mkdir()
        (self.folder / "system.conf").write_text(conf)
        (self.folder / "bus.conf").write_text(BUS.format(folder=self.folder))
        self._bus = subprocess.Popen(["dbus-daemon", f"--config-file={self.folder}/bus.conf"])
        wait_for((self.folder / "bus").exists)
        self._service: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        bus = f"unix:path={self.folder}/bus"
        return {**self.board.environment, "DBUS_SYSTEM_BUS_ADDRESS": bus}

    def serve(self) -> None:
        """Start its service, as each start of the board does."""
        self.stop()
        words = ["rauc", f"--conf={self.folder}/system.conf", "service"]
        slot = self.board.backend("get-current")
        self._service = subprocess.Popen(
            [*words, f"--override-boot-slot={slot}"], env=self.environment,
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(lambda: self.rauc("status").returncode == 0, 20)

    def rauc(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["rauc", f"--conf={self.folder}/system.conf", *words],
            env=self.environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    def bundle(
        self, version: str, signer: str = "ours", compatible: str = "appliance-arm64"
    ) -> Path:
        for part in ("boot", "root"):
            content = f"{part} {version} ".encode().ljust(SLOT_BYTES, b".")
            (self.folder / f"{part}.img").write_bytes(content)
        path = self.folder / f"{version}-{signer}-{compatible}.raucb"
        subprocess.run(
            ["sh", AB / "make_bundle.sh", self.folder / "boot.img", self.folder / "root.img",
             version, self.folder / f"{signer}.pem", self.folder / f"{signer}.key", path],
            env={**os.environ, "FORMAT": "plain", "COMPATIBLE": compatible},
            check=True, capture_output=True,
        )  # fmt: skip
        return path

    def stop(self) -> None:
        if self._service is not None:
            self._service.kill()
            self._service.wait()

    def close(self) -> None:
        self.stop()
        self._bus.terminate()
        self._bus.wait()


@pytest.fixture
def rauc(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rauc]:
    running = Rauc(board, tmp_path_factory.mktemp("rauc"))
    yield running
    running.close()


@needs_rauc
@pytest.mark.timeout(180)
def test_rauc_installs_tries_and_keeps(board: Board, rauc: Rauc) -> None:
    rauc.serve()
    done = rauc.rauc("install", rauc.bundle("two"))
    assert done.returncode == 0, done.stderr
    assert board.holds("B") == "two" and board.holds("A") == "one"
    assert board.start() == "B"  # for a trial
    rauc.serve()
    assert rauc.rauc("status", "mark-good").returncode == 0
    assert board.crash() == "B"


@needs_rauc
@pytest.mark.timeout(180)
def test_rauc_comes_back_from_a_system_that_fails(board: Board, rauc: Rauc) -> None:
    rauc.serve()
    assert rauc.rauc("install", rauc.bundle("two")).returncode == 0
    assert board.start() == "B"
    assert board.crash() == "A" and board.holds("A") == "one"
    rauc.serve()
    assert rauc.rauc("install", rauc.bundle("three")).returncode == 0
    assert board.start() == "B" and board.holds("B") == "three"


@needs_rauc
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("signer", "compatible", "why"),
    [("theirs", "appliance-arm64", "signature"), ("ours", "another", "ompatible")],
)
def test_rauc_refuses_what_is_not_ours(
    board: Board, rauc: Rauc, signer: str, compatible: str, why: str
) -> None:
    rauc.serve()
    done = rauc.rauc("install", rauc.bundle("two", signer, compatible))
    assert done.returncode != 0 and why in done.stderr + done.stdout
    assert board.holds("B") == "one" and board.crash() == "A"
