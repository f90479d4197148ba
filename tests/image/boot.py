"""Start an emulated board from the flashable image and use it as its owner would.

Usage: python -m tests.image.boot FOLDER [virt|raspi3b|read-only ...]

FOLDER is what deploy/image/debian.sh filled. Kernel and initrd are handed over by QEMU, so the
firmware's boot files are looked at, not run. Everything else is the image's own. The kernel's
test camera (vivid) stands for a USB camera. read-only is virt with an overlay in memory over a
read-only root, from the first start on. On raspi3b a module of the test's answers for the firmware.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.image.machine import Board, Card, missing
from tests.image.owner import Owner
from tests.prometheus import Prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMERA = "modules_load=vivid vivid.n_devs=1 vivid.node_types=0x1"
SLOW = {"virt": 1.0, "raspi3b": 3.0}
"""How much longer things take than on the quicker one."""
START_SECONDS = 600
"""Three times what a start takes here: an emulated board may hang and restart itself once."""
LEAN_WORKERS = 2
OWNERS = 'device = "porch"\n[[camera]]\nname = "door"\nsource = "v4l2"\n'
IMAGERS_USER_DATA = """\
#cloud-config
runcmd:
  - [sh, -c, "echo now >>/var/lib/imager-was-here"]
"""
PROBE = (Path(__file__).parent / "probe.sh").read_text()
OVERLAY = "overlayroot=tmpfs:recurse=0"
PANEL = 'max by (cause) (appliance_throttle_active{cause="soft_temperature_limit"})'
"""Of the dashboard's panel."""
FIRMWARE_CAUSES = ["soft_temperature_limit"]
FIRMWARE_UNIT = """\
[Unit]
Before=appliance.service
[Service]
Type=oneshot
ExecStart=/usr/sbin/insmod /opt/fake_firmware.ko throttled=0
[Install]
WantedBy=multi-user.target
"""
THROTTLE_UNIT = """\
[Unit]
After=mosquitto.service
[Service]
ExecStart=/bin/sh -c 'mosquitto_sub -C 1 -t appliance/throttle && \\
    echo 0xd0008 >/sys/module/fake_firmware/parameters/throttled'
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""
READ_ONLY_PROBE = """\
echo # the console may stand behind a prompt
failed=$(systemctl --failed --no-legend --plain | cut -d' ' -f1 | xargs)
[ -z "$failed" ] || echo "probe: FAULT failed: $failed"
touch /etc/probe && echo "probe: /etc is written in memory" || echo "probe: FAULT /etc: read-only"
findmnt -no OPTIONS /media/root-ro | grep -q '^ro' || echo "probe: FAULT below it is writable"
echo "probe: root is $(findmnt -no FSTYPE /), below it $(findmnt -no OPTIONS /media/root-ro)"
before=$(awk '{print $7}' /sys/block/vda/stat)
sleep 30
echo "probe: written in 30 s: $((($(awk '{print $7}' /sys/block/vda/stat) - before) / 2)) KiB"
echo "probe: end"
"""
OFF_UNIT = """\
[Unit]
After=mosquitto.service
[Service]
ExecStart=/bin/sh -c 'mosquitto_sub -C 1 -t appliance/off && systemctl poweroff'
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""
"""QEMU's Pi has no power button: its owner's word over MQTT stands for it."""
PROBE_UNIT = """\
[Unit]
After=multi-user.target cloud-final.service
ConditionPathExists=!/opt/crashed
[Service]
Type=idle
ExecStart=/bin/sh /opt/probe.sh
StandardOutput=tty
TTYPath=/dev/console
"""
CRASH = "touch /opt/crashed && sync && kill -SEGV 1\n"
"""What the probe does last: the service manager crashes, once."""


def step(board: Board, text: str) -> None:
    """Say what was shown, and when."""
    print(f"== {board.kind} {board.seconds:5.0f} s  {text}", flush=True)


