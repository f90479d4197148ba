"""``appliance probe``: which accelerators are there, and which one ``auto`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from appliance.accelerators import probe_all
from appliance.cli.common import print_json

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--root", type=Path, default=Path("/"), help="look under another root")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Print the table."""
    findings = probe_all(options.root)
    chosen = next((finding.name for finding in findings if finding.found), None)
    if options.json:
        print_json(
            {
                "auto": chosen,
                "accelerators": [
                    {"name": one.name, "found": one.found, "detail": one.detail} for one in findings
                ],
            }
        )
        return 0
    for one in findings:
        mark = "found  " if one.found else "refused"
        auto = "  <- auto" if one.name == chosen else ""
        print(f"{one.name:<12} {mark}  {one.detail}{auto}")
    return 0
