"""Files and folders where somebody else may write too: links planted there lead nowhere."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from appliance.bench.plot import Chart, Line, draw
from appliance.card import CardPaths
from appliance.card.backup import back_up
from appliance.cli.doctor import pack
from appliance.config import Settings
from appliance.errors import UnavailableError
from appliance.files import OTHERS, claim_folder, write_whole
from appliance.models.fetch import _keep
from appliance.selection.layout_store import Trials
from appliance.selection.proof import Proof
from appliance.selection.proof_store import KeptFile, ProofStore
from appliance.sinks.textfile import TextfileOutlet
from appliance.update.state import PROGRESS, REQUEST, request, write_progress
from tests.test_backlog import message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = b"what another program needs\n"
STRANGER = 4242
PROOF = Proof(accelerator="cpu", model_id="m", right=True, reason="")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes files of another user: root only")


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def backup(path: Path) -> None:
    root = path.parent / "root"
    configuration = CardPaths(root).configuration
    configuration.parent.mkdir(parents=True)
    configuration.write_text('device = "u"\n')
    back_up(CardPaths(root), path)


def textfile(path: Path) -> None:
    TextfileOutlet(path).handle(message("health"))


CHART = Chart("Memory", "MiB", [Line("MiB", [(0, 1), (1, 2)])])
WRITERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "accelerators store": ("accelerators.json", lambda path: ProofStore(path).keep("k", PROOF)),
    "layouts store": (
        "layouts.json",
        lambda path: KeptFile(path, Trials).keep(
            "k", Trials(accelerator="cpu", model_id="m", trials=())
        ),
    ),
    "model": ("m.tflite", lambda path: _keep(b"model", path, record=True)),
    "record of a model": (
        "m.tflite.sha256",
        lambda path: _keep(b"model", path.with_suffix(""), record=True),
    ),
    "progress": (PROGRESS, lambda path: write_progress(path.parent, 1, "1.0")),
    "update request": (REQUEST, lambda path: request(path.parent)),
    "metrics": ("appliance.prom", textfile),
    "bundle": ("bundle.tar.gz", lambda path: pack(path, [], Settings())),
    "backup": ("backup.tar.gz", backup),
    "picture": ("plot.svg", lambda path: draw([CHART], "seconds", path)),
    "setup": ("hostname", lambda path: write_whole(path, "name\n")),
}


@pytest.mark.parametrize("name", WRITERS)
def test_links_under_every_name_that_can_be_guessed_lead_nowhere(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(SECRET)
    folder = tmp_path / "folder"
    folder.mkdir()
    file, write = WRITERS[name]
    path = folder / file
    guesses = {
        path,
        path.with_suffix(".partial"),
        path.with_name(f"{file}.partial"),
        path.with_name(f".{file}.new"),
        path.with_name(f"{file}.{os.getpid()}"),
    }
    for guess in guesses:
        guess.symlink_to(victim)
    write(path)
    assert victim.read_bytes() == SECRET
    assert stat.S_ISREG(path.lstat().st_mode)
    assert path.read_bytes() != SECRET
    assert all(guess.is_symlink() for guess in guesses - {path})
    assert not [
        one for one in names(folder) if one.startswith(f".{file}.") and one != f".{file}.new"
    ]


@needs_root
def test_root_follows_no_link_to_a_folder_that_another_user_made(tmp_path: Path) -> None:
    victim, state = tmp_path / "victim", tmp_path / "state"
    victim.mkdir()
    state.mkdir()
    os.chown(state, STRANGER, STRANGER)
    (state / "models").symlink_to(victim)
    os.chown(state / "models", STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(UnavailableError, match="another user"):
        _keep(b"model", state / "models" / "m.tflite", record=True)
    assert not list(victim.iterdir())


def test_a_link_to_a_folder_that_we_made_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").symlink_to("there")
    write_whole(tmp_path / "here" / "x", "y")
    assert (tmp_path / "there" / "x").read_text() == "y"


def test_permissions_are_exactly_those_asked_for(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_whole(tmp_path / "a", "x", 0o644)
        write_whole(tmp_path / "b", "x", 0o600)
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in "ab"] == [0o644, 0o600]


def test_what_could_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_whole(tmp_path / "x", "y")
    assert names(tmp_path) == ["x"]


def test_what_a_power_cut_left_is_removed_and_what_is_at_work_is_not(tmp_path: Path) -> None:
    old, young = tmp_path / ".x.0123.new", tmp_path / ".x.4567.new"
    old.write_text("half")
    young.write_text("half")
    os.utime(old, (1, 1))
    write_whole(tmp_path / "x", "y")
    assert names(tmp_path) == [young.name, "x"]


def test_a_new_folder_is_for_us_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        claim_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


@needs_root
def test_what_is_kept_in_a_folder_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from tests.test_files import PROOF, ProofStore\n"
        f"os.setgid({STRANGER}); os.setuid({STRANGER}); store = ProofStore(Path(sys.argv[1]))\n"
        "print(store.get('k')); store.keep('k2', PROOF); print(os.path.getsize(sys.argv[1]))"
    )
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above) / "state"
        folder.mkdir()
        ProofStore(folder / "accelerators.json").keep("k", PROOF)
        size = (folder / "accelerators.json").stat().st_size
        for path in (folder.parent, folder, folder / "accelerators.json"):
            os.chown(path, STRANGER, STRANGER)
        folder.chmod(0o777)
        said = subprocess.run(
            [sys.executable, "-c", code, str(folder / "accelerators.json")],
            capture_output=True,
            text=True,
            check=True,
        )
    assert said.stdout == f"None\n{size}\n"
    assert "open to others" in said.stderr


def link(path: Path) -> None:
    (path.parent / "real").mkdir(mode=0o700)
    path.symlink_to("real")


def open_to_all(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def of_a_stranger(path: Path) -> None:
    path.mkdir(mode=0o700)
    os.chown(path, STRANGER, STRANGER)


def within_a_stranger(path: Path) -> None:
    path.mkdir(mode=0o700)
    os.chown(path.parent, STRANGER, STRANGER)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (link, "is a link"),
        (open_to_all, "open to others"),
        (lambda path: path.write_text("x"), "is no folder"),
        pytest.param(of_a_stranger, "belongs to another user", marks=needs_root),
        pytest.param(within_a_stranger, "in a folder of another user", marks=needs_root),
    ],
)
def test_a_folder_that_is_not_ours_alone_is_refused(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "between" / "folder"
    path.parent.mkdir()
    make(path)
    with pytest.raises(UnavailableError, match=words) as caught:
        claim_folder(path)
    assert "RUNTIME_DIRECTORY" in caught.value.hint


def test_a_private_folder_is_not_even_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    path.chmod(0o755)
    claim_folder(path)
    with pytest.raises(UnavailableError, match="0755"):
        claim_folder(path, OTHERS)


def test_the_file_is_flushed_under_its_new_name_and_then_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On FAT a renamed file is empty on disk until then (Linux 6.12, fs/fat/namei_vfat.c)."""
    done: list[tuple[str, int]] = []
    replace, fsync = os.replace, os.fsync

    def note_replace(*words: Any, **more: Any) -> None:
        replace(*words, **more)
        done.append(("renamed", 0))

    def note_fsync(handle: int) -> None:
        fsync(handle)
        done.append(("flushed", os.fstat(handle).st_ino))

    monkeypatch.setattr(os, "replace", note_replace)
    monkeypatch.setattr(os, "fsync", note_fsync)
    write_whole(tmp_path / "x", "y")
    after = done[done.index(("renamed", 0)) + 1 :]
    assert after == [
        ("flushed", (tmp_path / "x").stat().st_ino),
        ("flushed", tmp_path.stat().st_ino),
    ]


