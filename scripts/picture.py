"""Draw docs/demo.svg: what `appliance demo` shows after a few seconds on this machine.

Usage: python scripts/picture.py
"""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from appliance.cli.demo import ViewOutlet, demo_settings
from appliance.cli.demo_broker import start_broker
from appliance.cli.view import ApplianceView
from appliance.daemon.lifecycle import Daemon
from appliance.daemon.requests import Requests
from appliance.daemon.systemd import ServiceManager
from appliance.selection.environment import Environment

TARGET = Path(__file__).resolve().parent.parent / "docs" / "demo.svg"


def main() -> None:
    """Run the demo for 150 frames and draw its last screen."""
    broker = start_broker("mosquitto", 18830)
    try:
        hint = (
            "from another terminal: mosquitto_sub -h 127.0.0.1 -p 18830 -v -t 'appliance/#'\n"
            "Ctrl-C ends it."
        )
        view = ApplianceView("appliance demo, mosquitto on 127.0.0.1:18830", hint)
        settings = demo_settings("synthetic", 30.0, broker.port)
        Daemon(
            lambda: settings,
            Environment(),
            Requests(),
            ServiceManager(os.environ),
            extra_outlets=(ViewOutlet(view),),
            max_frames=115,
        ).run()
    finally:
        broker.stop()
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=100, file=nowhere, force_terminal=True)
        console.print(view)
        console.save_svg(str(TARGET), title="make demo")


if __name__ == "__main__":
    main()
