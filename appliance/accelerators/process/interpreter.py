"""Side interpreters: another Python for runtimes whose wheels do not fit ours.

The child in it needs numpy and the vendor's package, nothing else (see the room).
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

ENGINES = Path(__file__).with_name("side_engines")
Interpreter = Annotated[
    str,
    msgspec.Meta(
        description="The Python that has its packages where ours has not, such as "
        "/opt/vendor/bin/python; empty for ours."
    ),
]
"""The option of every accelerator that may run in a side interpreter."""


@dataclass(frozen=True, slots=True)
class SideInterpreter:
    """The Python that runs an accelerator's child.

    Attributes:
        path: of the interpreter.
        configured: whether the owner named it (else it is ours).
        problem: why it cannot be used; empty if it can.
    """

    path: str
    configured: bool
    problem: str = ""

    @property
    def named(self) -> str:
        """Return the interpreter that the owner named; empty for ours, with our modules."""
        return self.path if self.configured else ""

    @property
    def version(self) -> str:
        """Return what changes when something is installed there: the age of its packages."""
        folders = Path(self.path).parent.parent.glob("lib/python3*/*-packages")
        return " ".join(f"{folder.stat().st_mtime_ns:x}" for folder in sorted(folders))


def side_interpreter(given: str, name: str) -> SideInterpreter:
    """Return the interpreter that the options of an accelerator name, or our own."""
    if not given:
        return SideInterpreter(sys.executable, configured=False)
    if shutil.which(given) is None:
        problem = f"accelerator.options.{name}.interpreter: {given} cannot be run: no such program"
        return SideInterpreter(given, configured=True, problem=problem)
    return SideInterpreter(given, configured=True)
