"""What surrounds the process: variables, the machine's files, time, the known accelerators."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.accelerators import ROOM
from appliance.clock import SystemClock
from appliance.extensions import kinds
from appliance.files import OTHERS, OTHERS_WRITE, claim_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.clock import Clock
    from appliance.selection import Proof


@dataclass(frozen=True, slots=True)
class Environment:
    """What surrounds the process; replaced in tests.

    Attributes:
        variables: environment variables.
        root: where /sys, /proc and /etc are.
        clock: all time.
        accelerators: name to place, see ``appliance.extensions.kinds``.
        failed_proofs: what failed its proof since the process began.
    """

    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    root: Path = Path("/")
    clock: Clock = field(default_factory=SystemClock)
    accelerators: Mapping[str, str] = field(default_factory=partial(kinds, ROOM))
    failed_proofs: dict[str, Proof] = field(default_factory=dict)

    def runtime_folder(self) -> Path:
        """Return the folder for what lives until the next boot (systemd's, or the user's)."""
        given = self.variables.get("RUNTIME_DIRECTORY")
        if given:
            return Path(given.split(":")[0])
        user = self.variables.get("XDG_RUNTIME_DIR")
        return Path(user, "appliance") if user else Path(f"/tmp/appliance-{os.getuid()}")  # noqa: S108

    def claim_runtime_folder(self) -> None:
        """Make the runtime folder, or make sure that it is ours alone.

        Raises:
            UnavailableError: it is not. A full disk is no reason: it costs what would lie there.
        """
        variables = self.variables
        told = variables.get("RUNTIME_DIRECTORY") or variables.get("XDG_RUNTIME_DIR")
        with contextlib.suppress(OSError):
            claim_folder(self.runtime_folder(), OTHERS_WRITE if told else OTHERS)

    def notices(self) -> tuple[str, ...]:
        """Return what `appliance setup` could not do, or use, at this boot."""
        try:
            return tuple((self.root / "run/appliance-setup/notices").read_text().splitlines())
        except OSError:
            return ()

    def state_folder(self) -> Path:
        """Return the folder for what survives a power cut."""
        given = self.variables.get("STATE_DIRECTORY")
        if given:
            return Path(given.split(":")[0])
        service = self.root / "var/lib/appliance"
        if os.access(service, os.W_OK):
            return service  # root measures for the service
        return Path.home() / ".local/state/appliance"
