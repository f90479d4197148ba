"""The product's own bench, as a process: for scripts that compare its figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def bench(*words: str, state: Path, tree: Path | None = None) -> dict[str, Any]:
    """Return the figures of one run on the CPU.

    Args:
        words: further options.
        state: folder where layouts are kept.
        tree: of another commit; None for this one.
    """
    environment = {**os.environ, "STATE_DIRECTORY": str(state)}
    if tree:
        environment["PYTHONPATH"] = str(tree)
    out = subprocess.run(
        [sys.executable, "-m", "appliance", "bench", "--json", "--accelerator", "cpu", *words],
        check=True,
        capture_output=True,
        text=True,
        cwd=tree,
        env=environment,
    ).stdout
    figures: dict[str, Any] = json.loads(out)
    return figures
