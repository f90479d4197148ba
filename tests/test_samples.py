"""Test data for everybody: where it is looked for, and what fetching it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.helpers import ROOT
from tests.samples import FETCHED, FREE_PICTURES, Samples, find_samples

if TYPE_CHECKING:
    from pathlib import Path

WHEEL = "nrtk_explorer-0.10.0-py3-none-any.whl"


def test_the_nearest_folder_is_taken(tmp_path: Path) -> None:
    root = tmp_path / "work/main"
    with pytest.raises(pytest.skip.Exception, match="make test-data"):
        find_samples({}, root)
    for folder in (root / "build/test-data", root.parent / "shared/data", tmp_path / "mine"):
        folder.mkdir(parents=True)
        environ = {"APPLIANCE_TEST_DATA": str(folder)} if folder.name == "mine" else {}
        assert find_samples(environ, root) == Samples(folder)


def test_a_folder_that_was_named_is_not_replaced_by_another(tmp_path: Path) -> None:
    (tmp_path / "build/test-data").mkdir(parents=True)
    with pytest.raises(pytest.skip.Exception, match="/nowhere"):
        find_samples({"APPLIANCE_TEST_DATA": "/nowhere"}, tmp_path)


def test_a_test_is_told_which_file_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").touch()
    assert Samples(tmp_path) / "b.jpg" == Samples(tmp_path).first("a.jpg", "b.jpg")
    with pytest.raises(pytest.skip.Exception, match=r"models/a\.tflite is not in"):
        Samples(tmp_path) / "models/a.tflite"


def fetch(to: Path, packages: Path) -> subprocess.CompletedProcess[str]:
    """Fetch with no other source of packages than a folder."""
    return subprocess.run(
        [sys.executable, "scripts/fetch_test_data.py", "--to", str(to)],
        cwd=ROOT,
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_a_network_nothing_is_fetched_and_that_is_said(tmp_path: Path) -> None:
    done = fetch(tmp_path / "to", tmp_path)
    assert done.returncode == 75, done.stderr
    assert "cannot be had" in done.stderr
    assert not (tmp_path / "to").exists()


def test_another_package_of_that_name_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / WHEEL, "w") as wheel:
        about = "nrtk_explorer-0.10.0.dist-info"
        metadata = "Metadata-Version: 2.1\nName: nrtk-explorer\nVersion: 0.10.0\n"
        wheel.writestr(f"{about}/METADATA", metadata)
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    done = fetch(tmp_path / "to", tmp_path)
    assert done.returncode == 1, done.stderr
    assert "another sha256" in done.stderr
    assert not (tmp_path / "to").exists()


def test_what_is_there_is_not_fetched_again(fetched: Samples, tmp_path: Path) -> None:
    assert fetch(FETCHED, tmp_path).returncode == 0


def test_a_damaged_picture_is_fetched_again(fetched: Samples, tmp_path: Path) -> None:
    copy = tmp_path / "to" / FREE_PICTURES
    copy.mkdir(parents=True)
    for picture in (fetched / FREE_PICTURES).iterdir():
        (copy / picture.name).write_bytes(picture.read_bytes()[:-1])
    assert fetch(tmp_path / "to", tmp_path).returncode == 75
