"""Where model files lie, and whether one is what it should be."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import ModelError

if TYPE_CHECKING:
    from appliance.models.manifest import ModelEntry

MODELS_VARIABLE = "APPLIANCE_MODELS"


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


def verify(content: bytes, entry: ModelEntry, path: Path) -> None:
    """Raise ModelError unless ``content`` is the entry's file.

    An entry without a pinned sha256 is checked against the one recorded when it was fetched.
    """
    restore = "restore it (git checkout, reinstall, or fetch again)"
    if entry.bytes and len(content) != entry.bytes:
        raise ModelError(
            f"model {path}: {len(content)} bytes, expected {entry.bytes}: truncated or another "
            "file",
            hint=restore,
        )
    recorded = record_path(path)
    expected = entry.sha256 or (recorded.read_text().strip() if recorded.is_file() else "")
    sha256 = hashlib.sha256(content).hexdigest()
    if expected and sha256 != expected:
        raise ModelError(
            f"model {path}: sha256 is {sha256}, expected {expected}: damaged or another file",
            hint=restore,
        )


def record_path(path: Path) -> Path:
    """Return where the sha256 of an unpinned model is recorded when it is fetched."""
    return path.with_name(path.name + ".sha256")
