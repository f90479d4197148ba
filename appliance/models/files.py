"""Where model files lie, and whether one is what it should be."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import ModelError

if TYPE_CHECKING:
    from appliance.models.manifest import ModelEntry

MODELS_VARIABLE = "APPLIANCE_MODELS"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def find_models_folder(environment: dict[str, str] | None = None) -> tuple[Path, ...]:
    """Return where models are looked for, first the folder with the manifest.

    ``APPLIANCE_MODELS`` names an extra folder; then the package's own, then
    ``/var/lib/appliance/models`` and the user's cache, where fetched ones go.
    """
    package = Path(__file__).resolve().parent.parent
    bundled = package / "bundled" / "models"
    main = bundled if bundled.is_dir() else package.parent / "models"
    extra = (environment if environment is not None else os.environ).get(MODELS_VARIABLE)
    folders = [main, Path("/var/lib/appliance/models"), user_models_folder()]
    if extra:
        folders.insert(1, Path(extra))
    return tuple(folders)


def user_models_folder() -> Path:
    """Return where a user without write access to /var keeps fetched models."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "appliance" / "models"


def how_to_get(entry: ModelEntry) -> str:
    """Return what brings the entry's file here."""
    if entry.kind == "built" and entry.accelerator:
        return (
            f"you convert it, with the tools of {entry.accelerator} and for your chip "
            f"(docs/accelerators.md), there: sha256sum {entry.file} > {entry.file}.sha256, here: "
            f"appliance models fetch {entry.id} --from DIR"
        )
    return {
        "bundled": "reinstall the appliance",
        "built": f"make models, then appliance models fetch {entry.id} --from models/out",
        "fetched": f"appliance models fetch {entry.id}",
        "system": f"apt install {entry.package}",
        "own": f"appliance models add FILE --name {entry.id}",
    }[entry.kind]


def verify(content: bytes, entry: ModelEntry, path: Path) -> None:
    """Raise ModelError unless ``content`` is the entry's file.

    What the manifest does not pin is checked against the record beside ``path``: of its build, or
    of its first fetch. What is built needs one.
    """
    if entry.bytes and len(content) != entry.bytes:
        raise ModelError(
            f"model {path}: {len(content)} bytes, expected {entry.bytes}: truncated or another "
            "file",
            hint=_cure(entry),
        )
    verify_part(content, entry, path, entry.sha256)


def verify_part(content: bytes, entry: ModelEntry, path: Path, pinned: str = "") -> None:
    """Raise ModelError unless ``content`` is what the entry's file at ``path`` should hold.

    Args:
        content: of the file: the model, its weights, anchors or labels.
        entry: that it belongs to.
        path: where it lies, its record beside it.
        pinned: sha256 by the manifest; empty where that does not know.
    """
    expected = pinned or recorded(entry, path)
    if entry.kind == "built" and not expected:
        raise ModelError(
            f"model {path}: has no record of its build ({record_path(path).name} beside it)",
            hint=_cure(entry),
        )
    sha256 = hashlib.sha256(content).hexdigest()
    if expected and sha256 != expected:
        raise ModelError(
            f"model {path}: sha256 is {sha256}, expected {expected}: damaged or another file",
            hint=_cure(entry),
        )


def record_path(path: Path) -> Path:
    """Return where the sha256 of a file that the manifest does not pin is recorded."""
    return path.with_name(path.name + ".sha256")


def recorded(entry: ModelEntry, path: Path) -> str:
    """Return the hash recorded beside a file, also as sha256sum writes it; empty without one."""
    record = record_path(path)
    if not record.is_file():
        return ""
    try:
        words = record.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError):
        words = []
    if not words or not _SHA256.fullmatch(words[0]):
        raise ModelError(f"model {path}: its record {record} is damaged", hint=_cure(entry))
    return words[0]


def _cure(entry: ModelEntry) -> str:
    if entry.kind in {"built", "own"}:
        return how_to_get(entry)
    return "restore it (git checkout, reinstall, or fetch again)"
