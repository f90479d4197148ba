"""Where everything lies that the setup reads and writes."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below a root and a boot partition, both replaced in tests.

    Attributes:
        root: the machine's root folder.
        boot: the boot partition, which other computers write.
        boot_is_there: False where it could not be mounted: nothing is read from it, then, nor
            undone because it is not on it.
    """

    root: Path = Path("/")
    boot: Path = Path("/boot/firmware")
    boot_is_there: bool = True

    @property
    def configuration(self) -> Path:
        """The main configuration file."""
        return self.root / "etc/appliance/appliance.toml"

    @property
    def fragments(self) -> Path:
        """Folder of the fragments that are merged over it."""
        return self.root / "etc/appliance/conf.d"

    @property
    def secrets(self) -> Path:
        """Folder of what only root and the daemon may read."""
        return self.root / "etc/appliance/secrets"

    @property
    def broker(self) -> Path:
        """Folder of the broker's accounts and certificates."""
        return self.root / "etc/mosquitto/appliance"

    @property
    def runtime(self) -> Path:
        """Folder of what the setup tells the rest of this boot."""
        return self.root / "run/appliance-setup"

    @property
    def state(self) -> Path:
        """What the daemon keeps."""
        return self.root / "var/lib/appliance"

    @property
    def shipped(self) -> Path:
        """Fragments that come with the package."""
        return self.root / "usr/share/appliance"


def replace_file(path: Path, content: str | bytes, mode: int = 0o644, *, group: str = "") -> None:
    """Write a file so that a power cut leaves the old or the new one, never a half.

    Args:
        path: the file; its folder is made.
        content: all of it.
        mode: its permissions.
        group: its group, where the machine has one of that name.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    fresh = path.with_name(f".{path.name}.new")
    with open(fresh, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        os.fchmod(file.fileno(), mode)
        if group:
            with contextlib.suppress(LookupError):
                shutil.chown(fresh, group=group)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
