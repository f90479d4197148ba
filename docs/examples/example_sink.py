"""The newest result of each camera as a file: a sink in one file, an example run by the tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

if TYPE_CHECKING:
    from appliance.reports.outgoing import Outgoing
    from appliance.sinks import SinkRequest

CONTRACT = {"options": {"folder": "{folder}"}}
"""For the contract suite: options by which the sink has something to do."""


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The newest result of each camera, as a file."""

    folder: Annotated[str, Meta(description="Where the files lie; empty for none.")] = ""


class LatestOutlet:
    """All three methods run on a thread of its own: they may wait, and they may raise OSError."""

    name = "latest"
    kinds: frozenset[str] | None = frozenset({"detections"})

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> None:
        """Make the folder."""
        self._folder.mkdir(exist_ok=True)

    def handle(self, outgoing: Outgoing) -> None:
        """Write a message; what the disk refuses comes again."""
        name = outgoing.topic.partition("/")[0]
        whole = self._folder / f"{name}.json"
        half = whole.with_suffix(".new")
        half.write_bytes(outgoing.payload)
        half.replace(whole)

    def close(self) -> None:
        """Keep what is there."""


def create(request: SinkRequest) -> LatestOutlet | None:
    """Return the outlet, where a folder is wanted."""
    folder = request.options.folder
    return LatestOutlet(Path(folder)) if folder else None
