"""TLS against a real broker that asks for a client certificate; and what a wrong CA says."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from appliance.config.settings import MqttSettings
from appliance.errors import ConfigError
from appliance.sinks.mqtt.address import broker_address
from appliance.sinks.mqtt.sink import MqttSink
from appliance.sinks.outbox.outbox import Outbox
from tests.helpers import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def authority(folder: Path, name: str) -> None:
    openssl(
        folder,
        *["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"],
        "-subj",
        f"/CN={name}",
        "-keyout",
        f"{name}.key",
        "-out",
        f"{name}.crt",
    )


def certificate(folder: Path, name: str, host: str) -> None:
    (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{host},IP:127.0.0.1\n")
    openssl(
        folder,
        *["req", "-newkey", "rsa:2048", "-nodes"],
        "-subj",
        f"/CN={host}",
        "-keyout",
        f"{name}.key",
        "-out",
        f"{name}.csr",
    )
    openssl(
        folder,
        *["x509", "-req", "-days", "2", "-CA", "ca.crt", "-CAkey", "ca.key"],
        "-CAcreateserial",
        "-in",
        f"{name}.csr",
        "-out",
        f"{name}.crt",
        "-extfile",
        f"{name}.ext",
    )


@pytest.fixture
def tls_port(tmp_path: Path) -> Iterator[int]:
    port = free_port()
    authority(tmp_path, "ca")
    authority(tmp_path, "other")
    certificate(tmp_path, "server", "localhost")
    certificate(tmp_path, "client", "unit-1")
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nrequire_certificate true\n"
        f"cafile {tmp_path}/ca.crt\ncertfile {tmp_path}/server.crt\nkeyfile {tmp_path}/server.key\n"
    )
    child = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(config)], stderr=subprocess.DEVNULL)
    yield port
    child.terminate()
    child.wait()


def settings(folder: Path, port: int, ca: str = "ca", client: str = "client") -> MqttSettings:
    return MqttSettings(
        host="localhost",
        port=port,
        tls=True,
        tls_ca_file=str(folder / f"{ca}.crt"),
        tls_certificate_file=str(folder / f"{client}.crt"),
        tls_key_file=str(folder / f"{client}.key"),
    )


def test_a_client_certificate_is_accepted(tmp_path: Path, tls_port: int) -> None:
    sink = MqttSink(broker_address(settings(tmp_path, tls_port), "u", {}), "a/u", Outbox(None, 9))
    sink.start()
    wait_for(lambda: sink.connected, 30, "connected by TLS")
    sink.close()


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket")
def test_a_broker_of_another_authority_is_refused(tmp_path: Path, tls_port: int) -> None:
    address = broker_address(settings(tmp_path, tls_port, ca="other"), "u", {})
    sink = MqttSink(address, "a/u", Outbox(None, 9))
    sink.start()
    wait_for(lambda: "certificate verify failed" in sink.problem.lower(), 30)
    assert not sink.connected
    sink.close()


def test_missing_certificates_are_a_configuration_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tls_\*"):
        broker_address(settings(tmp_path, 1, ca="nowhere"), "u", {})
