"""What `make image BASE=` and scripts/check_base.sh say of a base: small images of its layout."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

TOOLS = ("sfdisk", "mcopy", "mkfs.vfat", "mke2fs", "debugfs", "xz")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
SECTOR, MIB = 512, 1 << 20
BOOT_START, BOOT_BYTES, ROOT_BYTES = 8 * MIB, 40 * MIB, 16 * MIB
ELF = {"arm64": (2, 0xB7), "armhf": (1, 0x28)}
CLOUD = "/etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg"
BOOT = {
    "cmdline.txt": "console=tty1 root=PARTUUID=5eedc0de-02 rootfstype=ext4 rootwait resize\n",
    "config.txt": "arm_64bit=1\n",
    "user-data": "#cloud-config\n",
}
SYSTEM = {
    "/usr/lib/os-release": "ID=debian\nVERSION_CODENAME=trixie\n",
    "/etc/fstab": "PARTUUID=5eedc0de-01  /boot/firmware  vfat  defaults  0  2\n",
    "/usr/lib/systemd/systemd": "",
    "/usr/bin/apt-get": "",
    "/usr/bin/python3.13": "",
    "/etc/apt/sources.list.d/raspi.sources": "",
    CLOUD: "datasource: {NoCloud: {seedfrom: file:///boot/firmware}}\n",
    "/etc/hostname": "raspberrypi\n",
}


def lacking(tools: tuple[str, ...]) -> list[str]:
    return [tool for tool in tools if not shutil.which(tool, path=PATH)]


pytestmark = pytest.mark.skipif(bool(lacking(TOOLS)), reason=f"not here: {lacking(TOOLS)}")


def make(
    folder: Path,
    boot: dict[str, str | None] | None = None,
    system: dict[str, str | None] | None = None,
    architecture: str = "arm64",
) -> Path:
    """Return an image of the layout that pi-gen makes; None takes a file away."""
    tree, image = folder / "tree", folder / "base.img"
    bits, machine = ELF[architecture]
    header = b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9) + struct.pack("<HH", 2, machine)
    for name, text in {**SYSTEM, **(system or {})}.items():
        if text is not None:
            (tree / name[1:]).parent.mkdir(parents=True, exist_ok=True)
            (tree / name[1:]).write_text(text)
    (tree / "usr/bin/dpkg").write_bytes(header + bytes(100))
    table = bytearray(SECTOR)
    table[510:] = b"\x55\xaa"
    for number, (kind, start, size) in enumerate(
        ((0x0C, BOOT_START, BOOT_BYTES), (0x83, BOOT_START + BOOT_BYTES, ROOT_BYTES))
    ):
        entry = struct.pack("<8B2I", 0, 0, 0, 0, kind, 0, 0, 0, start // SECTOR, size // SECTOR)
        table[446 + 16 * number : 462 + 16 * number] = entry
    fat, ext = folder / "fat", folder / "ext"
    with fat.open("wb") as file:
        file.truncate(BOOT_BYTES)
    run("mkfs.vfat", "-F", "32", "-s", "1", fat)
    for name, text in {**BOOT, **(boot or {})}.items():
        if text is not None:
            (folder / "given").write_text(text)
            run("mcopy", "-i", fat, folder / "given", f"::/{name}")
    run("mke2fs", "-q", "-t", "ext4", "-d", tree, ext, f"{ROOT_BYTES // 1024}k")
    with image.open("wb") as file:
        file.write(table)
        for start, part in ((BOOT_START, fat), (BOOT_START + BOOT_BYTES, ext)):
            file.seek(start)
            file.write(part.read_bytes())
    return image


def run(*words: str | Path) -> None:
    environment = {**os.environ, "PATH": PATH}
    subprocess.run(words, check=True, capture_output=True, env=environment, timeout=60)


def check(image: Path) -> tuple[int, str]:
    done = subprocess.run(
        ["sh", ROOT / "scripts/check_base.sh", image],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_a_good_base_is_good_and_what_it_has_not_is_told(tmp_path: Path) -> None:
    code, told = check(make(tmp_path))
    assert code == 0, told
    assert "MISSING" not in told
    assert "differs  NetworkManager" in told
    assert "ok       release: trixie" in told


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"architecture": "armhf"}, "64-bit programs: armhf"),
        ({"system": {"/usr/lib/os-release": "VERSION_CODENAME=buster\n"}}, "release: buster"),
        ({"boot": {"cmdline.txt": "root=/dev/mmcblk0p2\n"}}, "cmdline.txt names the root"),
        (
            {"boot": {"cmdline.txt": "root=PARTUUID=5eedc0de-02 ro rootwait\n"}},
            "the root is mounted for writing: no",
        ),
        ({"system": {"/etc/fstab": "\n"}}, "fstab mounts the boot partition: nothing"),
        ({"system": {CLOUD: None}}, "a way for Imager's wishes"),
        ({"boot": {"vendor-data": "#cloud-config\n"}}, "vendor-data is free: taken"),
        ({"system": {"/usr/bin/python3.13": None}}, "Python: nothing"),
    ],
)
def test_what_a_broken_base_lacks_is_named_and_nothing_else(
    tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    code, told = check(make(tmp_path, **changes))  # type: ignore[arg-type]
    assert code == 65
    missing = [line for line in told.splitlines() if line.startswith("MISSING")]
    assert len(missing) == 1, told
    assert named in missing[0]


@pytest.mark.parametrize("content", [b"", b"no image\n" * 1000, bytes(4 * MIB)])
def test_a_file_that_is_no_image_is_told_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "some.img").write_bytes(content)
    code, told = check(tmp_path / "some.img")
    assert (code, told.count("\n")) == (65, 1)
    assert "is no disk image" in told


# What builds on it: each is refused before root or a tool is asked for, and leaves nothing behind.
@pytest.fixture
def build(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    out = tmp_path / "out"
    (tmp_path / "packages").mkdir()

    def build(base: Path, **environment: str) -> tuple[int, str]:
        before = base.read_bytes() if base.exists() else b""
        done = subprocess.run(
            ["sh", ROOT / "deploy/image/raspios.sh", base, tmp_path / "packages", out],
            capture_output=True, text=True, check=False, timeout=100,
            env={**os.environ, **environment},
        )  # fmt: skip
        assert not out.exists() or not any(out.iterdir()), "something is left behind"
        assert (base.read_bytes() if base.exists() else b"") == before, "the base was touched"
        return done.returncode, done.stderr

    return build


def test_refused_before_anything_is_done(
    tmp_path: Path, build: Callable[..., tuple[int, str]]
) -> None:
    (tmp_path / "some.img").write_bytes(b"no image\n" * 1000)
    code, told = build(tmp_path / "some.img")
    assert code == 65
    assert f"{tmp_path / 'some.img'}: is no disk image" in told

    code, told = build(tmp_path / "none.img")
    assert code == 2
    assert "no such file; get Raspberry Pi OS Lite" in told

    (tmp_path / "cut.img.xz").write_bytes(lzma.compress(bytes(MIB))[:-20])
    code, told = build(tmp_path / "cut.img.xz")
    assert code == 65
    assert "damaged" in told


def test_another_architecture_is_named(
    tmp_path: Path, build: Callable[..., tuple[int, str]]
) -> None:
    code, told = build(make(tmp_path, architecture="armhf"))
    assert code == 65
    assert "64-bit programs: armhf" in told


def test_the_publishers_hash_is_held(tmp_path: Path, build: Callable[..., tuple[int, str]]) -> None:
    base = make(tmp_path)
    given = Path(f"{base}.sha256")
    given.write_text(f"{'0' * 64}  base.img\n")
    code, told = build(base)
    assert code == 65
    assert "its SHA-256 is not the one" in told
    given.write_text(f"{hashlib.sha256(base.read_bytes()).hexdigest()}  base.img\n")
    code, told = build(base, PYTHON="false")
    assert code == 69  # it goes on to the next thing that is missing
    assert "no appliance_*~trixie_arm64.deb, and it cannot be built here" in told
    assert "was not checked" not in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"ACCELERATORS": "coral,toaster"}, "toaster is none of coral, hailo, imx500"),
        ({"PACKAGES": "/nonexistent"}, "PACKAGES: /nonexistent has no .deb files"),
    ],
)
def test_wrong_words_are_named(
    tmp_path: Path, build: Callable[..., tuple[int, str]], words: dict[str, str], told: str
) -> None:
    (tmp_path / "some.img").touch()
    code, said = build(tmp_path / "some.img", **words)
    assert code == 78
    assert told in said


def test_a_disk_that_is_too_small_is_told_before_it_is_full(tmp_path: Path) -> None:
    base, out = make(tmp_path), tmp_path / "small"
    out.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "none", out], check=False)
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        done = subprocess.run(
            ["sh", ROOT / "deploy/image/raspios.sh", base, tmp_path, out],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 69
        assert "MiB free" in done.stderr
        assert not any(out.iterdir())
    finally:
        subprocess.run(["umount", out], check=True)
