"""What signals and threads ask of the supervisor."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field

MOST_COMMANDS = 32
"""Commands that may wait; who sends more, faster than they are obeyed, is told so."""


@dataclass(slots=True)
class Requests:
    """Events that are asked for, and one that wakes the main thread; from any thread or signal."""

    stop: threading.Event = field(default_factory=threading.Event)
    reload: threading.Event = field(default_factory=threading.Event)
    rewire: threading.Event = field(default_factory=threading.Event)
    info: threading.Event = field(default_factory=threading.Event)
    wake: threading.Event = field(default_factory=threading.Event)
    commands: queue.Queue[tuple[str, bytes]] = field(
        default_factory=lambda: queue.Queue(MOST_COMMANDS)
    )

    def command(self, name: str, payload: bytes) -> bool:
        """Have a command obeyed on the main thread; False where too many wait."""
        try:
            self.commands.put_nowait((name, payload))
        except queue.Full:
            return False
        self.wake.set()
        return True

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
