"""What signals and threads ask of the supervisor."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(slots=True)
class Requests:
    """Events that are asked for, and one that wakes the main thread; from any thread or signal."""

    stop: threading.Event = field(default_factory=threading.Event)
    reload: threading.Event = field(default_factory=threading.Event)
    rewire: threading.Event = field(default_factory=threading.Event)
    info: threading.Event = field(default_factory=threading.Event)
    wake: threading.Event = field(default_factory=threading.Event)

    def ask_stop(self) -> None:
        """End soon."""
        self.stop.set()
        self.wake.set()

    def ask_rewire(self) -> None:
        """Choose the accelerator again, with the same configuration."""
        self.rewire.set()
        self.wake.set()

    def ask_info(self) -> None:
        """Say again who the unit is."""
        self.info.set()
        self.wake.set()

    def ask_reload(self) -> None:
        """Read the configuration again."""
        self.reload.set()
        self.wake.set()
