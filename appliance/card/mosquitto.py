"""The built-in broker: accounts, certificates and mosquitto's configuration, made on this machine.

The daemon talks to it over the loopback without a password. From the network there is TLS only,
with a certificate of this machine's own CA, and nobody without an account.
"""

from __future__ import annotations

import secrets
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import UnavailableError
from appliance.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.card.paths import CardPaths

ACCOUNTS = ("homeassistant", "viewer")
_DAYS = "7300"
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without characters that look alike."""
_SECONDS = 60


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
        _run("mosquitto_passwd", "-U", str(plain))
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


def make_certificates(layout: CardPaths, hostname: str) -> None:
    """Make a CA, once, and a certificate for ``hostname``, again when the name changes.

    Raises:
        UnavailableError: openssl is missing or fails.
    """
    folder = layout.broker
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "ca.crt").exists():
        with tempfile.TemporaryDirectory() as scratch:
            key, certificate = Path(scratch, "ca.key"), Path(scratch, "ca.crt")
            _run(
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-days", _DAYS, "-subj", f"/CN=CA of {hostname}",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                "-keyout", str(key), "-out", str(certificate),
            )  # fmt: skip
            write_whole(folder / "ca.key", key.read_bytes(), 0o600)
            write_whole(folder / "ca.crt", certificate.read_bytes())
    named = folder / "server.name"
    if named.exists() and named.read_text().strip() == hostname:
        return
    with tempfile.TemporaryDirectory() as scratch:
        key, request = Path(scratch, "server.key"), Path(scratch, "server.csr")
        certificate, extensions = Path(scratch, "server.crt"), Path(scratch, "extensions")
        extensions.write_text(
            f"subjectAltName=DNS:{hostname}.local,DNS:{hostname},DNS:localhost,IP:127.0.0.1\n"
            "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"
        )
        _run(
            "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={hostname}.local", "-keyout", str(key), "-out", str(request),
        )  # fmt: skip
        _run(
            "openssl", "x509", "-req", "-in", str(request), "-days", _DAYS,
            "-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial",
            "-CAserial", str(Path(scratch, "serial")), "-extfile", str(extensions),
            "-out", str(certificate),
        )  # fmt: skip
        write_whole(folder / "server.key", key.read_bytes(), 0o640, group="mosquitto")
        write_whole(folder / "server.crt", certificate.read_bytes())
    write_whole(named, f"{hostname}\n")


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


def _run(*words: str) -> None:
    try:
        subprocess.run(  # noqa: S603 - fixed words and our own paths
            words, check=True, capture_output=True, text=True, timeout=_SECONDS
        )
    except FileNotFoundError as error:
        raise UnavailableError(
            f"{words[0]}: is not installed", hint=f"apt install {_PACKAGES[words[0]]}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{words[0]}: took more than {_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"{words[0]}: failed: {error.stderr.strip()}") from error


_PACKAGES = {"openssl": "openssl", "mosquitto_passwd": "mosquitto"}
