"""``appliance check``: would the daemon start, and would it see and publish anything?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.card import CardPaths
from appliance.card.backup import back_up, restore
from appliance.cli.common import add_config_arguments, load_settings, print_json
from appliance.config.addresses import without_secrets
from appliance.config.secrets import shown
from appliance.daemon.cameras import check_labels
from appliance.daemon.sinks import device_of
from appliance.errors import ApplianceError
from appliance.filters import check_filters
from appliance.selection.choose import select
from appliance.selection.environment import Environment
from appliance.sinks import sink_options
from appliance.sinks.mqtt.address import broker_address
from appliance.sinks.mqtt.probe import probe
from appliance.sources import check_source, create_source

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from appliance.config import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_config_arguments(parser)
    parser.add_argument("--dump", action="store_true", help="print the effective settings (JSON)")
    parser.add_argument(
        "--offline", action="store_true", help="do not open cameras nor reach the broker"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--backup", type=Path, metavar="FILE.tar.gz", help="save the configuration and its secrets"
    )
    parser.add_argument(
        "--restore", type=Path, metavar="FILE.tar.gz", help="take over a saved configuration"
    )
    parser.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="for both")


def run(options: argparse.Namespace) -> int:
    """Check everything; the exit code is that of the first fault."""
    if options.backup or options.restore:
        layout = CardPaths(options.root)
        done = back_up(layout, options.backup) if options.backup else None
        for name in restore(layout, options.restore) if done is None else done:
            print(name)
        return 0
    settings = load_settings(options)
    if options.dump:
        print_json(shown(settings))  # what is printed is pasted where others read it
        return 0
    checks = checks_of(settings, offline=options.offline)
    rows: list[dict[str, Any]] = [{"check": "configuration", "ok": True, "detail": "valid"}]
    exit_code = 0
    for name, check in checks:
        try:
            rows.append({"check": name, "ok": True, "detail": check()})
        except ApplianceError as error:
            rows.append({"check": name, "ok": False, "detail": str(error)})
            exit_code = exit_code or error.exit_code
    for row in rows:
        if options.json:
            print_json(row)
        else:
            print(f"{'ok    ' if row['ok'] else 'FAULT '} {row['check']:<20} {row['detail']}")
    return exit_code


def checks_of(settings: Settings, *, offline: bool) -> list[tuple[str, Callable[[], str]]]:
    """Return what is checked: a name, and what returns a detail or raises ApplianceError."""
    environment = Environment()
    checks: list[tuple[str, Callable[[], str]]] = [
        ("model", lambda: _check_model(settings)),
        ("accelerator", lambda: _check_accelerator(settings, environment)),
    ]
    for camera in settings.camera:

        def check_camera(camera: Any = camera) -> str:
            check_source(camera)
            check_filters(camera)
            if offline:
                return f"{without_secrets(camera.source)}: not opened"
            source = create_source(camera, input_size=(300, 300), clock=environment.clock)
            try:
                source.open()
                frame = source.read()
                if frame is not None:
                    frame.release()
            finally:
                source.close()
            return f"{without_secrets(camera.source)}: delivers"

        checks.append((f"camera {camera.name}", check_camera))
    checks.append(("sinks", lambda: _check_sinks(settings)))
    if settings.mqtt.enabled:
        checks.append(("broker", lambda: _check_broker(settings, environment, offline=offline)))
    return checks


def _check_accelerator(settings: Settings, environment: Environment) -> str:
    chosen = select(settings, environment)
    name = chosen.accelerator.name
    return next(f"{name}: {one.detail}" for one in chosen.findings if one.name == name)


def _check_model(settings: Settings) -> str:
    model = select(settings, Environment()).model
    check_labels(settings, model.labels)
    return f"{model.id}, sha256 {model.sha256[:12]}"


def _check_sinks(settings: Settings) -> str:
    return f"valid: {', '.join(sink_options(settings.sinks))}"


def _check_broker(settings: Settings, environment: Environment, *, offline: bool) -> str:
    device = device_of(settings, environment)
    address = broker_address(settings.mqtt, device, os.environ)
    where = f"{address.host}:{address.port}"
    if offline:
        return f"{where}: not tried (--offline)"
    topic = f"{settings.mqtt.prefix}/{device}/check"
    version = probe(address, topic)
    return f"{where}: a message got through (MQTT {version})"
