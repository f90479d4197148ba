"""The sinks of a unit: made from its settings, kept over a reload that leaves them alone."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.board.identity import device_name
from appliance.daemon.commands import COMMANDS
from appliance.sinks import Counting, create_outlet, sink_options
from appliance.sinks.mqtt.address import broker_address, secrets_of
from appliance.sinks.mqtt.commands import Commands
from appliance.sinks.mqtt.sink import MqttSink
from appliance.sinks.outbox.outbox import Outbox
from appliance.sinks.queue.backlog import Backlog
from appliance.sinks.queue.queued_sink import QueuedSink
from appliance.sinks.webhook.receiver import receiver_of
from appliance.sinks.webhook.sink import WebhookSink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from appliance.config import Settings
    from appliance.reports.messages import SinkInfo
    from appliance.reports.outgoing import Outgoing, Sink
    from appliance.selection.environment import Environment
    from appliance.sinks import Outlet
    from appliance.sinks.webhook.receiver import Receiver

EXTRA = "extra"
"""Stands for the outlets that no setting names."""


@dataclass(frozen=True, slots=True)
class Sinks:
    """Every sink by its kind.

    Attributes:
        mqtt: the way to the broker; None where it is not wanted.
        others: by kind, each behind a queue of its own.
        made_from: the settings of each kind; equal ones make the same sink.
    """

    mqtt: MqttSink | None = None
    others: Mapping[str, tuple[Sink, ...]] = field(default_factory=dict)
    made_from: Mapping[str, object] = field(default_factory=dict)

    @property
    def all(self) -> tuple[Sink, ...]:
        others = [sink for sinks in self.others.values() for sink in sinks]
        return (*((self.mqtt,) if self.mqtt else ()), *others)

    def tallies(self) -> dict[str, SinkInfo]:
        """Return what became of the messages, by sink."""
        return {sink.name: sink.tally() for sink in self.all if isinstance(sink, Counting)}

    def close(self) -> None:
        """Flush and close all, at the same time: those that hang share one wait."""
        _close(self.all)


class Between:
    """Stands for sinks while they are changed: keeps what comes, for those that come. Thread-safe.

    ``Backlog`` says what is kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._backlog = Backlog()
        self._sinks: tuple[Sink, ...] | None = None

    def put(self, outgoing: Outgoing) -> None:
        """Keep a message, or hand it on to who has come."""
        with self._lock:
            self._backlog.add(outgoing)
            self._pass_on()

    def hand_over(self, sinks: tuple[Sink, ...]) -> None:
        """Give these what was kept, in order, and all that comes late."""
        with self._lock:
            self._sinks = sinks
            self._pass_on()

    def end(self) -> None:
        """There is nothing to end."""

    def close(self) -> None:
        """There is nothing to close."""

    def _pass_on(self) -> None:
        while self._sinks is not None and (outgoing := self._backlog.take()) is not None:
            for sink in self._sinks:
                sink.put(outgoing)


def device_of(settings: Settings, environment: Environment) -> str:
    """Return the configured name of the unit, or the machine's."""
    return settings.device or device_name(environment.root)


def check_sinks(settings: Settings, environment: Environment) -> None:
    """Check what sinks are made from, as far as that goes without opening anything.

    Raises:
        ConfigError: it cannot be used.
    """
    sink_options(settings.sinks)
    for one in settings.webhook:
        receiver_of(one)
    if settings.mqtt.enabled:
        device = device_of(settings, environment)
        broker_address(settings.mqtt, device, environment.variables)


