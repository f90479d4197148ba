"""Numbers and encodes messages once, as the unit that they are of, and hands them to the sinks."""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.clock import rfc3339
from appliance.reports.outgoing import Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.clock import Clock
    from appliance.models import Vocabulary
    from appliance.reports.common import Message
    from appliance.reports.outgoing import Sink


@dataclass(frozen=True, slots=True)
class Identity:
    """What all messages of a unit say of it.

    Attributes:
        device: its name.
        boot_id: of this run of the daemon.
        workers: detectors in parallel.
        vocabulary: names by label id.
    """

    device: str
    boot_id: str
    workers: int
    vocabulary: Vocabulary


def new_boot_id() -> str:
    """Return an id for this run of the daemon."""
    return uuid.uuid4().hex[:12]


class Sender:
    """Thread-safe.

    Args:
        identity: of the unit.
        sinks: every message goes to each, in order.
        clock: the appliance's clock.
    """

    def __init__(self, identity: Identity, sinks: tuple[Sink, ...], clock: Clock) -> None:
        self.identity = identity
        self._sinks = sinks
        self._clock = clock
        self._encoder = msgspec.json.Encoder()
        self._lock = threading.Lock()
        self._seqs: defaultdict[str, int] = defaultdict(int)

    def use(self, identity: Identity) -> None:
        """Go on as this; the numbers of the messages go on."""
        with self._lock:
            self.identity = identity

    def use_sinks(self, sinks: tuple[Sink, ...], device: str) -> None:
        """Send to these from the next message on, which carries this name: topics do, too."""
        with self._lock:
            self._sinks = sinks
            self.identity = replace(self.identity, device=device)

    def head(self, topic: str) -> dict[str, Any]:
        """Return what the next message of a topic says of itself, its number among it."""
        with self._lock:
            seq = self._seqs[topic]
            self._seqs[topic] = seq + 1
        return {
            "device": self.identity.device,
            "boot_id": self.identity.boot_id,
            "seq": seq,
            "at": rfc3339(self._clock.utc()),
            "clock": "synced" if self._clock.synced() else "unsynced",
        }

    def send(
        self,
        kind: str,
        topic: str,
        message: Message | None,
        *,
        payload: dict[str, Any] | None = None,
        qos: int = 0,
        retain: bool = False,
        durable: bool = False,
        fold: str = "",
        expiry: int | None = None,
        written: Callable[[int], None] | None = None,
        handed_ns: int | None = None,
    ) -> None:
        """Encode a message and hand it over; see ``Outgoing`` for the words."""
        outgoing = Outgoing(
            kind=kind,
            topic=topic,
            payload=self._encoder.encode(message if payload is None else payload),
            message=message,
            qos=qos,
            retain=retain,
            durable=durable,
            fold=fold,
            expiry_seconds=expiry,
            handed_ns=self._clock.monotonic_ns() if handed_ns is None else handed_ns,
            written=written,
        )
        self.put(outgoing)

    def put(self, outgoing: Outgoing) -> None:
        """Hand a message over as it is."""
        for sink in self._sinks:
            sink.put(outgoing)
