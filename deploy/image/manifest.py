"""Print the manifest that Raspberry Pi Imager opens: with it, user, Wi-Fi and name can be set.

Usage: python deploy/image/manifest.py IMAGE PACKED_IMAGE [URL]

Without a URL the manifest names the file beside it, for flashing from this computer.
"""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DEVICES = ["pi4-64bit", "pi3-64bit"]
"""Imager's tags for the boards that Debian's kernel drives with a USB camera."""


def manifest(image: Path, packed: Path, url: str) -> dict[str, Any]:
    """Return the manifest of one image.

    Args:
        image: as it lies on the card.
        packed: as it is downloaded.
        url: where from.
    """
    entry = {
        "name": "Camera detection appliance",
        "description": "Real-time detections and heat over MQTT, from a USB camera",
        "icon": "https://www.raspberrypi.com/app/uploads/2011/10/Raspi-PGB001.png",
        "url": url,
        "extract_size": image.stat().st_size,
        "extract_sha256": digest(image),
        "image_download_size": packed.stat().st_size,
        "image_download_sha256": digest(packed),
        "release_date": released(image),
        "init_format": "cloudinit",
        "architecture": "armv8",
        "devices": DEVICES,
        "capabilities": [],
    }
    return {"os_list": [entry]}


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def released(path: Path) -> str:
    """Return the day the file was made."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()


def main() -> None:
    """Print it."""
    image, packed = Path(sys.argv[1]), Path(sys.argv[2])
    url = sys.argv[3] if len(sys.argv) > 3 else packed.resolve().as_uri()
    print(json.dumps(manifest(image, packed, url), indent=2))


if __name__ == "__main__":
    main()
