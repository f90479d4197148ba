"""What is kept is believed from a folder that is ours; root measures for the service, in its."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from appliance.selection.proof_store import KeptFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("user", "believed"), [(0, True), (1, False), (1000, False)])
def test_a_folder_that_is_open_to_others_is_believed_by_root_only(
    user: int, *, believed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o777)
    path = folder / "kept.json"
    path.write_text('{"known": 1}')
    monkeypatch.setattr(os, "geteuid", lambda: user)
    kept = KeptFile(path, int)
    assert kept.get("known") == (1 if believed else None)
    kept.keep("more", 2)
    assert ("more" in path.read_text()) is believed
    assert kept.get("more") == 2  # as long as this process lives
