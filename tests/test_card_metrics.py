"""From the card to Grafana: what the first start prints is what Prometheus needs."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING

import msgspec
import pytest

from appliance.card import CardPaths, prepare
from appliance.config import load
from appliance.sinks.prometheus import Options, PrometheusOutlet
from tests.helpers import free_port, wait_for
from tests.prometheus import Prometheus

if TYPE_CHECKING:
    from pathlib import Path

JOB = re.compile(r"^  - job_name: .*?(?=\n\n)", re.MULTILINE | re.DOTALL)


@pytest.fixture
def card(tmp_path: Path) -> CardPaths:
    """Return a card as flashed."""
    layout = CardPaths(tmp_path / "root", tmp_path / "boot")
    for name, text in {
        "etc/hostname": "appliance\n",
        "etc/machine-id": f"{'0123456789abcdef' * 2}\n",
        "etc/appliance/appliance.toml": "",
    }.items():
        path = layout.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    layout.boot.mkdir()
    return layout


def told(card: CardPaths, configuration: str | None = None) -> str:
    """Boot, and return what the owner is told of passwords and metrics."""
    if configuration is not None:
        (card.boot / "appliance.toml").write_text(configuration)
    report = prepare(card, rename=lambda _name: None)
    assert not report.failed
    return report.access


def served(card: CardPaths) -> Options:
    """Return how the unit's own configuration serves metrics, its files below the card's root."""
    options = load(card.configuration).sinks["prometheus"]
    files = {key: str(card.root) + value for key, value in options.items() if key.endswith("_file")}
    return Options(**{**options, **files})


def test_a_real_prometheus_scrapes_with_the_lines_that_were_printed(
    card: CardPaths, tmp_path: Path
) -> None:
    found = JOB.search(told(card))
    assert found
    port = free_port()
    job, times = re.subn(r'targets: \[".*?:9750"\]', f'targets: ["127.0.0.1:{port}"]', found[0])
    assert times == 1
    (tmp_path / "appliance-ca.crt").write_bytes((card.boot / "appliance-ca.crt").read_bytes())
    outlet = PrometheusOutlet(msgspec.structs.replace(served(card), port=port))
    outlet.open()
    try:
        with Prometheus(tmp_path, job) as prometheus:
            wait_for(lambda: prometheus.query("up") == [1.0])
    finally:
        outlet.close()


def test_the_token_is_told_once_and_is_for_the_daemon_alone(card: CardPaths) -> None:
    first = told(card)
    token = (card.secrets / "metrics-token").read_text().strip()
    assert first.count(token) == 1
    assert (card.boot / "appliance-access.txt").read_text().count(token) == 1
    assert told(card) == ""
    assert not (card.boot / "appliance-access.txt").exists()
    assert (card.secrets / "metrics-token").read_text().strip() == token
    for name in ("metrics-token", "metrics.key"):
        assert not stat.S_IMODE((card.secrets / name).stat().st_mode) & stat.S_IRWXO


@pytest.mark.parametrize("name", ["new-passwords", "factory-reset"])
def test_the_owner_gets_a_new_token_for_the_asking(card: CardPaths, name: str) -> None:
    told(card)
    token = (card.secrets / "metrics-token").read_text()
    (card.boot / name).touch()
    second = told(card)
    assert (card.secrets / "metrics-token").read_text().strip() in second
    assert (card.secrets / "metrics-token").read_text() != token


@pytest.mark.parametrize("wish", ["port = 0", 'address = "127.0.0.1"', 'address = "localhost"'])
def test_the_owner_may_keep_it_to_the_machine(card: CardPaths, wish: str) -> None:
    first = told(card, f"[sinks.prometheus]\n{wish}\n")
    assert "prometheus" not in first
    assert "account" in first
    assert not (card.secrets / "metrics-token").exists()


def test_another_port_is_the_one_that_is_told(card: CardPaths) -> None:
    assert ".local:9111" in told(card, "[sinks.prometheus]\nport = 9111\n")


def test_with_another_broker_the_metrics_are_still_offered(card: CardPaths) -> None:
    first = told(card, '[mqtt]\nhost = "broker.example"\n')
    assert "job_name" in first
    assert "account" not in first


def test_a_machine_without_ipv6_listens_all_the_same(card: CardPaths) -> None:
    told(card)
    assert served(card).address == "0.0.0.0"  # noqa: S104
    (card.root / "proc/net").mkdir(parents=True)
    (card.root / "proc/net/if_inet6").touch()
    told(card)
    assert served(card).address == "::"


def test_a_new_name_gets_a_new_certificate(card: CardPaths) -> None:
    told(card)
    before = (card.secrets / "metrics.crt").read_bytes()
    (card.root / "etc/hostname").write_text("porch\n")
    told(card)
    assert (card.secrets / "metrics.crt").read_bytes() != before
