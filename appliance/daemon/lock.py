"""One daemon at a time for a device, wherever it is started from and by whom.

The lock is a name in the kernel (an abstract Unix socket): no folder decides who sees it, no disk
has to have room for it, and it ends with its process, however that ends. Whoever shares the network
shares the name, and would share the client id at the broker; a container with a network of its own
is a unit of its own and needs a device name of its own.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import pwd
import socket
import struct
import threading
import time
from dataclasses import dataclass

from appliance.errors import BusyError, UnavailableError

_LONGEST_NAME = 80
_TRIES, _PAUSE_SECONDS = 10, 0.02
_ANSWER_SECONDS = 1.0
_BACKLOG = 64
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a name: the kernel's word, not the holder's."""

    pid: int
    uid: int

    def __str__(self) -> str:
        try:
            user = pwd.getpwuid(self.uid).pw_name
        except KeyError:
            user = str(self.uid)
        process = f"pid {self.pid}" if self.pid else "in another container"
        return f"{process}, user {user}"


class DeviceLock:
    """Everybody's process counts: see SECURITY.md.

    Args:
        device: name of the unit.

    Raises:
        BusyError: another process serves the device.
        UnavailableError: it cannot be known.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._held = _Name(device)

    def move(self, device: str) -> None:
        """Hold another device's lock instead: a reload changed the name.

        Raises:
            BusyError: another process serves that one; the old one is still held.
        """
        if device != self._device:
            fresh = _Name(device)
            self._held.give_up()
            self._device, self._held = device, fresh

    def release(self) -> None:
        """Let the next one in."""
        self._held.give_up()


class _Name:
    """A name that is ours; says to everybody who asks that we hold it."""

    def __init__(self, device: str) -> None:
        self._socket = _take(device)
        self._thread = threading.Thread(target=self._answer, name="lock", daemon=True)
        self._thread.start()

    def give_up(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _answer(self) -> None:
        """Let callers go: the kernel has told them who we are, and their places are few."""
        with contextlib.suppress(OSError):
            while True:
                self._socket.accept()[0].close()


def _take(device: str) -> socket.socket:
    address = _address(device)
    holder: Holder | None = None
    for _ in range(_TRIES):
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            ours.bind(address)
            ours.listen(_BACKLOG)
        except OSError as error:
            ours.close()
            if error.errno != errno.EADDRINUSE:
                raise UnavailableError(
                    f"lock of device {device}: {error.strerror}",
                    hint="the service needs AF_UNIX among its RestrictAddressFamilies",
                ) from error
        else:
            return ours
        holder = _holder(address)
        if holder is not None:
            break
        time.sleep(_PAUSE_SECONDS)  # it has ended just now, or has only just begun
    raise BusyError(
        f"another appliance serves {device} already ({holder or 'it does not say who it is'})",
        hint=_cure(holder),
    )


def _cure(holder: Holder | None) -> str:
    if holder is None or not holder.pid:
        return "stop it first, or set device to another name"
    return f"stop it first: systemctl stop appliance, or kill {holder.pid}"


def _address(device: str) -> bytes:
    name = device.encode()
    if len(name) > _LONGEST_NAME:
        name = hashlib.sha256(name).hexdigest().encode()
    return b"\0appliance-lock-" + name


def _holder(address: bytes) -> Holder | None:
    """Return who listens there; None where nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(_ANSWER_SECONDS)
        try:
            probe.connect(address)
            told = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            return None
    pid, uid, _ = _CREDENTIALS.unpack(told)
    return Holder(pid, uid)
