"""Build the Debian package for one architecture and one Debian release, without emulation.

Usage: python scripts/build_deb.py [--arch amd64|arm64] [--release trixie|bookworm] [--out dist]

Packages from the lock (requirements/run.txt) are fetched as wheels for the target's platform and
unpacked; nothing is compiled. The system's Python runs them, so that it also sees the system's
camera libraries. Needs pip and dpkg-deb.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from email.utils import formatdate
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEBIAN = ROOT / "deploy/debian"
PYTHON = {"trixie": "3.13", "bookworm": "3.11"}
MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}
GLIBC = {"trixie": 41, "bookworm": 36}
"""Minor version of glibc 2 in each release: wheels for it and for older ones run there."""
UNUSED = (
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
    "ai_edge_litert/tools",
    "ai_edge_litert/vendors",
)
"""Parts of LiteRT for its other interface (CompiledModel), which we do not use: 30 MB."""
EPOCH = 1_767_225_600
"""Stands for the time of the commit where there is no git."""


def main() -> None:
    """Build it and print its path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", choices=sorted(MACHINE), default="amd64")
    parser.add_argument("--release", choices=sorted(PYTHON), default="trixie")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--version-suffix", default="", help="for tests of updates, e.g. +1")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        full = f"{version()}{options.version_suffix}~{options.release}"
        stage(tree, options.arch, options.release, full)
        name = f"appliance_{full}_{options.arch}.deb"
        target = options.out / name
        pack(tree, target)
    print(target)


def pack(tree: Path, target: Path) -> None:
    """Make a package of what was laid out."""
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree), str(target)],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "SOURCE_DATE_EPOCH": commit_time()},
    )


def stage(tree: Path, arch: str, release: str, full_version: str) -> None:
    """Lay out what the package installs."""
    packages = tree / "opt/appliance/site-packages"
    fetch(packages, arch, release)
    copy_program(packages)
    compile_program(packages, release)
    for source, target in {
        "appliance.service": "usr/lib/systemd/system/appliance.service",
        "appliance-setup.service": "usr/lib/systemd/system/appliance-setup.service",
        "lean.toml": "usr/share/appliance/lean.toml",
        "appliance.sysusers": "usr/lib/sysusers.d/appliance.conf",
        "appliance.tmpfiles": "usr/lib/tmpfiles.d/appliance.conf",
        "journald.conf": "usr/lib/systemd/journald.conf.d/appliance.conf",
        "copyright": "usr/share/doc/appliance/copyright",
        "lintian-overrides": "usr/share/lintian/overrides/appliance",
        "completion.bash": "usr/share/bash-completion/completions/appliance",
        "../udev/65-appliance-accelerators.rules": "usr/lib/udev/rules.d/65-appliance.rules",
        "../../config/appliance.toml": "etc/appliance/appliance.toml",
    }.items():
        put(tree / target, (DEBIAN / source).read_bytes())
    (tree / "etc/appliance/conf.d").mkdir(parents=True)
    put(tree / "usr/share/man/man1/appliance.1.gz", packed((DEBIAN / "appliance.1").read_bytes()))
    changes = changelog("appliance", full_version, release)
    put(tree / "usr/share/doc/appliance/changelog.gz", packed(changes.encode()))
    for unit in sorted((ROOT / "deploy/update").glob("appliance-update*")):
        put(tree / "usr/lib/systemd/system" / unit.name, unit.read_bytes())
    script = (ROOT / "deploy/update/update.sh").read_bytes()
    put(tree / "usr/lib/appliance/update", script, mode=0o755)
    systems = ROOT / "deploy/image/ab"
    backend = (systems / "tryboot-backend.sh").read_bytes()
    put(tree / "usr/lib/appliance/tryboot-backend", backend, mode=0o755)
    unit = "appliance-mark-good.service"
    put(tree / "usr/lib/systemd/system" / unit, (systems / unit).read_bytes())
    put(tree / "usr/bin/appliance", launcher().encode(), mode=0o755)
    control = tree / "DEBIAN"
    put(control / "control", describe(tree, arch, release, full_version).encode())
    put(control / "conffiles", b"/etc/appliance/appliance.toml\n")
    for script in ("postinst", "prerm", "postrm"):
        put(control / script, (DEBIAN / script).read_bytes(), mode=0o755)


