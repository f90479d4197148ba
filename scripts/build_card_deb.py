"""Build appliance-card: the Debian package that makes a machine a card's own appliance.

Usage: python scripts/build_card_deb.py [--out dist]

Beside the package appliance it brings the broker's unit, the setup at each start, the watchdog, and
the source of the kernel module (deploy/kernel) that reads a Pi's throttle flags, for DKMS.
The same file for every architecture and release. Needs dpkg-deb.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from build_deb import ROOT, changelog, pack, packed, put, version

CARD, KERNEL = ROOT / "deploy/card", ROOT / "deploy/kernel"
FILES = {
    "mosquitto.service": "etc/systemd/system/mosquitto.service",
    "system.conf": "usr/lib/systemd/system.conf.d/50-appliance.conf",
    "journald.conf": "usr/lib/systemd/journald.conf.d/50-appliance-card.conf",
    "remount-fs.conf": "usr/lib/systemd/system/systemd-remount-fs.service.d/appliance.conf",
    "copyright": "usr/share/doc/appliance-card/copyright",
    "lintian-overrides": "usr/share/lintian/overrides/appliance-card",
}
SOURCES = ("rpi_readings.c", "Makefile", "dkms.conf")


def main() -> None:
    """Build it and print its path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / f"appliance-card_{version()}_all.deb"
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        for source, place in FILES.items():
            put(tree / place, (CARD / source).read_bytes())
        for name in SOURCES:
            put(tree / "usr/src/rpi-readings-1.0" / name, (KERNEL / name).read_bytes())
        changes = changelog("appliance-card", version(), "stable")
        put(tree / "usr/share/doc/appliance-card/changelog.gz", packed(changes.encode()))
        control = tree / "DEBIAN"
        put(control / "control", describe().encode())
        put(control / "conffiles", f"/{FILES['mosquitto.service']}\n".encode())
        for script in ("postinst", "prerm"):
            put(control / script, (CARD / script).read_bytes(), mode=0o755)
        pack(tree, target)
    print(target)


def describe() -> str:
    """Return the control file."""
    return (
        f"Package: appliance-card\nVersion: {version()}\nArchitecture: all\n"
        "Maintainer: The appliance's authors <appliance@example.org>\n"
        "Depends: appliance, mosquitto, openssl, libnss-systemd,"
        " python3-picamera2 | python3-libcamera, python3-systemd\n"
        "Recommends: avahi-daemon\n"
        "Suggests: dkms\n"
        "Section: video\nPriority: optional\n"
        "Description: makes this machine a camera detection appliance of its own\n"
        " At each start it takes the configuration that lies on the boot partition, makes\n"
        " an MQTT broker with accounts and certificates of this machine, and names it.\n"
    )


if __name__ == "__main__":
    main()
