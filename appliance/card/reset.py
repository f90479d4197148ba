"""Back to how the card was flashed, asked for by a file on the boot partition."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from appliance.config.example import default_toml
from appliance.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.card.paths import CardPaths

FACTORY, PASSWORDS = "factory-reset", "new-passwords"


def asked(layout: CardPaths, name: str) -> bool:
    """Return whether the file is there, under any ending that an editor may have added."""
    return any(_asking(layout, name))


def _asking(layout: CardPaths, name: str) -> Iterator[str]:
    if layout.boot.is_dir():
        for path in layout.boot.iterdir():
            if path.name.lower() in {name, f"{name}.txt"}:
                yield path.name


def factory_reset(layout: CardPaths) -> Iterator[str]:
    """Remove what was configured, learnt and made here; yield what was done.

    The file goes last: where the power fails before, the next boot does it again.
    """
    if not asked(layout, FACTORY):
        return
    retained = layout.root / "var/lib/mosquitto"
    for folder in (layout.fragments, layout.secrets, layout.broker, layout.state, retained):
        empty(folder)
    write_whole(layout.configuration, default_toml())
    for name in ("appliance.toml", "mqtt-password.txt", "mqtt-ca.crt", "authorized_keys"):
        (layout.boot / name).unlink(missing_ok=True)
    (layout.root / "root/.ssh/authorized_keys").unlink(missing_ok=True)
    done(layout, FACTORY)
    yield "reset to how the card was flashed"


def done(layout: CardPaths, name: str) -> None:
    """Remove the file that asked."""
    for found in list(_asking(layout, name)):
        (layout.boot / found).unlink()


def empty(folder: Path) -> None:
    """Remove what a folder holds, not the folder."""
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
