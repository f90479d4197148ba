"""A card with an overlay in memory: accounts and configuration outlive the start all the same."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from appliance.card import CardPaths, prepare

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def card(tmp_path: Path) -> CardPaths:
    """Return a card as flashed, and below its root what lies on the card."""
    below = tmp_path / "below"
    for name, text in {
        "etc/hostname": "appliance\n",
        "etc/appliance/appliance.toml": "",
        "etc/motd": "not ours\n",
    }.items():
        (below / name).parent.mkdir(parents=True, exist_ok=True)
        (below / name).write_text(text)
    (tmp_path / "boot").mkdir()
    return CardPaths(tmp_path / "root", tmp_path / "boot", below=below)


def start(card: CardPaths) -> str:
    """Power on: what is above the card is what lies on it. Return what the owner is told."""
    assert card.below is not None
    shutil.rmtree(card.root, ignore_errors=True)
    shutil.copytree(card.below, card.root)
    machine = card.root / "etc/machine-id"
    if not machine.exists():
        machine.write_text(f"{os.urandom(16).hex()}\n")
    report = prepare(card, rename=lambda _name: None)
    assert not report.failed
    return report.access


def everything(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in root.rglob("*")
        if path.is_file() and "run" not in path.relative_to(root).parts
    }


def test_name_accounts_and_certificates_are_made_once(card: CardPaths) -> None:
    assert card.below is not None
    assert "account" in start(card)
    first = everything(card.below)
    assert first == everything(card.root)  # modes too
    assert start(card) == ""
    assert everything(card.below) == first


def test_the_owners_configuration_comes_and_goes(card: CardPaths) -> None:
    assert card.below is not None
    given, taken = card.boot / "appliance.toml", card.below / "etc/appliance/conf.d/50-boot.toml"
    given.write_text('device = "porch"\n')
    start(card)
    assert taken.read_text() == 'device = "porch"\n'
    given.unlink()
    start(card)
    assert not taken.exists()


def test_what_is_not_the_setups_is_left_alone(card: CardPaths) -> None:
    assert card.below is not None
    start(card)
    (card.root / "etc/motd").write_text("of this start only\n")
    prepare(card, rename=lambda _name: None)
    assert (card.below / "etc/motd").read_text() == "not ours\n"


def test_without_an_overlay_there_is_nothing_to_keep(card: CardPaths, tmp_path: Path) -> None:
    start(card)
    shutil.rmtree(tmp_path / "below")
    assert not prepare(replace(card, below=None), rename=lambda _name: None).failed


def test_a_card_that_cannot_be_written_is_told_and_the_rest_runs(card: CardPaths) -> None:
    assert card.below is not None
    start(card)
    shutil.rmtree(card.below / "etc/mosquitto/appliance")
    (card.below / "etc/mosquitto/appliance").write_text("a file where a folder should be")
    report = prepare(card, rename=lambda _name: None)
    assert [one.split(":")[1] for one in report.failed] == [" read-only card"]
    assert (card.runtime / "broker").exists()
