"""The built-in broker: accounts, rights and mosquitto's configuration, made on this machine.

The daemon talks to it over the loopback without a password. From the network there is TLS only,
with a certificate of this machine's own authority, and nobody without an account.
"""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.card.tool import run_tool
from appliance.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.card.paths import CardPaths

ACCOUNTS = ("homeassistant", "viewer")
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without characters that look alike."""


def new_accounts(layout: CardPaths, *, anew: bool) -> dict[str, str]:
    """Return accounts and their passwords, not kept yet; empty where there are some already.

    Args:
        layout: where everything is.
        anew: though there are some already.
    """
    if (layout.broker / "passwords").exists() and not anew:
        return {}
    return {name: _password() for name in ACCOUNTS}


def keep_accounts(layout: CardPaths, accounts: Mapping[str, str]) -> None:
    """Keep the accounts, their passwords as hashes.

    Raises:
        UnavailableError: mosquitto_passwd is missing or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "passwords")
        lines = [f"{name}:{password}\n" for name, password in accounts.items()]
        write_whole(plain, "".join(lines), 0o600)
        run_tool("mosquitto_passwd", "-U", str(plain))
        hashed = plain.read_bytes()
    write_whole(layout.broker / "passwords", hashed, 0o640, group="mosquitto")


def rights(prefix: str, discovery: str) -> str:
    """Return what the accounts may do, as mosquitto's ACL file.

    Args:
        prefix: of the appliance's topics.
        discovery: Home Assistant's prefix.
    """
    return (
        f"user homeassistant\ntopic readwrite {prefix}/#\ntopic readwrite {discovery}/#\n"
        f"\nuser viewer\ntopic read {prefix}/#\n"
    )


def configuration(folder: Path) -> str:
    """Return mosquitto's configuration; ``folder`` as the broker sees it."""
    return (
        "# Written at each boot by `appliance setup`; edits are lost.\n"
        "per_listener_settings true\n"
        "# Nothing of it is for the card: the log is the journal's, retained messages come again.\n"
        "log_dest stderr\n"
        "log_type error\n"
        "log_type warning\n"
        "persistence false\n"
        "\n"
        "listener 1883 127.0.0.1\n"
        "allow_anonymous true\n"
        "\n"
        "listener 8883\n"
        "allow_anonymous false\n"
        f"password_file {folder}/passwords\n"
        f"acl_file {folder}/acl\n"
        f"certfile {folder}/server.crt\n"
        f"keyfile {folder}/server.key\n"
    )


def _password() -> str:
    """Return four groups of four characters: 79 bits, and readable aloud."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))
    return "-".join(groups)
