"""Waiting between attempts: exponential with jitter, so that many units do not align."""

from __future__ import annotations

import random


class Backoff:
    """Yields how long to wait before the next attempt.

    Args:
        first_seconds: ceiling of the first wait.
        longest_seconds: ceiling of all waits.
        source: of randomness, for tests.
    """

    def __init__(
        self,
        first_seconds: float,
        longest_seconds: float,
        source: random.Random | None = None,
    ) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._random = source or random.Random()  # noqa: S311 - jitter, not a secret
        self._attempts = 0

    def next(self) -> float:
        """Return seconds in ceiling/2..ceiling; the ceiling doubles each time."""
        ceiling = min(self._longest, self._first * 2.0**self._attempts)
        self._attempts = min(self._attempts + 1, 32)
        return self._random.uniform(ceiling / 2, ceiling)

    def reset(self) -> None:
        """Begin anew: an attempt succeeded."""
        self._attempts = 0
