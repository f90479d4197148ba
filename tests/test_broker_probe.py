"""`appliance check` says ok of a broker only when a message got through."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from appliance.cli import main
from appliance.errors import BrokerUnavailableError
from appliance.sinks.mqtt.connection import BrokerAddress
from appliance.sinks.mqtt.probe import probe
from tests.helpers import free_port, wait_for
from tests.test_prometheus import listens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.cli.demo_broker import DemoBroker

TOPIC = "appliance/unit-1/check"


def mosquitto(folder: Path, *lines: str) -> tuple[subprocess.Popen[bytes], int]:
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if found is None:
        pytest.skip("no mosquitto")
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text("\n".join((f"listener {port} 127.0.0.1", "user root", *lines)) + "\n")
    process = subprocess.Popen([found, "-c", str(config)], stderr=subprocess.DEVNULL)
    wait_for(lambda: listens(port))
    return process, port


@pytest.fixture(
    params=[
        (("allow_anonymous false",), "Not authorized"),
        (("allow_anonymous true", "acl_file {folder}/acl"), "is refused: Not authorized"),
    ],
    ids=["account", "acl"],
)
def closed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, str]]:
    lines, words = request.param
    (tmp_path / "acl").write_text("topic write appliance/unit-1/status\n")
    process, port = mosquitto(tmp_path, *(line.format(folder=tmp_path) for line in lines))
    yield port, words
    process.kill()
    process.wait()


def test_a_message_that_gets_through(broker: DemoBroker) -> None:
    for protocol in ("auto", "5", "3.1.1"):
        version = probe(BrokerAddress("127.0.0.1", broker.port, "u", protocol=protocol), TOPIC)
        assert version == ("3.1.1" if protocol == "3.1.1" else "5")


def test_what_does_not_get_through_is_named(closed: tuple[int, str]) -> None:
    port, words = closed
    with pytest.raises(BrokerUnavailableError, match=words):
        probe(BrokerAddress("127.0.0.1", port, "u"), TOPIC, 3)


def test_nobody_there() -> None:
    with pytest.raises(BrokerUnavailableError, match="refused") as caught:
        probe(BrokerAddress("127.0.0.1", free_port(), "u"), TOPIC, 3)
    assert "mqtt.host" in str(caught.value.hint)


def test_the_verb_says_so(
    closed: tuple[int, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port, words = closed
    path = tmp_path / "a.toml"
    path.write_text(
        f'device = "unit-1"\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n[accelerator]\n'
        'name = "cpu"\n[[camera]]\nname = "a"\nsource = "synthetic"\n'
    )
    assert main(["check", "--config", str(path), "--json"]) == 69
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (row,) = [one for one in rows if one["check"] == "broker"]
    assert not row["ok"]
    assert words in row["detail"]
