"""The number of a picture, written into it: the server writes, a test reads what was delivered.

Twenty blocks in the top left corner, black or white: sixteen bits and a check sum, which no
compression blurs. Standard library only: the server runs in the system's Python.
"""

from __future__ import annotations

BLOCK = 16
"""Pixels a side; a whole number of macroblocks."""
_BITS, _CHECK = 16, 4
WIDTH = BLOCK * (_BITS + _CHECK)
NEUTRAL = 128
"""Of U and V: no colour."""


def bits_of(number: int) -> tuple[bool, ...]:
    """Return the blocks of a picture's number, from the left; True is white."""
    number %= 1 << _BITS
    word = number << _CHECK | _check_sum(number)
    return tuple(bool(word >> place & 1) for place in reversed(range(_BITS + _CHECK)))


def number_of(bits: tuple[bool, ...]) -> int | None:
    """Return the number that the blocks say, None where they contradict themselves."""
    word = sum(1 << place for place, bit in enumerate(reversed(bits)) if bit)
    number = word >> _CHECK
    return number if word & ((1 << _CHECK) - 1) == _check_sum(number) else None


def _check_sum(number: int) -> int:
    """Four bits; never all alike with the number's, so that a grey or black strip is none."""
    return (number * 7 + (number >> 4) * 11 + (number >> 8) * 13 + (number >> 12) * 3 + 5) & 15
