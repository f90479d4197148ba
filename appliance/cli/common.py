"""What several verbs share: options, JSON output, signals."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.config import Settings, load, parse_overrides

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from appliance.config.settings import AcceleratorSettings
    from appliance.daemon.requests import Requests
    from appliance.selection.worker_layout import Wanted

DEFAULT_CONFIG = Path("/etc/appliance/appliance.toml")


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"configuration file (default {DEFAULT_CONFIG})"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one setting, e.g. mqtt.host=broker",
    )


def load_settings(options: argparse.Namespace) -> Settings:
    path = options.config
    if path is None and DEFAULT_CONFIG.exists():
        path = DEFAULT_CONFIG
    return load(path, environment=os.environ, overrides=parse_overrides(options.set))


def add_accelerator_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says which accelerator runs which model."""
    parser.add_argument("--model", default="auto", metavar="ID|PATH")
    parser.add_argument("--accelerator", default="auto", metavar="NAME")
    add_config_arguments(parser)


def accelerator_settings(
    options: argparse.Namespace, *, workers: Wanted = "auto", threads: Wanted = "auto"
) -> AcceleratorSettings:
    """Return what the options say of the accelerator, the rest from the configuration."""
    configured = load_settings(options).accelerator
    return msgspec.structs.replace(
        configured,
        name=options.accelerator,
        fallback="none",  # what is asked for is measured, or nothing
        workers=workers,
        threads=threads,
    )


def print_json(value: Any) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def handle_signals(requests: Requests) -> None:
    """SIGTERM and SIGINT ask to stop (a second one ends at once), SIGHUP to reload."""
    asked: list[int] = []

    def stop(number: int, _frame: Any) -> None:
        if asked:
            os._exit(128 + number)
        asked.append(number)
        _elsewhere(requests.ask_stop)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, lambda _n, _f: _elsewhere(requests.ask_reload))


def _elsewhere(ask: Callable[[], None]) -> None:
    """Call ``ask`` on a thread: the main thread may hold the very lock that an event needs."""
    threading.Thread(target=ask, daemon=True).start()
