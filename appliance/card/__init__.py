"""Prepares a flashed card at each boot, as root, before broker and daemon start.

What the owner put on the boot partition (which any computer can write) becomes configuration; a
broker with accounts of its own is made; nothing that fails here keeps the rest from running.
"""

from appliance.card.paths import CardPaths
from appliance.card.prepare import prepare

__all__ = ["CardPaths", "prepare"]