def first_start(kind: str, built: Path, card: Card, more: str = "") -> tuple[str, str]:
    """Flash, power on, read the account off the screen, subscribe, power off."""
    slow = SLOW[kind]
    if kind == "raspi3b":
        add_unit(card, "off", OFF_UNIT)
        add_firmware(built, card)
    board = Board(kind, built, card, f"{CAMERA} {more}")
    found = board.wait(
        lambda: re.search(r"account +viewer, password (\S+)", board.console()),
        START_SECONDS * slow,
        "an account on the console",
    )
    step(board, "the console shows an account, once")
    # The partition was written a moment ago and is read-only again.
    ca = board.wait(lambda: card.get("appliance-ca.crt"), 240, "the CA on the boot partition")
    owner = Owner(board.port, "viewer", found[1], ca)
    board.wait(lambda: owner.last("/status") == "online", START_SECONDS * slow, "status = online")
    step(board, "status = online, with TLS and the account, from the network")
    board.wait(lambda: owner.last("/camera/detections"), 180 * slow, "a detections message")
    message = json.loads(owner.last("/camera/detections"))
    step(board, f"detections on {message['accelerator']}, frame {message['frame']['seq']}")
    board.wait(lambda: "resident_bytes" in owner.last("/health"), 60 * slow, "health")
    health = json.loads(owner.last("/health"))
    step(board, f"health: {health['state']}, memory {health['memory']['resident_bytes'] >> 20} MiB")
    info = json.loads(owner.last("/info"))
    with scraped(board) as prometheus:
        board.wait(lambda: prometheus.query("up") == [1.0], 60 * slow, "a scrape")
        step(board, "a real Prometheus scrapes it with the lines on the console")
        if kind == "raspi3b":
            throttled(board, owner, prometheus, found_account(board, "homeassistant"), ca)
    if kind == "raspi3b":
        assert info["workers"] == LEAN_WORKERS, info
        step(board, f"{info['board']}: the lean profile, {info['workers']} workers")
    if kind == "raspi3b":
        other = Owner(board.port, "homeassistant", found_account(board, "homeassistant"), ca)
        board.wait(lambda: other.last("/status"), 60 * slow, "the other account")
        other.say("appliance/off")
        board.wait_off(120 * slow)
        other.close()
    else:
        board.power_button(120 * slow)
    owner.close()
    step(board, "clean power-off")
    return found[1], ca


def second_start(kind: str, built: Path, card: Card, password: str, ca: str) -> None:
    """The owner configures it on the card; a probe inside looks at what cannot be seen outside."""
    assert password in card.get("appliance-access.txt")
    card.put("appliance.toml", OWNERS)
    card.put("user-data", IMAGERS_USER_DATA)
    card.put_root("/opt/probe.sh", PROBE + CRASH)
    add_unit(card, "probe", PROBE_UNIT)
    board = Board(kind, built, card, CAMERA)
    owner = Owner(board.port, "viewer", password, ca)
    board.wait(lambda: owner.last("/porch/door/detections"), START_SECONDS, "the new name")
    step(board, "the boot partition's configuration is in force")
    board.wait(lambda: "probe: end" in board.console(), 600, "the probe's end")
    lines = re.findall(r"^probe: (.*)$", board.console(), re.MULTILINE)
    print("\n".join(f"   {line.rstrip()}" for line in lines))
    faults = [line for line in lines if line.startswith("FAULT")]
    if faults:
        board.fail("; ".join(faults))
    board.wait(lambda: board.restarts, 120, "a restart after the service manager crashed")
    owner.messages.clear()
    restarted = board.seconds
    board.wait(lambda: owner.last("/porch/door/detections"), START_SECONDS, "detections again")
    took = board.seconds - restarted
    step(
        board,
        f"the service manager crashed, the board restarted itself: detections in {took:.0f} s",
    )
    began = re.findall(r"Startup finished in .*", board.console())
    print("\n".join(f"   {line.strip()}" for line in began))
    owner.close()
    board.power_button(120)
    assert not card.get("appliance-access.txt"), "the passwords are still on the boot partition"
    step(board, "the passwords are gone from the boot partition")


def read_only_start(kind: str, built: Path, card: Card, password: str, ca: str) -> None:
    """The plug was pulled after the first start: name and accounts are those of that start."""
    card.put("appliance.toml", OWNERS)
    card.put_root("/opt/probe.sh", READ_ONLY_PROBE)
    add_unit(card, "probe", PROBE_UNIT)
    board = Board(kind, built, card, f"{CAMERA} {OVERLAY}")
    owner = Owner(board.port, "viewer", password, ca)
    board.wait(lambda: owner.last("/porch/door/detections"), 300, "detections, read-only")
    board.wait(lambda: "probe: end" in board.console(), 300, "the probe's end")
    lines = re.findall(r"^probe: (.*)$", board.console(), re.MULTILINE)
    print("\n".join(f"   {line.rstrip()}" for line in lines))
    faults = [line for line in lines if line.startswith("FAULT")]
    if faults:
        board.fail("; ".join(faults))
    owner.close()
    board.power_button(120)
    if not any(line.startswith("root is overlay") for line in lines):
        sys.exit("FAILED: the root file system is no overlay")
    step(board, "it runs read-only, with an overlay in memory")


