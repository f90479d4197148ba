"""``appliance setup``: prepare a flashed card at boot; run by appliance-setup.service."""

from __future__ import annotations

import logging
import os
import subprocess
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.card import CardPaths, prepare
from appliance.cli.common import print_json
from appliance.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

log = logging.getLogger(__name__)

OVERLAID = Path("/media/root-ro")
"""Where Debian's overlayroot mounts the root that it covers."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--root", type=Path, default=Path("/"), metavar="DIR")
    parser.add_argument("--boot", type=Path, default=Path("/boot/firmware"), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Prepare; exit code 69 if a step failed (the others are done all the same)."""
    here = options.root == Path("/")
    if here and "INVOCATION_ID" not in os.environ:  # systemd.exec(5) sets it
        raise UsageError(
            "setup takes over host name and broker of a flashed card, so systemd runs it",
            hint="systemctl start appliance-setup; elsewhere: --root DIR --boot DIR",
        )
    below = OVERLAID if here and OVERLAID.is_mount() else None
    layout = CardPaths(options.root, options.boot, not here or options.boot.is_mount(), below)
    with writable(layout.boot), opened(below) if below else nullcontext():
        report = prepare(layout) if here else prepare(layout, rename=lambda _name: None)
    if options.json:
        print_json({"told": report.told, "failed": report.failed})
    else:
        for line in report.told:
            log.info("%s", line)
        for line in report.failed:
            log.error("%s", line)
        print("\n".join(["", *report.notices, report.access]))
    return UnavailableError.exit_code if report.failed else 0


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Make the file system mounted there writable for a while, if it is read-only.

    A FAT file system that is written when the power fails may be damaged.
    """
    closed = folder.is_mount() and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    if closed:
        _remount(folder, "rw")
    try:
        yield
    finally:
        if closed:
            _remount(folder, "ro")


@contextmanager
def opened(below: Path) -> Iterator[None]:
    """Make the root below an overlay writable for a while, and closed to writers then.

    The overlay holds files that were replaced meanwhile, so the file system itself may have to stay
    as it is until the next start; its mount is read-only all the same.
    """
    _remount(below, "rw")
    try:
        yield
    finally:
        if not _remount(below, "ro"):
            _remount(below, "bind,ro")


def _remount(folder: Path, mode: str) -> bool:
    done = subprocess.run(  # noqa: S603 - fixed words
        ["mount", "-o", f"remount,{mode}", str(folder)],  # noqa: S607 - the system's own
        check=False,
        timeout=60,
    )
    return done.returncode == 0
