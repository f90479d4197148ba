"""Make a folder of .deb files one that apt reads: write its Packages file.

Usage: python deploy/image/packages.py FOLDER

Needs dpkg-deb. What apt-ftparchive would do, where apt-utils is not installed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Write it."""
    folder = Path(sys.argv[1])
    paragraphs = [paragraph(path) for path in sorted(folder.glob("*.deb"))]
    (folder / "Packages").write_text("\n".join(paragraphs))


def paragraph(path: Path) -> str:
    """Return what apt has to know of a package."""
    words = ["dpkg-deb", "-f", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)  # noqa: S603
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    told = f"Filename: ./{path.name}\nSize: {path.stat().st_size}\nSHA256: {digest}\n"
    return f"{done.stdout.rstrip()}\n{told}"


if __name__ == "__main__":
    main()
