"""How a JPEG is put together, as far as we need it: its segments, and its restart intervals.

A camera that writes a few bytes too many before a marker loses nothing by it, but libjpeg tells
only the first thing that it finds, so a real loss may hide behind them. Each restart interval is
a picture of its own: looked at one by one, none can hide anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

START_OF_SCAN = 0xDA
_BASELINE = (0xC0, 0xC1)
_RESTART_INTERVAL = 0xDD
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a segment."""
END = 0xD9
_IN_SCAN = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_LONGEST_SIDE = 65_500  # of libjpeg


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of the head.

    Attributes:
        marker: its second byte.
        content: what follows the length.
    """

    marker: int
    content: bytes

    @property
    def raw(self) -> bytes:
        """Return it as it stands in the file."""
        return bytes((0xFF, self.marker)) + (len(self.content) + 2).to_bytes(2) + self.content


def segments(jpeg: bytes) -> Iterator[tuple[Segment, int]]:
    """Yield the segments of the head, and where each ends; the start of the scan is the last.

    Ends early where the head is damaged. Bytes between two segments are passed over.
    """
    at = 2
    while (at := jpeg.find(b"\xff", at)) >= 0 and at + 4 <= len(jpeg):
        marker = jpeg[at + 1]
        if marker in {0x00, 0xFF}:
            at += 1
            continue
        if marker == END:
            return
        if marker in _ALONE:
            at += 2
            continue
        length = int.from_bytes(jpeg[at + 2 : at + 4])
        end = at + 2 + length
        if length < 2 or end > len(jpeg):
            return
        yield Segment(marker, jpeg[at + 4 : end]), end
        if marker == START_OF_SCAN:
            return
        at = end


def tidied(jpeg: bytes) -> bytes:
    """Return it without stray bytes in its head."""
    head = list(segments(jpeg))
    if not head or head[-1][0].marker != START_OF_SCAN:
        return jpeg
    return jpeg[:2] + b"".join(one.raw for one, _ in head) + jpeg[head[-1][1] :]


def intervals(jpeg: bytes) -> list[bytes]:
    """Return a picture of each restart interval; none unless it is whole, baseline, in one scan."""
    head = list(segments(jpeg))
    frame = next((one.content for one, _ in head if one.marker in _BASELINE), b"")
    every = next((one.content for one, _ in head if one.marker == _RESTART_INTERVAL), b"")
    if not head or head[-1][0].marker != START_OF_SCAN or len(frame) < 6 or len(every) != 2:
        return []
    count = int.from_bytes(every)
    if not count or head[-1][0].content[:1] != frame[5:6]:
        return []
    pieces = _scan(jpeg, head[-1][1])
    sizes = _sizes(frame, count, len(pieces))
    return [
        b"\xff\xd8" + b"".join(_resized(one, size).raw for one, _ in head) + piece + b"\xff\xd9"
        for piece, size in zip(pieces, sizes, strict=False)
    ]


def _scan(jpeg: bytes, at: int) -> list[bytes]:
    """Return the scan's intervals; none unless their marks are in order and the end is there."""
    found: list[bytes] = []
    for mark in _IN_SCAN.finditer(jpeg, at):
        found.append(jpeg[at : mark.start()])
        if mark[1][0] == END:
            return found
        if mark[1][0] != 0xD0 + (len(found) - 1) % 8:
            return []
        at = mark.end()
    return []


def _sizes(frame: bytes, count: int, pieces: int) -> list[tuple[int, int]]:
    """Return height and width of each interval as a picture; none if their number is wrong."""
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    samplings = frame[7::3][: frame[5]]
    if not height or not width or not samplings:
        return []
    alone = len(samplings) == 1
    across = 8 if alone else 8 * max(one >> 4 for one in samplings)
    down = 8 if alone else 8 * max(one & 15 for one in samplings)
    if not across or not down:
        return []
    blocks = -(-width // across) * -(-height // down)
    if pieces != -(-blocks // count) or count * across > _LONGEST_SIDE:
        return []
    last = blocks - count * (pieces - 1)
    return [(down, across * (count if number < pieces - 1 else last)) for number in range(pieces)]


def _resized(segment: Segment, size: tuple[int, int]) -> Segment:
    if segment.marker not in _BASELINE:
        return segment
    height, width = size
    content = segment.content
    sides = height.to_bytes(2) + width.to_bytes(2)
    return Segment(segment.marker, content[:1] + sides + content[5:])
