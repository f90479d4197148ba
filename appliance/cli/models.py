"""``appliance models``: list the catalogue, verify what is here, fetch what is not, add another."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.cli.common import print_json
from appliance.cli.models_add import add
from appliance.errors import ModelError, UsageError
from appliance.models import Catalogue, ModelEntry, find_models_folder
from appliance.models.fetch import fetch
from appliance.models.files import recorded, user_models_folder
from appliance.selection.environment import Environment

if TYPE_CHECKING:
    import argparse

ACTIONS = ("list", "verify", "fetch", "add")
SYSTEM_FOLDER = Path("/var/lib/appliance/models")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list")
    parser.add_argument("name", nargs="?", help="model id, for fetch; file, for add")
    parser.add_argument("--from", dest="copy_from", type=Path, metavar="DIR|FILE", help="copy it")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="for add: its labels")
    parser.add_argument("--name", dest="id", metavar="ID", help="for add: how to call it")
    parser.add_argument("--to", type=Path, metavar="DIR", help="where to keep it")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Do what was asked."""
    catalogue = Catalogue(find_models_folder())
    if options.action == "fetch":
        return _fetch(catalogue, options)
    if options.action == "add":
        return add(catalogue, options, options.to or _writable_folder(), Environment())
    rows = [
        _row(catalogue, entry, verify_it=options.action == "verify")
        for entry in catalogue.entries()
    ]
    if options.json:
        for row in rows:
            print_json(row)
    else:
        for row in rows:
            print(f"{row['id']:<50} {row['state']}")
            print(f"    {row['title']}")
            for words in _card(row):
                print(f"    {words}")
    return ModelError.exit_code if any(row["state"].startswith("refused") for row in rows) else 0


def _card(row: dict[str, Any]) -> list[str]:
    """Return what was measured of a model, a line each."""
    lines = [
        f"mAP {one['map']:.3f}, AP50 {one['ap50']:.3f} on {one['dataset']}"
        for one in row["accuracy"]
    ]
    return lines + [
        f"{one['ratio']:.2f} x the default's rate on {one['machine']}" for one in row["speed"]
    ]


def _row(catalogue: Catalogue, entry: ModelEntry, *, verify_it: bool) -> dict[str, Any]:
    path = catalogue.find_file(entry)
    sha256 = entry.sha256
    if path is None:
        how = {"fetched": "appliance models fetch", "own": "appliance models add"}.get(
            entry.kind, "models/README.md"
        )
        state = f"not here ({entry.kind}: {how})"
    else:
        state = "here"
        with contextlib.suppress(ModelError):  # a damaged record is for verify to tell
            sha256 = sha256 or recorded(entry, path)
        if verify_it:
            try:
                catalogue.verify(entry, path)
                state = "here, verified"
            except ModelError as error:
                state = f"refused: {error}"
    is_default = entry.id == catalogue.manifest.default
    return {
        "id": entry.id,
        "title": entry.title,
        "state": state + (" (default)" if is_default else ""),
        "sha256": sha256,
        "license": entry.license,
        "path": str(path or ""),
        "url": entry.source.url,
        "accuracy": msgspec.to_builtins(entry.accuracy),
        "speed": msgspec.to_builtins(entry.speed),
    }


def _fetch(catalogue: Catalogue, options: argparse.Namespace) -> int:
    entries = {entry.id: entry for entry in catalogue.entries()}
    if options.name not in entries:
        raise UsageError(
            f"models fetch {options.name or ''}: no such model", hint=f"known: {', '.join(entries)}"
        )
    entry = entries[options.name]
    if entry.kind in {"bundled", "own"}:
        print(f"{entry.id}: is {entry.kind}, nothing to fetch")
        return 0
    folder = options.to or _writable_folder()
    path = fetch(entry, folder, copy_from=options.copy_from)
    print(f"{entry.id}: {path}, {path.stat().st_size} bytes, verified")
    return 0


def _writable_folder() -> Path:
    system = os.access(SYSTEM_FOLDER, os.W_OK) or os.access(SYSTEM_FOLDER.parent, os.W_OK)
    return SYSTEM_FOLDER if system else user_models_folder()
