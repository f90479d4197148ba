"""Prepares a flashed card at each boot, as root, before broker and daemon start.

What the owner put on the boot partition (which any computer can write) becomes configuration; a
broker with accounts of its own is made; nothing that fails here keeps the rest from running.
"""

from appliance.setup.layout import Layout
from appliance.setup.prepare import prepare

__all__ = ["Layout", "prepare"]
