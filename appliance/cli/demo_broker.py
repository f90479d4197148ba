"""A broker on loopback for the demo: mosquitto where it is installed, else amqtt."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from appliance.errors import BrokerUnavailableError

START_SECONDS = 15.0
_PLACES = "/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin"
_AMQTT_CONFIG = """\
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""
_MOSQUITTO_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
"""


@dataclass(slots=True)
class DemoBroker:
    """A running broker.

    Attributes:
        kind: ``mosquitto`` or ``amqtt``.
        port: on 127.0.0.1.
    """

    kind: str
    port: int
    _process: subprocess.Popen[bytes]
    _folder: tempfile.TemporaryDirectory[str]

    def stop(self) -> None:
        """End the broker and remove its files."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()


def start_broker(kind: str = "auto", port: int = 0) -> DemoBroker:
    """Start a broker that listens on loopback only.

    Args:
        kind: ``auto``, ``mosquitto`` or ``amqtt``.
        port: 0 for a free one.

    Raises:
        BrokerUnavailableError: none is installed, or it does not come up.
    """
    port = port or free_port()
    folder = tempfile.TemporaryDirectory(prefix="appliance-broker-")
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path=_PLACES)
    if kind in ("auto", "mosquitto") and mosquitto:
        command = [mosquitto, "-c", _write(folder, "mosquitto.conf", _MOSQUITTO_CONFIG, port)]
        kind = "mosquitto"
    elif kind in ("auto", "amqtt") and find_spec("amqtt") is not None:
        start = "from amqtt.scripts.broker_script import main; main()"
        config = _write(folder, "amqtt.yaml", _AMQTT_CONFIG, port)
        command = [sys.executable, "-c", start, "-c", config]
        kind = "amqtt"
    else:
        folder.cleanup()
        raise BrokerUnavailableError(
            "no MQTT broker is installed",
            hint="apt install mosquitto, or pip install 'appliance[demo]'",
        )
    process = subprocess.Popen(  # noqa: S603 - our own command, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    broker = DemoBroker(kind, port, process, folder)
    try:
        _await_port(broker)
    except BrokerUnavailableError:
        broker.stop()
        raise
    return broker


def _write(folder: tempfile.TemporaryDirectory[str], name: str, template: str, port: int) -> str:
    Path(folder.name).chmod(0o755)
    path = Path(folder.name, name)
    path.write_text(template.format(port=port))
    return str(path)


def free_port() -> int:
    """Return a TCP port of the loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(broker: DemoBroker) -> None:
    deadline = time.monotonic() + START_SECONDS
    pause = threading.Event()
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", broker.port), 1).close()
        except OSError:
            if broker._process.poll() is not None:  # noqa: SLF001 - same module
                break
            pause.wait(0.05)
        else:
            return
    raise BrokerUnavailableError(
        f"the {broker.kind} broker did not come up on port {broker.port}",
        hint=f"try it by hand: {broker.kind} --help",
    )
