"""The service manager's side: readiness, watchdog, status text."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class ServiceManager:
    """Speaks systemd's notify protocol, with systemd-python where it is installed.

    Without ``NOTIFY_SOCKET`` everything is a no-op.

    Args:
        environment: where NOTIFY_SOCKET and WATCHDOG_USEC are looked up.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        microseconds = environment.get("WATCHDOG_USEC", "")
        watched_pid = environment.get("WATCHDOG_PID", str(os.getpid()))
        ours = microseconds.isdigit() and watched_pid == str(os.getpid())
        self.watchdog_seconds = int(microseconds) / 1e6 if ours else None

    @property
    def watches_over(self) -> bool:
        """Say whether somebody would start us again."""
        return bool(self._address)

    def ready(self) -> None:
        """Say that start-up is over."""
        self._notify(f"READY=1\nMAINPID={os.getpid()}")

    def reloading(self, monotonic_ns: int) -> None:
        """Say that the configuration is being read again; ``ready`` ends it."""
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={monotonic_ns // 1000}")

    def stopping(self) -> None:
        """Say that we are on our way out."""
        self._notify("STOPPING=1")

    def status(self, text: str) -> None:
        """Set the line that ``systemctl status`` shows."""
        self._notify(f"STATUS={text}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._notify("WATCHDOG=1")

    def _notify(self, state: str) -> None:
        if not self._address:
            return
        try:
            from systemd import daemon  # noqa: PLC0415 - only where Debian's python3-systemd is
        except ImportError:
            _send(self._address, state)
        else:
            daemon.notify(state)


def _send(address: str, state: str) -> None:
    """Send ``state`` to the notify socket; ``@`` starts an abstract name (sd_notify(3))."""
    target = f"\0{address[1:]}" if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto(state.encode(), target)
        except OSError:
            return  # a manager that went away must not end us
