"""Names of events: unique for ever, and in the order of their making (ULID)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 26
_RANDOM_BYTES = 10


def new_id(now: datetime, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """Return 26 digits: 48 bits of milliseconds, 80 of chance.

    A board without a clock of its own tells the wrong time, so the 80 bits alone must be enough.
    The alphabet and layout: https://github.com/ulid/spec.
    """
    milliseconds = round(now.timestamp() * 1000) & (1 << 48) - 1
    number = milliseconds << 80 | int.from_bytes(random_bytes(_RANDOM_BYTES), "big")
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_LENGTH)))
