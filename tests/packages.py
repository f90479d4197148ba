"""Packages outside the repository, as pip would leave them: a module, and what is said of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from appliance.extensions import kinds, load

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, group: str, name: str, place: str, content: str
) -> None:
    """Install a package that adds one kind.

    Args:
        folder: stands for site-packages.
        monkeypatch: takes it out again.
        group: of entry points: a room.
        name: of the kind.
        place: ``module`` or ``module:name``.
        content: of the module; empty where it is there already.
    """
    module = place.partition(":")[0]
    monkeypatch.delitem(sys.modules, module, raising=False)
    if content:
        (folder / f"{module}.py").write_text(content)
    told = folder / f"{module}-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text(f"[{group}]\n{name} = {place}\n")
    monkeypatch.syspath_prepend(folder)
    kinds.cache_clear()


def contract_of(place: str) -> dict[str, Any]:
    """Return what a kind of another package tells the contract suite: its ``CONTRACT``.

    ``options``: by which a sink or filter has something to do; ``{folder}`` in them is a folder.
    ``present`` and ``absent``: a source that is there on every machine, and one that is not.
    """
    found: dict[str, Any] = getattr(load(place), "CONTRACT", {})
    return found
