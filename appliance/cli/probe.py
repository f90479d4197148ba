"""``appliance probe``: which accelerators are there, why not, and which one ``auto`` takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.cli.common import add_config_arguments, load_settings, print_json
from appliance.errors import UsageError
from appliance.selection.choose import make_selector
from appliance.selection.environment import Environment

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_config_arguments(parser)
    parser.add_argument("--root", type=Path, default=Path("/"), help="look under another root")
    parser.add_argument(
        "--prove", action="store_true", help="run those found on known pictures and time them"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Print the table."""
    settings = load_settings(options)
    if not options.root.is_dir():
        raise UsageError(f"--root {options.root}: is no folder")
    environment = replace(Environment(), root=options.root)
    selector, wanted = make_selector(settings, environment), settings.accelerator
    if options.prove:
        selector.select("auto", settings.model.name, wanted.optimise_for)
    survey = selector.survey(settings.model.name, wanted.optimise_for)
    if options.json:
        rows = [
            {"name": f.name, "found": f.found, "detail": f.detail, "devices": list(f.devices)}
            for f in survey.findings
        ]
        print_json({"auto": survey.best, "why": survey.why, "accelerators": rows})
        return 0
    for one in survey.findings:
        mark = "found  " if one.found else "refused"
        print(f"{one.name:<11} {mark}  {one.detail}")
    print(f"\nauto takes: {survey.best or '-'} ({survey.why})")
    return 0
