"""A configuration goes to another card, whole or not at all."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.board.identity import device_name
from appliance.card import CardPaths, prepare
from appliance.card.backup import back_up, restore
from appliance.cli import main
from appliance.config import load
from appliance.errors import BadInputError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

SHIPPED = Path(__file__).resolve().parent.parent / "config/appliance.toml"


@pytest.fixture
def card(tmp_path: Path) -> Callable[[str], CardPaths]:
    def make(name: str) -> CardPaths:
        layout = CardPaths(tmp_path / name, tmp_path / f"{name}-boot")
        layout.fragments.mkdir(parents=True)
        layout.configuration.write_text(SHIPPED.read_text())
        layout.boot.mkdir()
        (layout.root / "etc/machine-id").write_text(name * 8)
        prepare(layout, rename=lambda _name: None)
        return layout

    return make


def test_the_other_card_is_the_same_device(
    card: Callable[[str], CardPaths], tmp_path: Path
) -> None:
    old, new = card("old"), card("new")
    (old.fragments / "10.toml").write_text('[mqtt]\nprefix = "site"\n')
    file = tmp_path / "backup.tar.gz"
    back_up(old, file)
    restore(new, file)
    settings = load(new.configuration)
    assert settings.mqtt.prefix == "site"
    assert settings.device == device_name(old.root) != device_name(new.root)
    for name in ("passwords", "ca.key", "server.crt"):
        assert (new.broker / name).read_bytes() == (old.broker / name).read_bytes()
        assert (new.broker / name).stat().st_mode & 0o007 == 0 or name == "server.crt"
    assert file.stat().st_mode & 0o077 == 0


def test_what_came_over_the_boot_partition_stays_after_a_start(
    card: Callable[[str], CardPaths], tmp_path: Path
) -> None:
    old, new = card("old"), card("new")
    (old.boot / "appliance.toml").write_text('[mqtt]\nhost = "ha.local"\nusername = "me"\n')
    (old.boot / "mqtt-password.txt").write_text("secret")
    (old.boot / "mqtt-ca.crt").write_text("-----BEGIN")
    prepare(old, rename=lambda _name: None)
    back_up(old, tmp_path / "b")
    restore(new, tmp_path / "b")
    prepare(new, rename=lambda _name: None)
    mqtt = load(new.configuration).mqtt
    assert (mqtt.host, mqtt.username, mqtt.tls) == ("ha.local", "me", True)
    folder = new.root / "etc/appliance/secrets"
    assert (folder / Path(mqtt.tls_ca_file).name).read_text().startswith("-----BEGIN")
    assert (folder / Path(mqtt.password_file).name).read_text() == "secret\n"


def test_a_chosen_name_is_kept(card: Callable[[str], CardPaths], tmp_path: Path) -> None:
    old, new = card("old"), card("new")
    (old.fragments / "10.toml").write_text('device = "porch"\n')
    back_up(old, tmp_path / "b")
    restore(new, tmp_path / "b")
    assert load(new.configuration).device == "porch"


def test_a_configuration_that_is_bad_is_not_restored(
    card: Callable[[str], CardPaths], tmp_path: Path
) -> None:
    new = card("new")
    before = new.configuration.read_bytes()
    file = archive(tmp_path, {"etc/appliance/appliance.toml": b"sorce = 1\n"})
    with pytest.raises(ConfigError, match="sorce"):
        restore(new, file)
    assert new.configuration.read_bytes() == before


def archive(tmp_path: Path, files: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    path = tmp_path / "made.tar.gz"
    with tarfile.open(path, "w:gz") as made:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.type = len(content), kind
            info.linkname = "/etc/shadow"
            made.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    "name",
    ["etc/passwd", "/etc/appliance/x", "etc/appliance/../passwd", "../x", "etc/appliance"],
)
def test_what_does_not_belong_in_it_is_refused(
    card: Callable[[str], CardPaths], tmp_path: Path, name: str
) -> None:
    new = card("new")
    files = {"etc/appliance/appliance.toml": b"", name: b"x"}
    with pytest.raises(BadInputError, match="does not belong"):
        restore(new, archive(tmp_path, files))


def test_links_are_refused(card: Callable[[str], CardPaths], tmp_path: Path) -> None:
    new = card("new")
    with pytest.raises(BadInputError):
        restore(new, archive(tmp_path, {"etc/appliance/appliance.toml": b""}, tarfile.SYMTYPE))


@given(content=st.binary(max_size=300), cut=st.integers(0, 200))
def test_whatever_the_file_holds_nothing_is_changed(
    content: bytes, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("x")
    whole = archive(folder, {"etc/appliance/appliance.toml": b"device = 'x'\n"}).read_bytes()
    for damaged in (content, whole[: len(whole) * cut // 201]):
        (folder / "b").write_bytes(damaged)
        with pytest.raises(BadInputError):
            restore(CardPaths(folder / "root"), folder / "b")
        assert not (folder / "root").exists()


def test_the_verb(
    card: Callable[[str], CardPaths], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, file = card("old"), card("new"), str(tmp_path / "b.tar.gz")
    assert main(["check", "--root", str(old.root), "--backup", file]) == 0
    assert main(["check", "--root", str(new.root), "--restore", file]) == 0
    assert "etc/appliance/appliance.toml" in capsys.readouterr().out
    assert load(new.configuration).device == device_name(old.root)
    assert main(["check", "--root", str(new.root), "--restore", str(SHIPPED)]) == 65
