"""The machine's own certificate authority, and the certificates of what it serves.

Whoever has the authority's certificate (``appliance-ca.crt`` on the boot partition) can be sure of
talking to this machine. Its key never leaves it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.card.tool import run_tool
from appliance.files import write_whole

if TYPE_CHECKING:
    from appliance.card.paths import CardPaths

_DAYS = "7300"


def make_authority(layout: CardPaths, hostname: str) -> None:
    """Make the authority, once.

    Raises:
        UnavailableError: openssl is missing or fails.
    """
    folder = layout.broker
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "ca.crt").exists():
        return
    with tempfile.TemporaryDirectory() as scratch:
        key, certificate = Path(scratch, "ca.key"), Path(scratch, "ca.crt")
        run_tool(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", _DAYS, "-subj", f"/CN=CA of {hostname}",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", str(key), "-out", str(certificate),
        )  # fmt: skip
        write_whole(folder / "ca.key", key.read_bytes(), 0o600)
        write_whole(folder / "ca.crt", certificate.read_bytes())


def make_certificate(layout: CardPaths, hostname: str, path: Path, group: str) -> None:
    """Make a certificate for ``hostname``, again when the name changes.

    Args:
        layout: where the authority is.
        hostname: without ``.local``.
        path: without its ending; ``.crt``, ``.key`` and ``.name`` are written.
        group: that may read the key.

    Raises:
        UnavailableError: openssl is missing or fails.
    """
    named = path.with_suffix(".name")
    if named.exists() and named.read_text().strip() == hostname:
        return
    with tempfile.TemporaryDirectory() as scratch:
        key, request = Path(scratch, "server.key"), Path(scratch, "server.csr")
        certificate, extensions = Path(scratch, "server.crt"), Path(scratch, "extensions")
        extensions.write_text(
            f"subjectAltName=DNS:{hostname}.local,DNS:{hostname},DNS:localhost,IP:127.0.0.1\n"
            "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"
        )
        run_tool(
            "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={hostname}.local", "-keyout", str(key), "-out", str(request),
        )  # fmt: skip
        run_tool(
            "openssl", "x509", "-req", "-in", str(request), "-days", _DAYS,
            "-CA", str(layout.broker / "ca.crt"), "-CAkey", str(layout.broker / "ca.key"),
            "-CAcreateserial", "-CAserial", str(Path(scratch, "serial")),
            "-extfile", str(extensions), "-out", str(certificate),
        )  # fmt: skip
        write_whole(path.with_suffix(".key"), key.read_bytes(), 0o640, group=group)
        write_whole(path.with_suffix(".crt"), certificate.read_bytes())
    write_whole(named, f"{hostname}\n")
