"""Our end of a child: start, ask, wait with a bound, and say why it died."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

CHILD = Path(__file__).with_name("child.py")
CLOSE_SECONDS = 1.0
"""How long a child may take to close its device in order before it is killed."""
_HEADER = struct.Struct("<I")
_KEPT_LINES = 24


class ChildLostError(Exception):
    """The child died, or did not answer in time and was killed.

    Attributes:
        exit_code: as a shell would say it (134 for SIGABRT); None where it hung.
        last_words: the end of its standard error.
    """

    def __init__(self, return_code: int | None, last_words: str) -> None:
        self._signal = -return_code if return_code is not None and return_code < 0 else 0
        self.exit_code = 128 + self._signal if self._signal else return_code
        self.last_words = last_words
        super().__init__(self.reason)

    @property
    def reason(self) -> str:
        """Return what happened in a few words."""
        if self.exit_code is None:
            return "did not answer in time and was killed"
        if self._signal:
            name = signal.Signals(self._signal).name
            return f"died with exit code {self.exit_code} ({name})"
        return f"ended with exit code {self.exit_code}"


def _our_modules() -> dict[str, str]:
    """Return what lets our own interpreter find in the child what we found, wherever it lies."""
    paths = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), *sys.path]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


class Child:
    """A process that runs one engine.

    Args:
        interpreter: the Python to run it, any from 3.6 with numpy, which finds its own modules and
            none of ours, even if it is the program that runs us; empty for ours with our modules.
        environment: variables added to ours.

    Raises:
        OSError: the interpreter cannot be started.
    """

    def __init__(self, interpreter: str = "", environment: Mapping[str, str] | None = None) -> None:
        self.memory_fd = os.memfd_create("appliance-engine")
        self._control, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - configured by the owner
                [
                    interpreter or sys.executable,
                    str(CHILD),
                    str(theirs.fileno()),
                    str(self.memory_fd),
                ],
                pass_fds=(theirs.fileno(), self.memory_fd),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    **({} if interpreter else _our_modules()),
                    **(environment or {}),
                },
                start_new_session=True,  # Ctrl-C is for us; we end the child in order
            )
        except OSError:
            self._control.close()
            os.close(self.memory_fd)
            raise
        finally:
            theirs.close()
        self._poll = select.poll()
        self._poll.register(self._control, select.POLLIN)
        self._words: deque[str] = deque(maxlen=_KEPT_LINES)
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        self._listener = threading.Thread(
            target=self._listen, args=(self._process.stdout,), name="child's words", daemon=True
        )
        self._listener.start()

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def last_words(self) -> str:
        """Return the end of what it wrote."""
        return "\n".join(self._words)

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Return the answer to ``request``.

        Raises:
            ChildLostError: it died, or took longer than ``seconds`` and was killed.
        """
        body = json.dumps(request).encode()
        try:
            self._control.sendall(_HEADER.pack(len(body)) + body)
        except OSError as error:
            raise self._lost() from error
        deadline = time.monotonic() + seconds
        size = _HEADER.unpack(self._exactly(_HEADER.size, deadline))[0]
        try:
            answer: dict[str, Any] = json.loads(self._exactly(size, deadline))
        except ValueError as error:
            raise self._lost() from error
        return answer

    def close(self) -> None:
        """End it: hang up, wait a moment, kill. Safe to call twice."""
        if self._control.fileno() < 0:
            return
        self._control.close()
        if self._wait() is None:
            self._kill()
        self._listener.join(CLOSE_SECONDS)
        os.close(self.memory_fd)

    def _exactly(self, size: int, deadline: float) -> bytes:
        parts = b""
        while len(parts) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1000):
                self._kill()
                raise ChildLostError(None, self.last_words)
            try:
                part = self._control.recv(size - len(parts))
            except OSError:
                part = b""
            if not part:
                raise self._lost()
            parts += part
        return parts

    def _lost(self) -> ChildLostError:
        """Wait for the end that the closed socket announces, and describe it."""
        code = self._wait()
        if code is None:
            code = self._kill()
        self._listener.join(CLOSE_SECONDS)
        return ChildLostError(code, self.last_words)

    def _wait(self) -> int | None:
        """Return the exit code if it ends within ``CLOSE_SECONDS``."""
        try:
            return self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def _kill(self) -> int | None:
        """Kill the child and what it started; one stuck in the kernel is not waited for."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads a session of its own
        return self._wait()

    def _listen(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                text = line.decode("utf-8", "replace").rstrip()
                if text:
                    self._words.append(text)
