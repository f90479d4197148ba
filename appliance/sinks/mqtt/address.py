"""From MQTT settings to the address of the broker: passwords, certificates, their faults."""

from __future__ import annotations

import hashlib
import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import ConfigError
from appliance.sinks.mqtt.connection import BrokerAddress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.config.settings import MqttSettings


def broker_address(
    settings: MqttSettings, device: str, environment: Mapping[str, str]
) -> BrokerAddress:
    """Return how to reach the broker.

    Args:
        settings: the ``[mqtt]`` table.
        device: name of the unit, the default client id.
        environment: holds CREDENTIALS_DIRECTORY under systemd.

    Raises:
        ConfigError: a password or certificate file is missing, readable by all, or damaged.
    """
    return BrokerAddress(
        host=settings.host,
        port=settings.port,
        client_id=settings.client_id or device,
        username=settings.username,
        password=_password(settings, environment),
        protocol=settings.protocol,
        keepalive_seconds=settings.keepalive_seconds,
        tls=_tls(settings) if settings.tls else None,
    )


def secrets_of(settings: MqttSettings, environment: Mapping[str, str]) -> str:
    """Return what changes when a password or a certificate is replaced in its file."""
    folder = environment.get("CREDENTIALS_DIRECTORY", "")
    files = (
        settings.password_file,
        str(Path(folder, settings.password_credential)) if settings.password_credential else "",
        settings.tls_ca_file,
        settings.tls_certificate_file,
        settings.tls_key_file,
    )
    digest = hashlib.sha256()
    for file in files:
        try:
            content = Path(file).read_bytes() if file else b""
        except OSError:
            content = b"?"  # whoever opens it says why
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _password(settings: MqttSettings, environment: Mapping[str, str]) -> str:
    if settings.password_credential:
        folder = environment.get("CREDENTIALS_DIRECTORY", "")
        path = Path(folder) / settings.password_credential
        key = "mqtt.password_credential"
        if not folder:
            raise _fault(f"{key}: systemd gave no credentials (LoadCredential= in the unit)")
    elif settings.password_file:
        path, key = Path(settings.password_file), "mqtt.password_file"
    else:
        return ""
    try:
        if key == "mqtt.password_file" and path.stat().st_mode & stat.S_IROTH:
            raise _fault(f"{key}: {path} is readable by everybody; chmod 0600 {path}")
        return path.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise _fault(f"{key}: {path} cannot be read: {error.strerror}") from error


def _tls(settings: MqttSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file or None)
        # Python 3.13 began to refuse authorities without a key usage extension, which most
        # home-made ones lack; chain and host name are checked all the same.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if settings.tls_certificate_file:
            context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file)
    except (OSError, ssl.SSLError) as error:
        files = (settings.tls_ca_file, settings.tls_certificate_file, settings.tls_key_file)
        named = ", ".join(file for file in files if file)
        raise _fault(f"mqtt.tls_*: {named}: {error}; PEM files are expected") from error
    if settings.tls_insecure:
        context.check_hostname = False
    return context


def _fault(text: str) -> ConfigError:
    return ConfigError("the configuration cannot be used:", faults=(text,))
