"""The order of things at boot. Each step stands alone: one that fails is told, the rest is done."""

from __future__ import annotations

import logging
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.board.identity import device_name
from appliance.card import access, fragment, kept, metrics, mosquitto, reset
from appliance.card.certificates import make_authority, make_certificate
from appliance.config import Settings, load
from appliance.config.loopback import is_loopback
from appliance.errors import ApplianceError
from appliance.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.card.paths import CardPaths

log = logging.getLogger(__name__)

IMAGE_HOSTNAME = "appliance"
"""The host name on the card as flashed: not yet one of its own."""
_FROM_BOOT = b"# from the boot partition\n"
_HOSTNAME = re.compile(
    r"^hostname:\s*[\"']?([A-Za-z0-9][A-Za-z0-9-]{0,62})[\"']?\s*$", re.MULTILINE
)
_AUTHORITY = "certificate authority"
_CERTIFIED = frozenset({"metrics", "access", "broker"})
"""Steps that are nothing without it."""


@dataclass(slots=True)
class Report:
    """What happened.

    Attributes:
        told: what the owner should know.
        failed: steps that failed, with the reason.
        access: text with the new accounts; empty where none were made.
    """

    told: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    access: str = ""

    @property
    def notices(self) -> list[str]:
        """Return what the daemon repeats in its health message until the next boot."""
        return [line for line in self.told if "is not used" in line] + self.failed


def prepare(layout: CardPaths, *, rename: Callable[[str], None] = socket.sethostname) -> Report:
    """Prepare the machine.

    Args:
        layout: where everything is.
        rename: gives the running system its host name.
    """
    report = Report()
    steps: dict[str, Callable[[], Iterator[str]]] = {
        "factory reset": lambda: reset.factory_reset(layout),
        "host name": lambda: _name(layout, rename),
        "lean profile": lambda: fragment.lean(layout),
        "configuration": lambda: fragment.take(layout),
        "SSH key": lambda: _ssh(layout),
        _AUTHORITY: lambda: _authority(layout),
        "metrics": lambda: _metrics(layout),
        "access": lambda: _access(layout, report),
        "broker": lambda: _broker(layout),
        "read-only card": lambda: kept.keep(layout),
    }
    if not layout.boot_is_there:
        report.failed.append(f"setup: {layout.boot} is not there: the last settings go on")
        for name in ("factory reset", "configuration", "SSH key"):
            del steps[name]
    for name, step in steps.items():
        if name in _CERTIFIED and any(_AUTHORITY in told for told in report.failed):
            continue  # told once is enough
        try:
            report.told += step()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other steps are needed
            report.failed.append(f"setup: {name}: {error}")
    _tell(layout, report)
    return report


def hostname(layout: CardPaths) -> str:
    """Return the machine's name."""
    try:
        return (layout.root / "etc/hostname").read_text().strip() or IMAGE_HOSTNAME
    except OSError:
        return IMAGE_HOSTNAME


def _name(layout: CardPaths, rename: Callable[[str], None]) -> Iterator[str]:
    """Give the machine a name of its own, unless the owner did."""
    if hostname(layout) != IMAGE_HOSTNAME:
        return
    name = _wanted_name(layout) or device_name(layout.root)
    write_whole(layout.root / "etc/hostname", f"{name}\n")
    hosts = f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost ip6-loopback\n"
    write_whole(layout.root / "etc/hosts", hosts)
    rename(name)
    yield f"named {name}"


def _wanted_name(layout: CardPaths) -> str:
    """Return the name that Imager wrote for cloud-init, which reads it later than we do."""
    try:
        text = (layout.boot / "user-data").read_text("utf-8", "replace")
    except OSError:
        return ""
    found = _HOSTNAME.search(text)
    return found[1] if found else ""


