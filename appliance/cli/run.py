"""``appliance run``: the daemon."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from appliance.cli.common import add_config_arguments, handle_signals, load_settings
from appliance.daemon.lifecycle import Daemon
from appliance.daemon.lock import DeviceLock
from appliance.daemon.memory import Memory
from appliance.daemon.requests import Requests
from appliance.daemon.sinks import device_of
from appliance.daemon.systemd import ServiceManager
from appliance.selection.environment import Environment

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_config_arguments(parser)
    parser.add_argument(
        "--frames", type=int, default=0, metavar="N", help="end after N results (0: never)"
    )


def run(options: argparse.Namespace) -> int:
    """Run until SIGTERM, or until the sources end."""
    requests = Requests()
    handle_signals(requests)
    environment = Environment()
    device = device_of(load_settings(options), environment)
    lock = DeviceLock(device)
    try:
        Daemon(
            lambda: load_settings(options),
            environment,
            requests,
            ServiceManager(os.environ),
            max_frames=options.frames,
            lock=lock,
            memory=Memory.kept_in(environment.state_folder(), device),
        ).run()
    finally:
        lock.release()
    return 0
