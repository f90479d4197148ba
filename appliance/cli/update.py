"""``appliance update``: newer packages from the configured origin, proved or taken back.

The work is done by a script without Python (deploy/update/update.sh), because Python's packages
are what is being replaced.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from appliance.cli.common import add_config_arguments, load_settings, print_json
from appliance.errors import UnavailableError
from appliance.update.state import read_state

if TYPE_CHECKING:
    import argparse

SCRIPT = Path("/usr/lib/appliance/update")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_config_arguments(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="ask the origin what there is")
    what.add_argument("--install", action="store_true", help="install the newest, prove it")
    what.add_argument(
        "--scheduled",
        action="store_true",
        help="check; install too where update.install is automatic",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Hand over to the script, or print how things stand."""
    if not (options.check or options.install or options.scheduled):
        state = read_state()
        if options.json:
            print_json(state)
        else:
            rows = msgspec.structs.asdict(state).items()
            print("\n".join(f"{key:<10} {value or '-'}" for key, value in rows))
        return 0
    wanted = load_settings(options).update
    if options.scheduled and not wanted.origin:
        return 0
    automatic = options.scheduled and wanted.install == "automatic"
    if not os.access(SCRIPT, os.X_OK):
        raise UnavailableError(
            f"{SCRIPT}: is not there", hint="updates need the Debian package; see docs/updates.md"
        )
    if os.geteuid() != 0:
        raise UnavailableError("update: needs root", hint="sudo appliance update ...")
    done = subprocess.run(  # noqa: S603 - our own script, fixed words
        [str(SCRIPT), "install" if options.install or automatic else "check"],
        env={
            **os.environ,
            "APPLIANCE_ORIGIN": wanted.origin,
            "APPLIANCE_KEY": wanted.key_file,
            "APPLIANCE_AUTOMATIC": "1" if automatic else "",
        },
        check=False,
    )
    return done.returncode