def found_account(board: Board, name: str) -> str:
    """Return the password of an account, as the console shows it."""
    found = re.search(rf"account +{name}, password (\S+)", board.console())
    assert found, name
    return found[1]


@contextmanager
def scraped(board: Board) -> Iterator[Prometheus]:
    """Run a Prometheus with the lines that the console shows; only where it is, is another word."""
    found = re.search(r"^  - job_name: .*?\]\}\]", board.console(), re.MULTILINE | re.DOTALL)
    if not found:
        board.fail("no lines for prometheus.yml on the console")
        raise AssertionError
    job = re.sub(r'targets: \["[^"]*"', f'targets: ["127.0.0.1:{board.metrics_port}"', found[0])
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "appliance-ca.crt").write_text(board.card.get("appliance-ca.crt"))
        with Prometheus(Path(folder), job.replace("\r", "") + "\n", seconds=10) as prometheus:
            yield prometheus


def throttled(board: Board, owner: Owner, prometheus: Prometheus, password: str, ca: str) -> None:
    """The firmware begins to throttle: MQTT says so, and the panel's query has it."""
    slow = SLOW[board.kind]

    def flags() -> dict[str, Any]:
        return json.loads(owner.last("/health") or "{}").get("throttle") or {}

    board.wait(lambda: flags().get("source") == "module", 60 * slow, "flags from our module")
    assert flags()["now"] == [], flags()
    other = Owner(board.port, "homeassistant", password, ca)
    board.wait(lambda: other.last("/status"), 60 * slow, "the other account")
    other.say("appliance/throttle")
    other.close()
    board.wait(lambda: flags().get("now") == FIRMWARE_CAUSES, 120 * slow, "flags in health")
    board.wait(
        lambda: "throttling_began" in owner.last("/alerts"), 60 * slow, "an alert: throttling began"
    )
    board.wait(lambda: prometheus.query(PANEL) == [1.0], 60 * slow, "the panel's query")
    step(board, f"our module reads the firmware's flags: {flags()}; MQTT and Prometheus have them")


def add_firmware(built: Path, card: Card) -> None:
    """QEMU's firmware knows no throttle flags: a module of the test's answers in its place."""
    card.put_root("/opt/fake_firmware.ko", (built / "fake_firmware.ko").read_bytes())
    add_unit(card, "firmware", FIRMWARE_UNIT)
    add_unit(card, "throttle", THROTTLE_UNIT)


def add_unit(card: Card, name: str, text: str) -> None:
    """Add a unit of the test's own to what starts."""
    unit = f"/etc/systemd/system/{name}.service"
    card.put_root(unit, text)
    card.link_root(f"/etc/systemd/system/multi-user.target.wants/{name}.service", unit)


def firmware_files(card: Card) -> None:
    """What only real firmware runs must at least be there and name what is there."""
    config, words = card.get("config.txt"), card.get("cmdline.txt")
    assert "arm_64bit=1" in config and "root=PARTUUID=5eedcafe-02" in words, (config, words)
    for name in re.findall(r"^(?:kernel=|initramfs )(\S+)", config, re.MULTILINE):
        assert card.size(name) > 1 << 20, f"{name} is not on the boot partition"
    for name in ("bootcode.bin", "start.elf", "start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb"):
        assert card.size(name) > 0, f"{name} is not on the boot partition"
    print("== the firmware's files are there and name each other", flush=True)


def main() -> None:
    """Run it on each machine named."""
    lacking = missing()
    if lacking:
        print(f"not run: {lacking} not installed", file=sys.stderr)
        sys.exit(75)
    built = Path(sys.argv[1])
    for name in sys.argv[2:] or ["virt"]:
        kind = "virt" if name == "read-only" else name
        with tempfile.TemporaryDirectory() as folder:
            card = Card(built / "appliance.img", Path(folder, "card.img"))
            firmware_files(card)
            more = OVERLAY if name == "read-only" else ""
            password, ca = first_start(kind, built, card, more)
            if name == "virt":
                second_start(kind, built, card, password, ca)
            if name == "read-only":
                read_only_start(kind, built, card, password, ca)
    print("== all well")


if __name__ == "__main__":
    main()
