"""``appliance schema``: message schemas and the default configuration, from the structs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from appliance.cli.asyncapi import asyncapi
from appliance.config.example import default_toml
from appliance.reports.messages import MESSAGES, json_schema

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument(
        "kind",
        nargs="?",
        choices=[*MESSAGES, "config", "asyncapi"],
        help="default: all message schemas; asyncapi: every topic (AsyncAPI 3.0)",
    )
    parser.add_argument("--json", action="store_true", help="one line instead of many")


def run(options: argparse.Namespace) -> int:
    if options.kind == "config":
        print(default_toml(), end="")
        return 0
    if options.kind == "asyncapi":
        print(json.dumps(asyncapi(), indent=None if options.json else 2))
        return 0
    kinds = [options.kind] if options.kind else list(MESSAGES)
    schemas = {kind: json_schema(kind) for kind in kinds}
    value = schemas[options.kind] if options.kind else schemas
    print(json.dumps(value, indent=None if options.json else 2))
    return 0
