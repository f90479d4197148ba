"""Where everything lies that the setup reads and writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CardPaths:
    """Paths below a root and a boot partition, both replaced in tests.

    Attributes:
        root: the machine's root folder.
        boot: the boot partition, which other computers write.
        boot_is_there: False where it could not be mounted: nothing is read from it, then, nor
            undone because it is not on it.
        below: the read-only root below an overlay in memory; None where the root keeps what is
            written.
    """

    root: Path = Path("/")
    boot: Path = Path("/boot/firmware")
    boot_is_there: bool = True
    below: Path | None = None

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
