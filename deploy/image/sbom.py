"""Print what an image is made of, as CycloneDX 1.5.

Usage: python deploy/image/sbom.py INSTALLED APPLIANCE.deb

INSTALLED has a line for each Debian package: name, version, architecture, separated by tabs. Of the
appliance's own package the Python packages inside are listed too.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIST_INFO = re.compile(r"/site-packages/([^/]+)-([^-/]+)\.dist-info/METADATA$")


def bill(installed: str, files: str) -> dict[str, Any]:
    """Return the bill of materials.

    Args:
        installed: the Debian packages.
        files: those in the appliance's package, a line each.
    """
    components = [*debian(installed), *python(files)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "components": sorted(components, key=lambda one: one["purl"]),
    }


def debian(installed: str) -> Iterator[dict[str, str]]:
    """Yield the Debian packages."""
    for line in installed.splitlines():
        name, version, architecture = line.split("\t")
        where = f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={architecture}"
        yield {"type": "library", "name": name, "version": version, "purl": where}


def python(files: str) -> Iterator[dict[str, str]]:
    """Yield the Python packages."""
    for line in files.splitlines():
        found = _DIST_INFO.search(line)
        if found:
            name, version = found[1].replace("_", "-").lower(), found[2]
            where = f"pkg:pypi/{name}@{version.replace('+', '%2B')}"
            yield {"type": "library", "name": name, "version": version, "purl": where}


def main() -> None:
    """Print it."""
    words = ["dpkg-deb", "-c", sys.argv[2]]
    listed = subprocess.run(words, capture_output=True, text=True, check=True)  # noqa: S603
    print(json.dumps(bill(Path(sys.argv[1]).read_text(), listed.stdout), indent=1))


if __name__ == "__main__":
    main()
