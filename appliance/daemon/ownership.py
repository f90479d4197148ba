"""The retained topics that are ours: what a configuration leaves behind is emptied.

A broker keeps a retained message for ever, and Home Assistant an entity: a camera that was renamed
would stay on both as a ghost. What we own is kept on disk until the broker has taken it back.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from appliance.daemon.kept import read_kept
from appliance.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from appliance.config import Settings
    from appliance.reports.homeassistant import Discovery
    from appliance.reports.reporter import Reporter

log = logging.getLogger(__name__)

ENTITIES_FIRST_SECONDS = 5.0
"""An entity whose topic is emptied before it is gone fills Home Assistant's log with warnings."""
_OF_UNIT = ("status", "info", "health", "update", "state")


class Owned(msgspec.Struct, frozen=True, kw_only=True):
    """What lies on disk.

    Attributes:
        topics: retained, from the root.
        entities: platforms by key, by the topic of their device.
    """

    topics: frozenset[str] = frozenset()
    entities: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)


class Ownership:
    """Thread-safe: the broker's answers come on the sink's thread.

    Args:
        path: of the file; None to know of this process only.
        monotonic: seconds, for what has to wait.
    """

    def __init__(
        self, path: Path | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._monotonic = monotonic
        self._ours: frozenset[str] = frozenset()
        self._on_their_way: set[str] = set()
        self._later: frozenset[str] = frozenset()
        self._due = 0.0
        self._lock = threading.Lock()
        self._owned = read_kept(path, Owned, "what older names left at the broker is not known")

    def publish(
        self, reporter: Reporter, topics: frozenset[str], devices: tuple[Discovery, ...]
    ) -> None:
        """Publish the devices, and empty what is no longer ours.

        Args:
            reporter: sends.
            topics: that are ours from now on.
            devices: for Home Assistant; none where it is not wanted.
        """
        with self._lock:
            before = self._owned
            self._ours = topics
            self._on_their_way -= topics  # it came back before the broker had let it go
            entities = {one.topic: one.platforms for one in devices}
            self._owned = Owned(topics=before.topics | topics, entities=entities)
            self._keep()
        gone_topics = before.topics - topics - self._on_their_way
        devices_gone = {topic for topic in gone_topics if topic in before.entities}
        self._clear(reporter, devices_gone)
        self._later = gone_topics - devices_gone
        self._due = self._monotonic() + ENTITIES_FIRST_SECONDS
        for device in devices:
            known = before.entities.get(device.topic, {})
            gone = {key: one for key, one in known.items() if key not in device.platforms}
            reporter.discovery(device, gone=gone)

    def again(self) -> None:
        """What was on its way may not have arrived: another connection took its place."""
        with self._lock:
            self._on_their_way.clear()

    def tick(self, reporter: Reporter) -> None:
        """Empty what had to wait for Home Assistant to let go of it."""
        if self._later and self._monotonic() >= self._due:
            self._clear(reporter, self._later)
            self._later = frozenset()

    def _clear(self, reporter: Reporter, topics: Iterable[str]) -> None:
        """Empty topics; once, for Home Assistant complains of a second time."""
        for topic in sorted(topics):
            self._on_their_way.add(topic)
            reporter.clear(topic, partial(self._forget, topic))

    def _forget(self, topic: str) -> None:
        with self._lock:
            self._on_their_way.discard(topic)
            if topic in self._ours:
                return
            topics = self._owned.topics - {topic}
            self._owned = msgspec.structs.replace(self._owned, topics=topics)
            self._keep()

    def _keep(self) -> None:
        if self._path is None:
            return
        try:
            write_whole(self._path, msgspec.json.encode(self._owned), 0o600)
        except OSError as error:
            log.warning("%s: %s", self._path, error.strerror)


def topics_of(settings: Settings, device: str, devices: tuple[Discovery, ...]) -> frozenset[str]:
    """Return the retained topics of a unit, from the root."""
    base = f"{settings.mqtt.prefix}/{device}"
    cameras = [f"{base}/{camera.name}/metrics" for camera in settings.camera]
    cameras += [
        f"{base}/{camera.name}/objects" for camera in settings.camera if camera.objects.enabled
    ]
    cameras += [f"{base}/{one.name}/image" for one in settings.camera if one.pictures.enabled]
    return frozenset(
        [*(f"{base}/{name}" for name in _OF_UNIT), *cameras, *(one.topic for one in devices)]
    )
