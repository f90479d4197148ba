"""Metrics beyond the loopback: TLS and a token, and clients that mean no good."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from appliance.errors import ConfigError, UnavailableError
from appliance.sinks import create_outlet, sink_options
from appliance.sinks.exposition.server import AT_ONCE
from tests.helpers import free_port, wait_for
from tests.prometheus import Prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "not-a-secret-but-a-test"  # noqa: S105


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, its key, and a token."""
    folder = tmp_path_factory.mktemp("keys")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
            "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out",
            folder / "cert.pem",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "token").chmod(0o600)
    return folder


def secured(keys: Path, port: int, **more: Any) -> dict[str, Any]:
    return {
        "port": port,
        "address": "0.0.0.0",  # noqa: S104 - that is what is tested
        "tls_certificate_file": str(keys / "cert.pem"),
        "tls_key_file": str(keys / "key.pem"),
        "token_file": str(keys / "token"),
        **more,
    }


@pytest.fixture
def port(keys: Path) -> Iterator[int]:
    """Of a sink that serves by TLS, to those who know the token."""
    number = free_port()
    options = sink_options({"prometheus": secured(keys, number)})["prometheus"]
    outlet = create_outlet("prometheus", options, {})
    assert outlet is not None
    outlet.open()
    yield number
    outlet.close()


def fetch(port: int, keys: Path, token: str | None) -> tuple[int, str]:
    request = urllib.request.Request(f"https://127.0.0.1:{port}/metrics")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    context = ssl.create_default_context(cafile=str(keys / "cert.pem"))
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_who_knows_the_token_is_served_by_tls(port: int, keys: Path) -> None:
    code, text = fetch(port, keys, TOKEN)
    assert code == 200
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], "\xe9"])
def test_nobody_else_is(port: int, keys: Path, token: str | None) -> None:
    assert fetch(port, keys, token) == (401, "the token is missing or wrong\n")


def test_plain_http_gets_nothing(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(
            b"GET /metrics HTTP/1.0\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
        )
        told = b""
        with contextlib.suppress(ConnectionResetError):
            told = client.recv(4096)
        assert b"HTTP/" not in told


def test_clients_that_say_nothing_hold_nobody(port: int, keys: Path) -> None:
    silent = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(AT_ONCE - 1)]
    assert fetch(port, keys, TOKEN)[0] == 200
    for client in silent:
        client.close()


def test_too_many_at_once_are_turned_away_and_the_next_is_served(port: int, keys: Path) -> None:
    silent = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(3 * AT_ONCE)]
    for client in silent[AT_ONCE:]:
        assert client.recv(1) == b""  # closed at once
    for client in silent:
        client.close()

    def served() -> bool:
        try:
            return fetch(port, keys, TOKEN)[0] == 200
        except OSError:
            return False

    wait_for(served)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"token_file": ""}, "is reached by others"),
        ({"tls_certificate_file": "", "tls_key_file": ""}, "is reached by others"),
        ({"tls_key_file": ""}, "belong together"),
    ],
)
def test_it_is_never_open_by_mistake(keys: Path, change: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=rf"sinks\.prometheus: .*{words}"):
        sink_options({"prometheus": secured(keys, 9750, **change)})


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_the_loopback_needs_neither(address: str) -> None:
    sink_options({"prometheus": {"address": address}})


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_it_is_served_at_every_kind_of_address(address: str) -> None:
    if address == "::1" and not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    number = free_port()
    options = sink_options({"prometheus": {"port": number, "address": address}})["prometheus"]
    outlet = create_outlet("prometheus", options, {})
    assert outlet is not None
    outlet.open()
    try:
        shown = f"[{address}]" if ":" in address else address
        with urllib.request.urlopen(f"http://{shown}:{number}/metrics", timeout=10) as answer:
            assert b"process_" in answer.read()
    finally:
        outlet.close()


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_open_to_all_is_what_one_has_to_say() -> None:
    sink_options({"prometheus": {"address": "192.168.1.2", "insecure": True}})


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("token", "", "is empty"),
        ("token", None, "No such file"),
        ("cert.pem", "no certificate", "cert.pem with"),
        ("key.pem", None, "No such file"),
    ],
)
def test_what_cannot_be_used_is_named_and_never_served(
    keys: Path, tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    folder = tmp_path / "keys"
    shutil.copytree(keys, folder)
    (folder / name).unlink() if content is None else (folder / name).write_text(content)
    number = free_port()
    options = sink_options({"prometheus": secured(folder, number)})["prometheus"]
    outlet = create_outlet("prometheus", options, {})
    assert outlet is not None
    with pytest.raises(UnavailableError, match=words) as caught:
        outlet.open()
    assert TOKEN not in str(caught.value)
    outlet.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", number), 5)


def test_a_token_that_everybody_may_read_is_none(keys: Path, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    shutil.copytree(keys, folder)
    (folder / "token").chmod(0o644)
    options = sink_options({"prometheus": secured(folder, free_port())})["prometheus"]
    outlet = create_outlet("prometheus", options, {})
    assert outlet is not None
    with pytest.raises(UnavailableError, match="readable by everybody") as caught:
        outlet.open()
    assert "chmod 0600" in caught.value.hint
    outlet.close()


def test_a_real_prometheus_scrapes_it(port: int, keys: Path, tmp_path: Path) -> None:
    job = f"""
  - job_name: appliance
    scheme: https
    authorization: {{credentials_file: {keys / "token"}}}
    tls_config: {{ca_file: {keys / "cert.pem"}}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
    with Prometheus(tmp_path, job) as prometheus:
        wait_for(lambda: prometheus.query("up") == [1.0])