@pytest.fixture
def fat(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A card's first partition, mounted, and the disk below it."""
    if shutil.which("mkfs.vfat") is None or shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("mounts a FAT file system: root and dosfstools only")
    disk, folder = tmp_path / "disk", tmp_path / "boot"
    with disk.open("wb") as file:
        file.truncate(32 << 20)
    folder.mkdir()
    subprocess.run(["mkfs.vfat", "-F", "32", str(disk)], check=True, capture_output=True)
    mounted = subprocess.run(
        ["mount", "-o", "loop", str(disk), str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"this machine mounts no FAT file system: {mounted.stderr.decode().strip()}")
    yield disk, folder
    subprocess.run(["umount", str(folder)], check=True)


def test_what_was_written_to_a_card_is_there_after_the_plug_was_pulled(
    fat: tuple[Path, Path], tmp_path: Path
) -> None:
    disk, folder = fat
    write_whole(folder / "appliance-ca.crt", "one" * 300)
    write_whole(folder / "appliance-ca.crt", "two" * 300)
    write_whole(folder / "appliance-access.txt", "three" * 300)
    card, again = tmp_path / "card", tmp_path / "again"
    shutil.copy(disk, card)  # as it is now: nothing is unmounted
    again.mkdir()
    subprocess.run(["mount", "-o", "loop,ro", str(card), str(again)], check=True)
    try:
        found = {one.name: one.read_text() for one in again.iterdir()}
    finally:
        subprocess.run(["umount", str(again)], check=True)
    assert found == {"appliance-ca.crt": "two" * 300, "appliance-access.txt": "three" * 300}
