"""``appliance watch``: subscribe to one or all appliances of a broker and show them live."""

from __future__ import annotations

import getpass
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from appliance.cli.common import print_json
from appliance.cli.view import ApplianceView
from appliance.errors import BrokerUnavailableError

if TYPE_CHECKING:
    import argparse

CONNECT_SECONDS = 5.0
_REDRAWS_PER_SECOND = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--host", default="localhost", help="of the broker")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--prefix", default="appliance")
    parser.add_argument("--device", default="+", help="only this unit")
    parser.add_argument("--username", default="")
    parser.add_argument(
        "--password-file", type=Path, help="file holding the password; else it is asked for"
    )
    parser.add_argument("--ca-file", help="CA certificates: connect with TLS")
    parser.add_argument("--json", action="store_true", help="print every message as a JSON line")
    parser.add_argument("--count", type=int, default=0, metavar="N", help="end after N messages")


def run(options: argparse.Namespace) -> int:
    """Show messages until interrupted, or until ``--count`` came."""
    watcher = _Watcher(options)
    client = watcher.connect()
    client.loop_start()
    try:
        watcher.show()
    finally:
        client.disconnect()
        client.loop_stop()
    return 0


class _Watcher:
    """Receives messages and shows them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._views: dict[str, ApplianceView] = {}
        self._seen = 0
        self._done = threading.Event()
        self._answered = threading.Event()
        self._refusal = ""

    def connect(self) -> Client:
        """Return a connected, subscribed client; MQTT 5 first, then 3.1.1."""
        for version in (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311):
            client = self._client(version)
            try:
                client.connect(self._options.host, self._options.port, keepalive=15)
                client.loop_start()
                self._answered.wait(CONNECT_SECONDS)
                client.loop_stop()
            except OSError as error:
                raise self._unavailable(str(error)) from error
            if self._answered.is_set() and not self._refusal:
                return client
            self._answered.clear()
        raise self._unavailable(self._refusal or "no answer")

    def show(self) -> None:
        """Block until done."""
        if self._options.json or not sys.stdout.isatty():
            self._done.wait()
            return
        from rich.console import Group  # noqa: PLC0415 - terminal only
        from rich.live import Live  # noqa: PLC0415 - terminal only

        with Live(refresh_per_second=_REDRAWS_PER_SECOND) as live:
            while not self._done.wait(1 / _REDRAWS_PER_SECOND):
                live.update(Group(*self._views.values()) if self._views else "waiting ...")

    def _client(self, version: MQTTProtocolVersion) -> Client:
        options = self._options
        client = Client(CallbackAPIVersion.VERSION2, protocol=version)
        client.connect_timeout = CONNECT_SECONDS
        if options.username:
            client.username_pw_set(options.username, self._password())
        if options.ca_file:
            client.tls_set(ca_certs=options.ca_file)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        return client

    def _password(self) -> str:
        if self._options.password_file:
            return str(self._options.password_file.read_text().rstrip("\r\n"))
        return os.environ.get("APPLIANCE_WATCH_PASSWORD") or getpass.getpass("password: ")

    def _on_connect(self, client: Client, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        self._refusal = reason.getName() if reason.is_failure else ""
        if not reason.is_failure:
            client.subscribe(f"{self._options.prefix}/{self._options.device}/#", qos=1)
        self._answered.set()

    def _on_message(self, _client: Client, _u: Any, received: MQTTMessage) -> None:
        below = received.topic.removeprefix(f"{self._options.prefix}/")
        device, _, topic = below.partition("/")
        if self._done.is_set() or not topic:
            return
        try:
            message = msgspec.json.decode(received.payload)
        except msgspec.DecodeError:
            message = received.payload.decode("utf-8", "replace")
        if self._options.json or not sys.stdout.isatty():
            print_json({"topic": received.topic, "message": message})
        else:
            self._views.setdefault(device, ApplianceView(device)).feed(topic, message)
        self._seen += 1
        if self._options.count and self._seen >= self._options.count:
            self._done.set()

    def _unavailable(self, reason: str) -> BrokerUnavailableError:
        return BrokerUnavailableError(
            f"broker {self._options.host}:{self._options.port}: {reason}",
            hint="is it running, and are host, port, user and password right?",
        )
