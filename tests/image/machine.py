"""An emulated board that starts from the flashable image, as a board does from its card."""

from __future__ import annotations

import atexit
import json
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.cli.demo_broker import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

CARD_BYTES = 4 << 30
"""A power of two, as QEMU's SD card wants; larger than the image, so that it grows."""
_TABLE, _ENTRY_BYTES, _SECTOR_BYTES = 446, 16, 512
"""Of a partition table of type dos: where it begins, and the size of an entry."""
KINDS = {
    "virt": (
        *("-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1536"),
        *("-device", "virtio-blk-pci,drive=card", "-device", "virtio-net-pci,netdev=net"),
    ),
    "raspi3b": ("-M", "raspi3b", "-device", "usb-net,netdev=net"),
}
_KERNEL_STARTS = "Booting Linux on physical CPU"
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Card:
    """A copy of the image, larger, whose boot partition any computer can read and write.

    Args:
        image: what was built.
        path: the copy.
    """

    def __init__(self, image: Path, path: Path) -> None:
        self.path = path
        subprocess.run(["cp", "--sparse=always", str(image), str(path)], check=True)
        with path.open("r+b") as file:
            file.truncate(CARD_BYTES)
            head = file.read(_SECTOR_BYTES)
        starts = [
            struct.unpack_from("<I", head, _TABLE + number * _ENTRY_BYTES + 8)[0] * _SECTOR_BYTES
            for number in range(2)
        ]
        self._boot, self._root = starts

    def put(self, name: str, content: str) -> None:
        """Write a file to the boot partition."""
        self._mtools("mcopy", "-o", "-", f"::/{name}", text=content)

    def put_folder(self, folder: Path) -> None:
        """Copy all that a folder holds onto the boot partition, as its owner would."""
        for path in sorted(folder.iterdir()):
            self._mtools("mcopy", "-o", "-s", str(path), "::/")

    def get(self, name: str) -> str:
        """Return a file of the boot partition; empty where it is not there."""
        done = self._mtools("mcopy", "-n", f"::/{name}", "-", check=False)
        return done.stdout if done.returncode == 0 else ""

    def size(self, name: str) -> int:
        """Return the size in bytes of a file of the boot partition; 0 where it is not there."""
        done = subprocess.run(
            ["mcopy", "-n", "-i", f"{self.path}@@{self._boot}", f"::/{name}", "-"],
            capture_output=True, check=False,
        )  # fmt: skip
        return len(done.stdout)

    def put_root(self, name: str, content: str | bytes, mode: str = "0100644") -> None:
        """Write a file to the root partition, without mounting it."""
        source = self.path.with_name("put")
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        commands = (
            f"cd {Path(name).parent}\nwrite {source} {Path(name).name}\nsif {name} mode {mode}\n"
        )
        self._debugfs(commands)

    def remove_root(self, name: str) -> None:
        """Remove a file of the root partition."""
        self._debugfs(f"rm {name}\n")

    def link_root(self, name: str, target: str) -> None:
        """Make a symbolic link in the root partition."""
        self._debugfs(f"symlink {name} {target}\n")

    def _debugfs(self, commands: str) -> None:
        where = f"{self.path}?offset={self._root}"
        # What waits in the journal comes first, or it would undo what is written here.
        subprocess.run(["/sbin/e2fsck", "-p", where], check=False, capture_output=True)
        subprocess.run(
            ["/sbin/debugfs", "-w", "-f", "-", where],
            input=commands, text=True, check=True, capture_output=True,
        )  # fmt: skip

    def _mtools(
        self, *words: str, text: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        name, *rest = words
        return subprocess.run(
            [name, "-i", f"{self.path}@@{self._boot}", *rest],
            input=text, capture_output=True, text=True, check=check,
        )  # fmt: skip


class Board:
    """A running machine.

    Args:
        kind: one of ``KINDS``.
        built: folder with kernel, initrd, device tree and cmdline.txt.
        card: what it starts from.
        more: further words for the kernel.
    """

    def __init__(self, kind: str, built: Path, card: Card, more: str = "") -> None:
        self.kind, self.card, self._work = kind, card, card.path.parent
        self.port, self.metrics_port = free_port(), free_port()
        self.began = time.monotonic()
        self._serial = self._work / "serial.log"
        self._serial.unlink(missing_ok=True)
        qmp = self._work / "qmp"
        qmp.unlink(missing_ok=True)
        words = re.sub(r"console=\S+", "", (built / "cmdline.txt").read_text()).split()
        words += ["console=ttyAMA0,115200", *more.split()]
        if kind == "raspi3b":  # QEMU's watchdog resets the moment it is started
            words += ["systemd.watchdog_sec=0"]
        forwarded = ",".join(
            f"hostfwd=tcp:127.0.0.1:{here}-:{there}"
            for here, there in ((self.port, 8883), (self.metrics_port, 9750))
        )
        drive = "if=sd" if kind == "raspi3b" else "if=none,id=card"
        self._process = subprocess.Popen(
            [
                "qemu-system-aarch64", *KINDS[kind], "-accel", "tcg,thread=multi",
                "-display", "none",
                "-kernel", str(built / "vmlinuz"), "-initrd", str(built / "initrd.img"),
                *(("-dtb", str(built / "bcm2837-rpi-3-b.dtb")) if kind == "raspi3b" else ()),
                "-drive", f"file={card.path},format=raw,{drive}",
                "-netdev", f"user,id=net,{forwarded}",
                "-serial", f"file:{self._serial}", "-qmp", f"unix:{qmp},server=on,wait=off",
                "-append", " ".join(words),
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        atexit.register(self._process.kill)  # whatever ends us, it does not run on
        self._qmp = qmp

    @property
    def seconds(self) -> float:
        """Return how long it has been on."""
        return time.monotonic() - self.began

    @property
    def restarts(self) -> int:
        """Return how often it has restarted by itself."""
        return max(0, self.console().count(_KERNEL_STARTS) - 1)

    def console(self) -> str:
        """Return what its console printed."""
        if not self._serial.exists():
            return ""
        return _COLOUR.sub("", self._serial.read_text("utf-8", "replace"))

    def wait(self, condition: Callable[[], Any], seconds: float, what: str) -> Any:
        """Return what the condition returns once it is true; end the run where it never is."""
        pause = threading.Event()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            if self._process.poll() is not None and "Power down" not in self.console():
                self.fail(f"the machine ended while waiting for {what}")
            pause.wait(1)
        self.fail(f"not within {seconds:.0f} s, {self.restarts} restarts: {what}")
        return None

    def power_button(self, seconds: float) -> None:
        """Press it, and wait until the machine is off."""
        self.ask("system_powerdown")
        self.wait_off(seconds)

    def wait_off(self, seconds: float) -> None:
        """Wait until the machine has shut down by itself."""
        self.wait(lambda: self._process.poll() is not None, seconds, "power off")
        if "reboot: Power down" not in self.console():
            self.fail("it went off without shutting down")

    def ask(self, command: str) -> None:
        """Give QEMU a command."""
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(str(self._qmp))
            stream = channel.makefile("rw")
            stream.readline()
            for name in ("qmp_capabilities", command):
                stream.write(json.dumps({"execute": name}) + "\n")
                stream.flush()
                stream.readline()

    def kill(self) -> None:
        """Pull the plug."""
        self._process.kill()
        self._process.wait()

    def fail(self, why: str) -> None:
        """Print what the machine said last, and end."""
        print(self.console()[-4000:])
        self.kill()
        sys.exit(f"FAILED after {self.seconds:.0f} s: {why}")


def missing() -> str:
    """Return what this machine lacks to emulate a board; empty if nothing."""
    tools = ("qemu-system-aarch64", "mcopy", "openssl")
    return ", ".join(tool for tool in tools if not shutil.which(tool))
