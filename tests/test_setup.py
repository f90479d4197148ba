"""What a flashed card makes of itself at boot, in a folder that stands for the machine."""

from __future__ import annotations

import json
import queue
import re
import socket
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from appliance.board.identity import device_name
from appliance.card import CardPaths, metrics, prepare
from appliance.cli import main
from appliance.config import CameraSettings, Settings, load
from appliance.config.settings import AcceleratorSettings, MqttSettings
from appliance.daemon.lifecycle import Daemon
from appliance.daemon.requests import Requests
from appliance.daemon.systemd import ServiceManager
from tests.helpers import environment, free_port, wait_for
from tests.memory import MemoryOutlet

if TYPE_CHECKING:
    from appliance.card.prepare import Report

SHIPPED = Path(__file__).resolve().parent.parent / "config/appliance.toml"
MEMORY = "MemTotal:        3884304 kB\n"
LITTLE = "MemTotal:         932140 kB\n"


@pytest.fixture
def card(tmp_path: Path) -> CardPaths:
    """Return a card as flashed."""
    layout = CardPaths(tmp_path / "root", tmp_path / "boot")
    for path, content in {
        layout.configuration: SHIPPED.read_text(),
        layout.root / "etc/hostname": "appliance\n",
        layout.root / "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        layout.root / "proc/meminfo": MEMORY,
        layout.shipped / "lean.toml": "[mqtt]\noutbox_messages = 200\n",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    layout.fragments.mkdir()
    layout.boot.mkdir()
    return layout


def boot(layout: CardPaths) -> Report:
    return prepare(layout, rename=lambda _name: None)


def passwords(report: Report) -> dict[str, str]:
    return dict(re.findall(r"account +(\w+), password (\S+)", report.access))


def test_the_first_boot_names_the_machine_and_hands_out_accounts_once(card: CardPaths) -> None:
    names: list[str] = []
    report = prepare(card, rename=names.append)
    name = device_name(card.root)
    assert not report.failed
    assert names == [name] and (card.root / "etc/hostname").read_text() == f"{name}\n"
    assert passwords(report).keys() == {"homeassistant", "viewer"}
    handed = (card.boot / "appliance-access.txt").read_text()
    assert all(word in handed for word in passwords(report).values())
    assert "BEGIN CERTIFICATE" in (card.boot / "appliance-ca.crt").read_text()

    again = boot(card)
    assert not again.access and not again.told
    assert not (card.boot / "appliance-access.txt").exists()
    assert (card.boot / "appliance-ca.crt").exists()


@pytest.mark.parametrize("left", [None, "", "another"])
def test_an_authority_that_is_gone_from_the_boot_partition_is_told_again(
    card: CardPaths, left: str | None
) -> None:
    boot(card)
    told = card.boot / "appliance-ca.crt"
    before = told.read_text()
    told.unlink() if left is None else told.write_text(left)
    assert not boot(card).failed
    assert told.read_text() == before


def test_no_password_stays_on_the_machine_in_the_clear(card: CardPaths) -> None:
    words = passwords(boot(card)).values()
    boot(card)
    for path in [*card.root.rglob("*"), *card.boot.rglob("*")]:
        if path.is_file():
            assert not any(word.encode() in path.read_bytes() for word in words), path


def test_secrets_are_not_for_everybody(card: CardPaths) -> None:
    boot(card)
    for name in ("passwords", "acl", "ca.key", "server.key"):
        assert (card.broker / name).stat().st_mode & 0o007 == 0, name


def test_two_machines_have_different_names_and_passwords(card: CardPaths, tmp_path: Path) -> None:
    one = boot(card)
    other = CardPaths(tmp_path / "other", tmp_path / "other-boot")
    (other.root / "etc").mkdir(parents=True)
    (other.root / "etc/machine-id").write_text("f" * 32)
    other.boot.mkdir()
    two = boot(other)
    assert one.told[0] != two.told[0]
    assert set(passwords(one).values()).isdisjoint(passwords(two).values())


def test_the_owners_host_name_is_kept_and_certified(card: CardPaths) -> None:
    boot(card)
    (card.root / "etc/hostname").write_text("porch\n")
    boot(card)
    text = subprocess.run(
        ["openssl", "x509", "-in", card.broker / "server.crt", "-noout", "-ext", "subjectAltName"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "DNS:porch.local" in text


def accepts(port: int, authority: Path, topic: str, user: str, password: str) -> bool:
    """Say whether the broker takes the account, and a message of it on the topic."""
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = lambda _client, _data, _flags, reason, _: answers.put(not reason.is_failure)
    client.on_publish = lambda _client, _data, _number, reason, _: answers.put(
        not reason.is_failure
    )
    client.tls_set(ca_certs=str(authority))
    if user:
        client.username_pw_set(user, password)
    client.connect("localhost", port)
    client.loop_start()
    try:
        if not answers.get(timeout=20):
            return False
        client.publish(topic, "x", qos=1)
        return answers.get(timeout=20)
    finally:
        client.disconnect()
        client.loop_stop()


def test_the_broker_it_configures_keeps_strangers_out(card: CardPaths) -> None:
    report = boot(card)
    words = passwords(report)
    network, local = free_port(), free_port()
    text = (card.root / "etc/mosquitto/conf.d/appliance.conf").read_text()
    text = text.replace("/etc/mosquitto", str(card.root / "etc/mosquitto"))
    ports = {"listener 8883": f"listener {network}", "listener 1883": f"listener {local}"}
    text = re.sub("|".join(ports), lambda found: ports[found[0]], text)  # also a folder has numbers
    conf = card.root / "mosquitto.conf"
    conf.write_text(f"user root\n{text}")
    broker = subprocess.Popen(["mosquitto", "-c", conf], stderr=subprocess.DEVNULL)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", network)) == 0

    def publish(topic: str, user: str = "", password: str = "") -> bool:
        return accepts(network, card.boot / "appliance-ca.crt", topic, user, password)

    try:
        wait_for(listens)
        assert publish("appliance/x/cmd/update", "homeassistant", words["homeassistant"])
        assert not publish("appliance/x", "homeassistant", "wrong")
        assert not publish("appliance/x")
        assert not publish("appliance/x", "viewer", words["viewer"])  # may read
        context = ssl.create_default_context(cafile=str(card.boot / "appliance-ca.crt"))
        with socket.create_connection(("127.0.0.1", network), 5) as plain:
            name = f"{device_name(card.root)}.local"
            context.wrap_socket(plain, server_hostname=name).close()
    finally:
        broker.terminate()
        broker.wait()


def test_configuration_of_the_boot_partition_is_in_force(card: CardPaths) -> None:
    (card.boot / "appliance.toml").write_bytes(b"\xef\xbb\xbf[metrics]\r\nwindow_seconds = 5\r\n")
    boot(card)
    assert load(card.configuration).metrics.window_seconds == 5
    (card.boot / "appliance.toml").unlink()
    assert "undone" in "".join(boot(card).told)
    assert load(card.configuration).metrics.window_seconds == 10


def test_a_bad_one_is_set_aside_and_said(card: CardPaths) -> None:
    file = card.boot / "appliance.toml"
    file.write_text("[metrics]\nwindow_seconds = 5\n")
    boot(card)
    file.write_text("[metrics]\nwindow_second = 7\n")
    report = boot(card)
    assert load(card.configuration).metrics.window_seconds == 5  # the last good one goes on
    notice = (card.runtime / "notices").read_text()
    assert "window_second" in notice and "did you mean" in notice and str(card.root) not in notice
    assert report.notices == notice.splitlines()
    assert "window_second" in (card.root / "run/issue.d/appliance.issue").read_text()


@hypothesis_settings(max_examples=50)
@given(st.binary(max_size=200))
def test_whatever_lies_there_the_machine_is_prepared(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        layout = CardPaths(Path(folder, "root"), Path(folder, "boot"))
        layout.boot.mkdir()
        (layout.root / "etc/appliance").mkdir(parents=True)
        layout.configuration.write_text("[mqtt]\nenabled = false\n")
        (layout.boot / "appliance.toml").write_bytes(content)
        report = boot(layout)
        assert not report.failed
        load(layout.configuration)


def test_an_existing_broker_replaces_the_built_in_one(card: CardPaths) -> None:
    boot(card)
    toml = '[mqtt]\nhost = "ha.local"\nport = 8883\nusername = "appliance"\n'
    (card.boot / "appliance.toml").write_text(toml)
    (card.boot / "mqtt-password.txt").write_text("s3cret\r\n")
    (card.boot / "mqtt-ca.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    report = boot(card)
    mqtt = load(card.configuration).mqtt
    assert mqtt.host == "ha.local" and mqtt.tls and mqtt.tls_ca_file.endswith("mqtt-ca.crt")
    assert Path(mqtt.password_file).read_text() == "s3cret\n"
    assert Path(mqtt.password_file).stat().st_mode & 0o777 == 0o640
    assert not (card.boot / "mqtt-password.txt").exists()
    assert not (card.runtime / "broker").exists()
    assert "ha.local" in report.told[-1]


def test_a_copy_of_the_whole_example_does_not_hide_the_password(card: CardPaths) -> None:
    text = SHIPPED.read_text().replace('host = "localhost"', 'host = "ha.local"')
    (card.boot / "appliance.toml").write_text(text)
    (card.boot / "mqtt-password.txt").write_text("s3cret")
    (card.boot / "mqtt-ca.crt").write_text("-----BEGIN")
    assert not boot(card).notices
    mqtt = load(card.configuration).mqtt
    assert mqtt.password_file and mqtt.tls and mqtt.tls_ca_file
    (card.boot / "mqtt-ca.crt").unlink()
    boot(card)
    assert not load(card.configuration).mqtt.tls_ca_file


def test_a_boot_partition_that_is_not_there_undoes_nothing(card: CardPaths) -> None:
    (card.boot / "appliance.toml").write_text('[mqtt]\nhost = "ha.local"\n')
    (card.boot / "authorized_keys").write_text("ssh-ed25519 AAAA owner\n")
    boot(card)
    empty = card.root / "boot/firmware"
    empty.mkdir(parents=True)
    report = boot(CardPaths(card.root, empty, boot_is_there=False))
    assert load(card.configuration).mqtt.host == "ha.local"
    assert (card.root / "root/.ssh/authorized_keys").exists()
    assert not any(empty.iterdir())
    assert "not there" in report.notices[0]


def test_without_a_boot_partition_the_accounts_are_on_the_console_only(card: CardPaths) -> None:
    report = boot(CardPaths(card.root, card.boot, boot_is_there=False))
    assert passwords(report).keys() == {"homeassistant", "viewer"}
    assert not any(card.boot.iterdir())


def test_the_name_that_imager_wrote_is_taken_at_once(card: CardPaths) -> None:
    (card.boot / "user-data").write_text("#cloud-config\nhostname: porch\nmanage_etc_hosts: true\n")
    report = boot(card)
    assert (card.root / "etc/hostname").read_text() == "porch\n"
    assert "porch.local" in report.access


def test_the_accounts_may_use_the_topics_that_are_configured(card: CardPaths) -> None:
    (card.boot / "appliance.toml").write_text('device = "gate"\n[mqtt]\nprefix = "site"\n')
    report = boot(card)
    assert "site/gate/" in report.access
    assert "topic read site/#" in (card.broker / "acl").read_text()


def test_ssh_lets_in_only_the_key_that_was_given(card: CardPaths) -> None:
    boot(card)
    assert not (card.root / "root/.ssh/authorized_keys").exists()
    (card.boot / "authorized_keys").write_text("ssh-ed25519 AAAA owner\n")
    assert "SSH" in "".join(boot(card).told)
    keys = card.root / "root/.ssh/authorized_keys"
    assert "ssh-ed25519 AAAA owner\n" in keys.read_text()
    assert keys.stat().st_mode & 0o777 == 0o600
    (card.boot / "authorized_keys").unlink()
    assert "not log in any more" in "".join(boot(card).told)
    assert not keys.exists()


@pytest.mark.parametrize("name", ["factory-reset", "Factory-Reset.txt"])
def test_a_factory_reset_leaves_nothing_of_the_owner(card: CardPaths, name: str) -> None:
    (card.boot / "appliance.toml").write_text("[metrics]\nwindow_seconds = 5\n")
    (card.boot / "mqtt-password.txt").write_text("s3cret")
    first = passwords(boot(card))
    card.configuration.write_text("[metrics]\nwindow_seconds = 7\n")
    (card.state / "models").mkdir(parents=True)
    (card.boot / name).touch()
    report = boot(card)
    (card.fragments / metrics.FRAGMENT).unlink()  # made anew
    assert load(card.configuration) == load(SHIPPED)
    assert not (card.secrets / "mqtt-password.txt").exists() and not any(card.state.iterdir())
    assert not (card.boot / name).exists()
    assert passwords(report).keys() == first.keys() and passwords(report) != first


def test_new_passwords_alone(card: CardPaths) -> None:
    first = passwords(boot(card))
    ca = (card.broker / "ca.crt").read_bytes()
    (card.boot / "new-passwords").touch()
    second = passwords(boot(card))
    assert second.keys() == first.keys() and second != first
    assert (card.broker / "ca.crt").read_bytes() == ca


def test_little_memory_takes_the_lean_profile(card: CardPaths) -> None:
    (card.root / "proc/meminfo").write_text(LITTLE)
    boot(card)
    assert load(card.configuration).mqtt.outbox_messages == 200
    (card.root / "proc/meminfo").write_text(MEMORY)  # the card moved to a bigger board
    boot(card)
    assert load(card.configuration).mqtt.outbox_messages == 1000


def test_metrics_that_cannot_be_offered_cost_the_broker_nothing(card: CardPaths) -> None:
    (card.fragments / metrics.FRAGMENT).mkdir()
    report = boot(card)
    assert [one.split(":")[1] for one in report.failed] == [" metrics"]
    assert (card.runtime / "broker").exists()
    assert passwords(report)
    assert "prometheus" not in report.access  # nothing is told that is not so


def test_a_step_that_fails_does_not_keep_the_others(card: CardPaths) -> None:
    card.broker.parent.mkdir(parents=True)
    card.broker.write_text("a file where a folder should be")
    (card.boot / "appliance.toml").write_text("[metrics]\nwindow_seconds = 5\n")
    report = boot(card)
    assert load(card.configuration).metrics.window_seconds == 5
    assert len(report.failed) == 1 and "certificate authority" in report.failed[0]
    assert report.failed[0] in (card.runtime / "notices").read_text()


def test_a_file_that_breaks_the_parser_does_not_keep_the_rest(card: CardPaths) -> None:
    (card.boot / "appliance.toml").write_text("x = " + "[" * 5000)
    report = boot(card)
    assert report.access and len(report.notices) == 1


def test_the_verb(card: CardPaths, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["setup", "--root", str(card.root), "--boot", str(card.boot), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["failed"] == []


def test_by_hand_it_leaves_this_machine_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    assert main(["setup"]) == 2
    assert "systemctl start appliance-setup" in capsys.readouterr().err


def test_what_the_setup_could_not_use_is_in_the_health_message(
    card: CardPaths, tmp_path: Path
) -> None:
    (card.boot / "appliance.toml").write_text("sorce = 1\n")
    boot(card)
    memory, requests = MemoryOutlet(), Requests()
    settings = Settings(
        mqtt=MqttSettings(enabled=False),
        accelerator=AcceleratorSettings(name="cpu", workers=1),
        sinks={"prometheus": {"port": 0}},
        camera=(CameraSettings(source="synthetic", width=64, height=64, fps=5),),
    )
    where = environment(tmp_path, root=card.root)
    daemon = Daemon(
        lambda: settings, where, requests, ServiceManager({}), extra_outlets=(memory,), max_frames=1
    )
    daemon.run()
    health: list[Any] = [one.message for one in memory.messages if one.kind == "health"]
    assert any("sorce" in reason for reason in health[-1].reasons)
