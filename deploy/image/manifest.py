"""Print the manifest that Raspberry Pi Imager opens: with it, user, Wi-Fi and name can be set.

Usage: python deploy/image/manifest.py IMAGE PACKED_IMAGE [--format FORMAT] [--any-pi] [--url URL]

Without a URL the manifest names the file beside it, for flashing from this computer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DEVICES = ["pi4-64bit", "pi3-64bit"]
"""Imager's tags for the boards that Debian's kernel drives with a USB camera."""
ANY_PI = ["pi5-64bit", *DEVICES]
"""With Raspberry Pi's own kernel. Compute Modules share the tags of their boards, the Zero 2 W has
that of the Pi 3."""


def manifest(
    image: Path, packed: Path, url: str, init_format: str, *, any_pi: bool
) -> dict[str, Any]:
    """Return the manifest of one image.

    Args:
        image: as it lies on the card.
        packed: as it is downloaded.
        url: where from.
        init_format: how Imager leaves user, Wi-Fi and name for the first start.
        any_pi: it has the kernels and camera drivers of every Raspberry Pi.
    """
    camera = "its own or a USB camera" if any_pi else "a USB camera"
    entry = {
        "name": "Camera detection appliance",
        "description": f"Real-time detections and heat over MQTT, from {camera}",
        "icon": "https://www.raspberrypi.com/app/uploads/2011/10/Raspi-PGB001.png",
        "url": url,
        "extract_size": image.stat().st_size,
        "extract_sha256": digest(image),
        "image_download_size": packed.stat().st_size,
        "image_download_sha256": digest(packed),
        "release_date": released(image),
        "init_format": init_format,
        "architecture": "armv8",
        "devices": ANY_PI if any_pi else DEVICES,
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path)
    parser.add_argument("packed", type=Path)
    parser.add_argument("--format", default="cloudinit")
    parser.add_argument("--any-pi", action="store_true")
    parser.add_argument("--url", default="")
    given = parser.parse_args()
    url = given.url or given.packed.resolve().as_uri()
    entry = manifest(given.image, given.packed, url, given.format, any_pi=given.any_pi)
    print(json.dumps(entry, indent=2))


if __name__ == "__main__":
    main()
