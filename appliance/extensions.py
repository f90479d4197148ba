"""What other packages add to our rooms, found by their entry points (``project.entry-points``).

A package that adds a kind of camera says so in its ``pyproject.toml``::

    [project.entry-points."appliance.sources"]
    thermal = "thermal_camera"

and is found once it is installed beside the appliance. Ours cannot be replaced.
"""

from __future__ import annotations

import logging
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

log = logging.getLogger(__name__)


def added(group: str, ours: Container[str]) -> dict[str, str]:
    """Return name and place (``module`` or ``module:name``) of what others add to a group.

    Args:
        group: of entry points.
        ours: names that are taken.
    """
    found: dict[str, str] = {}
    for entry in entry_points(group=group):
        if entry.name in ours or entry.name in found:
            where = entry.dist.name if entry.dist else entry.value
            log.warning("%s: %r of package %s is left out: it is taken", group, entry.name, where)
            continue
        found[entry.name] = entry.value
    return found
