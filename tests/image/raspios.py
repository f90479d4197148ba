"""The two ways to a card of Raspberry Pi OS, on emulated boards: the image, and the boot kit.

Usage: python -m tests.image.raspios image|kit FOLDER [--cuts N] [--seed S]

FOLDER has base.img, packages/, vmlinuz, initrd.img and cmdline.txt of the stand-in
(tests/image/standin); dist/raspios the image made of it, dist/boot-kit the kit. Each ends with
detections over TLS, from outside. With cuts, the plug is pulled at random moments of the first
start, again and again, before the one that is let run.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import random
import re
import secrets
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.image.machine import Board, Card, missing
from tests.image.owner import Owner

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMERA = "modules_load=vivid vivid.n_devs=1 vivid.node_types=0x1"
ACCOUNT = re.compile(r"account +viewer, password (\S+)")
LONGEST = {"image": 900, "kit": 1800}
"""Seconds for a start on a busy machine."""
CUT_WITHIN = {"image": 90, "kit": 400}
IMAGERS_USER_DATA = """\
#cloud-config
hostname: garden
manage_etc_hosts: true
runcmd:
  - [touch, /var/lib/imager-was-here]
"""
"""What Raspberry Pi Imager 2.0.9 writes for a name, and a command of its own (of it, the shape)."""
PROBE = """\
echo # the console may stand behind a prompt
echo "probe: $(hostname)"
test -e /var/lib/imager-was-here || echo "probe: FAULT what Imager asked for was not done"
test -z "$(dpkg --audit)" || echo "probe: FAULT dpkg: $(dpkg --audit | head -3)"
test ! -e /etc/systemd/system/appliance-install.service || echo "probe: FAULT still installing"
for one in appliance appliance-card python3-picamera2 mosquitto libedgetpu1-std imx500-all; do
    dpkg-query -W -f '${Status}' "$one" | grep -q 'ok installed' || echo "probe: FAULT no $one"
done
echo "probe: end"
"""
PROBE_UNIT = """\
[Unit]
After=multi-user.target appliance.service cloud-final.service
ConditionPathExists=/usr/bin/appliance
[Service]
Type=idle
ExecStart=/bin/sh /opt/probe.sh
StandardOutput=tty
TTYPath=/dev/console
"""


class Plug:
    """Starts boards from one card, and keeps what their consoles said.

    Args:
        built: kernel, initrd and words.
        card: of all starts.
    """

    def __init__(self, built: Path, card: Card) -> None:
        self._built, self._card = built, card
        self._before = ""
        self.board = Board("virt", built, card, CAMERA)

    def again(self) -> None:
        """Pull it and put it in again."""
        self._before += self.board.console()
        self.board.kill()
        self.board = Board("virt", self._built, self._card, CAMERA)

    def password(self) -> str:
        """Return the newest password of the viewer that a screen showed; empty if none yet."""
        found = ACCOUNT.findall(self._before + self.board.console())
        return found[-1] if found else ""


def step(board: Board, text: str) -> None:
    """Say what was shown, and when."""
    print(f"== {board.seconds:5.0f} s  {text}", flush=True)


def to_detections(way: str, plug: Plug, card: Card) -> None:
    """Wait until detections come, and look inside."""
    board = plug.board
    board.wait(plug.password, LONGEST[way], "an account on the console")
    step(board, "the console shows an account")
    ca = board.wait(lambda: card.get("appliance-ca.crt"), 240, "the CA on the boot partition")
    owner = Owner(board.port, "viewer", plug.password(), ca)
    board.wait(lambda: owner.last("/camera/detections"), LONGEST[way], "a detections message")
    step(board, "detections over TLS, with the account, from the network")
    board.wait(lambda: "probe: end" in board.console(), 300, "the probe's end")
    lines = re.findall(r"^probe: (.*)$", board.console(), re.MULTILINE)
    faults = [line for line in lines if line.startswith("FAULT")]
    if faults:
        board.fail("; ".join(faults))
    if "garden" not in lines[-2]:
        board.fail(f"the name that Imager was told is not taken: {lines}")
    step(board, "everything is installed, and Imager's wishes were done")
    owner.close()
    board.power_button(180)
    step(board, "clean power-off")


@contextmanager
def archive(folder: Path) -> Iterator[int]:
    """Serve the packages, as an archive does; yield the port."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("way", choices=("image", "kit"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cuts", type=int, default=0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 30))
    given = parser.parse_args()
    lacking = missing()
    if lacking:
        print(f"not run: {lacking} not installed", file=sys.stderr)
        sys.exit(75)
    chance = random.Random(given.seed)  # noqa: S311 - moments, not secrets
    print(f"== {given.way}, {given.cuts} cuts, seed {given.seed}", flush=True)
    built = Path("dist/raspios/appliance-raspios.img")
    image = built if given.way == "image" else given.folder / "base.img"
    with tempfile.TemporaryDirectory() as folder, archive(given.folder / "packages") as port:
        card = Card(image, Path(folder, "card.img"))
        card.put("user-data", IMAGERS_USER_DATA)
        card.put_root("/opt/probe.sh", PROBE)
        card.put_root("/etc/systemd/system/probe.service", PROBE_UNIT)
        card.link_root(
            "/etc/systemd/system/multi-user.target.wants/probe.service",
            "/etc/systemd/system/probe.service",
        )
        if given.way == "kit":
            card.put_folder(Path("dist/boot-kit"))
            card.put("appliance-kit/accelerators.txt", "coral, imx500\r\n")
            source = f"deb [trusted=yes] http://10.0.2.2:{port}/ ./\n"
            card.put_root("/etc/apt/sources.list.d/archive.list", source)
            card.remove_root("/etc/apt/sources.list.d/raspi.sources")
        plug = Plug(given.folder, card)
        for _ in range(given.cuts):
            seconds = chance.uniform(5, CUT_WITHIN[given.way])
            threading.Event().wait(seconds)
            step(plug.board, "the plug is pulled")
            plug.again()
        to_detections(given.way, plug, card)
    print("== all well")


if __name__ == "__main__":
    main()
