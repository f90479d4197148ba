"""From the settings of a webhook to what posting to it needs: key, certificates, their faults."""

from __future__ import annotations

import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import ConfigError
from appliance.sinks.webhook.post import Poster

if TYPE_CHECKING:
    from appliance.config.webhook import WebhookSettings


@dataclass(frozen=True, slots=True)
class Receiver:
    """What a receiver's files held when they were read; equal ones make the same sink.

    Attributes:
        settings: of the receiver.
        secret: the key that signs; empty for none.
        authorities: certificates (PEM) that are trusted; empty for the system's.
    """

    settings: WebhookSettings
    secret: bytes = field(repr=False)
    authorities: str

    def poster(self) -> Poster:
        """Return what posts to it."""
        tls = None
        if self.settings.url.startswith("https:"):
            tls = ssl.create_default_context(cadata=self.authorities or None)
        return Poster(self.settings.url, self.settings.timeout_seconds, tls)


def receiver_of(settings: WebhookSettings) -> Receiver:
    """Read what a webhook's settings name.

    Raises:
        ConfigError: a file is missing, readable by everybody, empty or no certificate.
    """
    key = f"webhook[{settings.name}]"
    secret = b""
    if settings.secret_file:
        secret = _read(Path(settings.secret_file), f"{key}.secret_file", is_secret=True).strip()
        if not secret:
            raise _fault(f"{key}.secret_file: {settings.secret_file} is empty; put the key there")
    authorities = ""
    if settings.tls_ca_file:
        content = _read(Path(settings.tls_ca_file), f"{key}.tls_ca_file", is_secret=False)
        authorities = content.decode("ascii", "replace")
        try:
            ssl.create_default_context(cadata=authorities)
        except (ssl.SSLError, ValueError) as error:
            shown = f"{key}.tls_ca_file: {settings.tls_ca_file}"
            raise _fault(f"{shown}: {error}; a PEM file is expected") from error
    return Receiver(settings, secret, authorities)


def _read(path: Path, key: str, *, is_secret: bool) -> bytes:
    try:
        if is_secret and path.stat().st_mode & stat.S_IROTH:
            raise _fault(f"{key}: {path} is readable by everybody; chmod 0600 {path}")
        return path.read_bytes()
    except OSError as error:
        raise _fault(f"{key}: {path} cannot be read: {error.strerror}") from error


def _fault(text: str) -> ConfigError:
    return ConfigError("the configuration cannot be used:", faults=(text,))