def _ssh(layout: CardPaths) -> Iterator[str]:
    """Let in whoever has the key on the boot partition; without one, SSH does not start."""
    given = layout.boot / "authorized_keys"
    target = layout.root / "root/.ssh/authorized_keys"
    ours = target.exists() and target.read_bytes().startswith(_FROM_BOOT)
    if given.exists():
        content = _FROM_BOOT + given.read_bytes()
        if not target.exists() or target.read_bytes() != content:
            write_whole(target, content, 0o600)
            target.parent.chmod(0o700)
            yield "SSH: the key of the boot partition may log in as root"
    elif ours:
        target.unlink()
        yield "SSH: the key is gone from the boot partition, and may not log in any more"


def _settings(layout: CardPaths) -> Settings:
    try:
        return load(layout.configuration)
    except ApplianceError:
        return Settings()  # the daemon will say why


def _has_broker(settings: Settings) -> bool:
    return settings.mqtt.enabled and is_loopback(settings.mqtt.host)


def _authority(layout: CardPaths) -> Iterator[str]:
    make_authority(layout, hostname(layout))
    yield from ()


def _metrics(layout: CardPaths) -> Iterator[str]:
    """Offer ``/metrics`` to the network."""
    metrics.serve(layout, hostname(layout))
    yield from ()


def _access(layout: CardPaths, report: Report) -> Iterator[str]:
    """Make passwords and token, once, and tell them; later, take what was told off the card."""
    settings, name = _settings(layout), hostname(layout)
    anew = reset.asked(layout, reset.PASSWORDS)
    accounts = mosquitto.new_accounts(layout, anew=anew) if _has_broker(settings) else {}
    port = metrics.reached_at(settings)
    token = metrics.new_token(layout, anew=anew) if port else ""
    if _has_broker(settings) or port:
        access.hand_out_authority(layout)
    if not accounts and not token:
        access.withdraw(layout)
        return
    device = settings.device or device_name(layout.root)
    report.access = access.describe(
        name,
        f"{settings.mqtt.prefix}/{device}/",
        accounts,
        access.scrape(name, port, token) if token else "",
    )
    access.hand_out(layout, report.access)  # first: passwords that nobody knows are of no use
    if accounts:
        mosquitto.keep_accounts(layout, accounts)
        yield "new accounts for the broker"
    if token:
        metrics.keep_token(layout, token)
        yield "a new token for the metrics"
    reset.done(layout, reset.PASSWORDS)


def _broker(layout: CardPaths) -> Iterator[str]:
    """Make the built-in broker, unless the configuration names another."""
    wanted = layout.runtime / "broker"
    settings = _settings(layout)
    if not _has_broker(settings):
        wanted.unlink(missing_ok=True)
        yield f"the built-in broker stays off: the configuration names {settings.mqtt.host}"
        return
    make_certificate(layout, hostname(layout), layout.broker / "server", "mosquitto")
    wants = settings.homeassistant.prefix
    write_whole(
        layout.broker / "acl",
        mosquitto.rights(settings.mqtt.prefix, wants),
        0o640,
        group="mosquitto",
    )
    inside = layout.broker.relative_to(layout.root)
    target = layout.root / "etc/mosquitto/conf.d/appliance.conf"
    write_whole(target, mosquitto.configuration(Path("/") / inside))
    write_whole(wanted, "")


def _tell(layout: CardPaths, report: Report) -> None:
    """Leave word for the daemon and for whoever looks at the console."""
    try:
        write_whole(layout.runtime / "notices", "".join(f"{one}\n" for one in report.notices))
        greeting = f"{hostname(layout)}.local  \\4  \\6\n"
        trouble = "".join(f"! {line}\n".replace("\\", "\\\\") for line in report.notices)
        issue = f"\n{greeting}{trouble}{report.access}\n"
        write_whole(layout.root / "run/issue.d/appliance.issue", issue, 0o600)
    except OSError as error:
        log.error("setup: cannot leave word: %s", error)  # noqa: TRY400 - no traceback for a full disk
