"""What a room holds: the modules that lie in it, and what other packages add by entry points.

Cameras, accelerators, sinks, filters and collectors are rooms of this sort: a module in one is a
kind, called as its file, found because it is there. What several kinds share lies in a package
inside the room, or in a module whose name begins with an underscore. A package that adds a kind
of camera says so in its ``pyproject.toml``::

    [project.entry-points."appliance.sources"]
    thermal = "thermal_camera"

and is found once it is installed beside the appliance. Ours cannot be replaced.
"""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from importlib.metadata import EntryPoint

log = logging.getLogger(__name__)


@cache
def kinds(room: str) -> Mapping[str, str]:
    """Return name and place of every kind in a room, ours first, each by name.

    Looked up once in a process: what is installed later is found at the next start.

    Args:
        room: its package, such as ``appliance.sinks``; also the group of entry points.
    """
    here = iter_modules(import_module(room).__path__)
    ours = {
        one.name: f"{room}.{one.name}"
        for one in here
        if not one.ispkg and not one.name.startswith("_")
    }
    found = {**dict(sorted(ours.items())), **dict(sorted(added(room, ours).items()))}
    return MappingProxyType(found)


def load(place: str) -> Any:
    """Return what lies at a place: a module, or what ``module:name`` names.

    Raises:
        ImportError, AttributeError: it cannot be loaded, for one's own reasons or another's.
    """
    module, _, name = place.partition(":")
    found = import_module(module)
    return getattr(found, name) if name else found


def added(group: str, ours: Container[str]) -> dict[str, str]:
    """Return name and place (``module`` or ``module:name``) of what others add to a group.

    Args:
        group: of entry points.
        ours: names that are taken.
    """
    found: dict[str, str] = {}
    for entry in sorted(entry_points(group=group), key=_is_of_others):
        if entry.name in ours or entry.name in found:
            where = entry.dist.name if entry.dist else entry.value
            log.warning("%s: %r of package %s is left out: it is taken", group, entry.name, where)
            continue
        found[entry.name] = entry.value
    return found


def _is_of_others(entry: EntryPoint) -> bool:
    """Say whether a package adds it that is not ours; ``appliance.legacy`` comes this way, too."""
    return not entry.value.startswith("appliance.")
