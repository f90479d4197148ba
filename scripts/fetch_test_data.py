"""Fetch labelled pictures for the accuracy tests, from a package, into build/test-data.

Usage: python scripts/fetch_test_data.py [--to FOLDER]

The pictures are of COCO val2017, with COCO's own boxes, as the Python package nrtk-explorer ships
them for its tests. Of its 16 pictures those are taken whose licence, which its label file names for
each, lets everybody use them (see NOTICE). The archive and every file are checked against the
hashes below; once all are there, nothing is fetched again.

Exit codes: 0 they are there; 75 the package cannot be had (no network, no pip); 1 it is not the
package that these hashes were taken of.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "nrtk-explorer==0.10.0"
ARCHIVE_SHA256 = "6166b7ac86977e357547ad208489058bd5c1e724357abf23fb50f69f4f7f37d3"
INSIDE = "nrtk_explorer/test_data/coco-od-2017"
LABELS = "annotations/instances_val2017.json"
FILES = {
    "val2017/000000104612.jpg": "997ac00cd26aff6a92717247dfb7ce7d5150a7281e61b7db8267833ea251c77d",
    "val2017/000000109798.jpg": "8fafbfb6d1c320f9efc59291748c0b9a730726db311364c03280b2de39fe656f",
    "val2017/000000238866.jpg": "b5c7319f674a5eb9dd9f7374fd5142053ee13c81b036352e067bf53245f5a75f",
    "val2017/000000474028.jpg": "f2c62d024959d0961cd5bee4f78efc015c221b908005c5bbdbeaaede7d8d0cf6",
    "val2017/000000511321.jpg": "1f11a7961b4d3175280aee99a8ec93107cc13c4ba798c16ecd1c8411a64a64eb",
    "val2017/000000514508.jpg": "20620ced4eef5e96550b5737efd4a24d981cd0c73cab68dfd7a28e6c5360b005",
    "val2017/000000555705.jpg": "33cbe32cfb91e75486c65ad18c5ae9e824127512a41a785e470fe418af1bca1b",
    LABELS: "c95235a56d74d9ecb55be6ea0def27cf25ef0ea478916ec9f0a7e27addb9d89c",
}
IN_THE_PACKAGE = {LABELS: "test_val2017.json"}
SET = "coco-free"
CANNOT_BE_HAD = 75
PATIENCE_SECONDS = 180


class NotThatPackageError(Exception):
    """What came has another hash."""


class CannotBeHadError(Exception):
    """The package client did not bring the package."""


def sha256(content: bytes) -> str:
    """Return the hash of ``content`` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def is_complete(folder: Path) -> bool:
    """Tell whether every file is in ``folder`` as it should be."""
    return all(
        (folder / name).is_file() and sha256((folder / name).read_bytes()) == wanted
        for name, wanted in FILES.items()
    )


def download(folder: Path) -> Path:
    """Let pip bring the archive into ``folder``; nothing is built, installed or run."""
    # The pictures do not depend on the Python that the package is for.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--python-version", "3.12"]
    command += ["--retries", "0", "--timeout", "15", "--dest", str(folder), PACKAGE]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise CannotBeHadError(f"not within {PATIENCE_SECONDS} s") from error
    archives = list(folder.glob("*.whl"))
    if done.returncode or not archives:
        said = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise CannotBeHadError(said[-1])
    return archives[0]


def unpack(archive: Path) -> dict[str, bytes]:
    """Return what is wanted of the archive, once it and all of that are the right ones."""
    if sha256(archive.read_bytes()) != ARCHIVE_SHA256:
        raise NotThatPackageError(f"{archive.name}: another sha256 than {ARCHIVE_SHA256}")
    contents = {}
    with zipfile.ZipFile(archive) as package:
        for name, wanted in FILES.items():
            there = IN_THE_PACKAGE.get(name, name.rpartition("/")[2])
            contents[name] = package.read(f"{INSIDE}/{there}")
            if sha256(contents[name]) != wanted:
                raise NotThatPackageError(f"{name}: another sha256 than {wanted}")
    return contents


def fetch(folder: Path) -> None:
    """Put the set into ``folder``, all of it or nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        contents = unpack(download(Path(scratch)))
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for name, content in contents.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    default = Path(__file__).resolve().parent.parent / "build/test-data"
    parser.add_argument("--to", type=Path, default=default, help="default: build/test-data")
    folder = parser.parse_args().to / SET
    if is_complete(folder):
        return 0
    try:
        fetch(folder)
    except CannotBeHadError as error:
        print(
            f"no labelled pictures: {PACKAGE} cannot be had (is there a network?): {error}",
            file=sys.stderr,
        )
        return CANNOT_BE_HAD
    except NotThatPackageError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    print(f"labelled pictures of {PACKAGE} are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