def fetch(target: Path, arch: str, release: str) -> None:
    """Unpack the locked wheels for the target's platform."""
    python = PYTHON[release]
    tags = [f"manylinux_2_{n}_{MACHINE[arch]}" for n in range(GLIBC[release], 16, -1)]
    tags += [f"manylinux2014_{MACHINE[arch]}"]
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--no-compile", "--no-deps", "--only-binary=:all:", "--require-hashes",
            "--implementation", "cp", "--python-version", python,
            *(word for tag in tags for word in ("--platform", tag)),
            "--target", str(target), "-r", str(ROOT / "requirements/run.txt"),
        ],
        check=True,
    )  # fmt: skip
    shutil.rmtree(target / "bin", ignore_errors=True)
    for name in UNUSED:
        path = target / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for folder in (*target.glob("*/tests"), *target.glob("numpy/*/tests")):
        shutil.rmtree(folder)


def copy_program(packages: Path) -> None:
    """Copy the appliance with its default model, as the wheel does."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", "bundled")
    shutil.copytree(ROOT / "appliance", packages / "appliance", ignore=ignore)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, place in wheel["force-include"].items():
        put(packages / place, (ROOT / source).read_bytes())
    # By its entry points the program finds what it adds to its own rooms: appliance/legacy.
    told = packages / f"appliance-{version()}.dist-info"
    lines: list[str] = []
    for group, entries in project["project"]["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in entries.items())]
    put(told / "entry_points.txt", ("\n".join(lines) + "\n").encode())
    metadata = f"Metadata-Version: 2.1\nName: appliance\nVersion: {version()}\n"
    put(told / "METADATA", metadata.encode())


def compile_program(packages: Path, release: str) -> None:
    """Compile it, where this machine has the target's Python; else postinst does."""
    python = f"python{PYTHON[release]}"
    works = [python, "-c", "pass"]
    if (
        not shutil.which(python)
        or subprocess.run(works, check=False, stderr=subprocess.DEVNULL).returncode
    ):
        print(f"{python} is not here: the package compiles when it is installed", file=sys.stderr)
        return
    subprocess.run(
        [
            python, "-m", "compileall", "-q", "-j0", "--invalidation-mode", "unchecked-hash",
            "-s", str(packages), "-p", "/opt/appliance/site-packages", str(packages),
        ],
        check=True,
    )  # fmt: skip


def launcher() -> str:
    """Return /usr/bin/appliance: ours first, then what the system has (libcamera, systemd)."""
    return (
        "#!/usr/bin/python3\n"
        "import sys\n\n"
        'sys.path.insert(0, "/opt/appliance/site-packages")\n'
        "from appliance.cli import main\n\n"
        "sys.exit(main())\n"
    )


def describe(tree: Path, arch: str, release: str, full_version: str) -> str:
    """Return the control file."""
    major, minor = (int(part) for part in PYTHON[release].split("."))
    files = (path for path in tree.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files) // 1024
    return (
        f"Package: appliance\nVersion: {full_version}\nArchitecture: {arch}\n"
        "Maintainer: The appliance's authors <appliance@example.org>\n"
        f"Installed-Size: {size}\n"
        f"Depends: python3 (>= {major}.{minor}), python3 (<< {major}.{minor + 1}), systemd,"
        " libc6, libstdc++6\n"
        "Recommends: dpkg-repack, mosquitto, python3-libcamera | python3-picamera2,"
        " python3-systemd\n"
        "Section: video\nPriority: optional\n"
        "Description: real-time camera detection appliance\n"
        " Captures frames, runs SSD MobileNet on what accelerates it best, measures its\n"
        " speed end to end, watches temperature and throttling, and publishes\n"
        " detections, metrics and health over MQTT.\n"
    )


def changelog(package: str, full_version: str, release: str) -> str:
    """Return the entry of Debian's changelog."""
    return (
        f"{package} ({full_version}) {release}; urgency=medium\n\n"
        "  * What changed is in CHANGELOG.md of the source.\n\n"
        f" -- The appliance's authors <appliance@example.org>  {formatdate(int(commit_time()))}\n"
    )


def version() -> str:
    """Return the version in appliance/__init__.py."""
    for line in (ROOT / "appliance/__init__.py").read_text().splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise SystemExit("appliance/__init__.py has no __version__")


def commit_time() -> str:
    """Return the time of the last commit, so that the same commit gives the same package."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or str(EPOCH)


def put(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def packed(content: bytes) -> bytes:
    """Return it as gzip, the same bytes each time."""
    return gzip.compress(content, 9, mtime=0)


if __name__ == "__main__":
    main()