def make_sinks(
    settings: Settings,
    environment: Environment,
    *,
    extra: tuple[Outlet, ...] = (),
    on_change: Callable[[], None] = lambda: None,
    on_command: Callable[[str, bytes], None] = lambda _name, _payload: None,
    before: Sinks | None = None,
    meanwhile: Callable[[tuple[Sink, ...]], None] = lambda _sinks: None,
) -> Sinks:
    """Return the configured sinks, their threads started.

    Args:
        settings: say which.
        environment: what surrounds the process.
        extra: outlets besides the configured ones.
        on_change: called when the connection to the broker changes.
        on_command: called with each command from the broker.
        before: the sinks so far. Those whose settings changed are closed, the others go on.
        meanwhile: called with the sinks that messages have to go to until this returns.

    Raises:
        ConfigError: the settings cannot be used; the sinks so far are as they were.
    """
    options = sink_options(settings.sinks)
    mqtt, device = settings.mqtt, device_of(settings, environment)
    address = broker_address(mqtt, device, environment.variables) if mqtt.enabled else None
    receivers = {f"webhook:{one.name}": receiver_of(one) for one in settings.webhook}
    made_from: dict[str, object] = {**options, EXTRA: extra}
    made_from |= {kind: (one, device, mqtt.outbox) for kind, one in receivers.items()}
    origin = bool(settings.update.origin)
    secrets = secrets_of(mqtt, environment.variables)
    made_from["mqtt"] = (mqtt, device, origin, settings.homeassistant, secrets)
    kept = _kept(before, made_from)
    outlets = {
        kind: extra if kind == EXTRA else _outlets(kind, options[kind], environment)
        for kind in (EXTRA, *options)
        if kind not in kept
    }
    between = Between()
    if before is not None:
        going = (
            *((before.mqtt,) if before.mqtt and "mqtt" not in kept else ()),
            *(one for kind, all_ in before.others.items() if kind not in kept for one in all_),
        )
        meanwhile((*(one for one in before.all if one not in going), between))
        _close(going)
    others: dict[str, tuple[Sink, ...]] = {}
    for kind in (EXTRA, *options):
        if before is not None and kind in kept:
            others[kind] = before.others[kind]
            continue
        others[kind] = tuple(QueuedSink(outlet, environment.clock) for outlet in outlets[kind])
    for kind, receiver in receivers.items():
        if before is not None and kind in kept:
            others[kind] = before.others[kind]
        else:
            others[kind] = (_webhook(receiver, settings, environment, device),)
    sink = before.mqtt if before is not None and "mqtt" in kept else None
    if address is not None and "mqtt" not in kept:
        path = _outbox_path(settings, environment, f"outbox-{device}")
        outbox = Outbox(path, mqtt.outbox_messages)
        base = f"{mqtt.prefix}/{device}"
        wanted = settings.homeassistant
        birth_topic = f"{wanted.prefix}/status" if wanted.discovery else ""
        commands = Commands(base, _commands(settings), on_command, birth_topic=birth_topic)
        sink = MqttSink(
            address, base, outbox, on_change, commands=commands, clock=environment.clock
        )
        sink.start()
    made = Sinks(sink, others, made_from)
    between.hand_over(tuple(one for one in made.all if before is None or one not in before.all))
    return made


def _kept(before: Sinks | None, made_from: Mapping[str, object]) -> set[str]:
    if before is None:
        return set()
    return {kind for kind, made in made_from.items() if before.made_from.get(kind) == made}


def _close(sinks: tuple[Sink, ...]) -> None:
    for sink in sinks:
        sink.end()
    for sink in sinks:
        sink.close()


def _outlets(kind: str, options: object, environment: Environment) -> tuple[Outlet, ...]:
    outlet = create_outlet(kind, options, environment.variables)
    return () if outlet is None else (outlet,)


def _commands(settings: Settings) -> tuple[str, ...]:
    """Return what is listened to."""
    if settings.update.origin and not settings.mqtt.commands:
        return ("update",)
    names = tuple(COMMANDS) if settings.mqtt.commands else ()
    return tuple(name for name in names if name != "update" or settings.update.origin)


def _webhook(
    receiver: Receiver, settings: Settings, environment: Environment, device: str
) -> WebhookSink:
    wanted = receiver.settings
    path = _outbox_path(settings, environment, f"webhook-{wanted.name}-{device}")
    sink = WebhookSink(
        wanted,
        receiver.secret,
        Outbox(path, wanted.waiting),
        environment.clock,
        receiver.poster(),
    )
    sink.start()
    return sink


def _outbox_path(settings: Settings, environment: Environment, name: str) -> Path | None:
    kind = settings.mqtt.outbox
    if kind == "memory":
        return None
    folder = environment.runtime_folder() if kind == "runtime" else environment.state_folder()
    return folder / f"{name}.sqlite"
