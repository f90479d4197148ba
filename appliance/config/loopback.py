"""Whether an address is this machine's alone."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches it; of names, ``localhost`` alone is sure."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
