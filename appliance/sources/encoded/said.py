"""What FFmpeg says while it reads and decodes, told apart: something is missing, or it just talks.

Decoders conceal what is damaged; for some (H.265) their words are all there is. The words are
those of FFmpeg 8.1: libavformat/rtpdec.c, rtsp.c, hls.c and mpegts.c, libavcodec's decoders.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    Line = tuple[int, str, str]
    """Level (lower is graver), who says it, and the words."""

ERROR = 16
"""FFmpeg's number for the level (libavutil/log.h)."""
_MISSING = re.compile(
    r"missed -?\d+ packets|max delay reached|packet corrupt|bad cseq|skipping \d+ segments"
    r"|failed to open segment|dropping old packet|PES packet size mismatch",
    re.IGNORECASE,
)
"""What a demuxer says when something did not arrive."""
_TALK = re.compile(
    r"\bSEI\b|\bVUI\b|\bVPS\b|user data|deprecated|Increasing reorder buffer|Reinit context"
    r"|unknown (?:NAL|SEI)|timing info|Skipping unhandled",
    re.IGNORECASE,
)
"""What decoders say of things that touch no pixel: many cameras write such things wrongly."""
_NUMBERS = re.compile(r"-?\b(?:0x)?[0-9a-f]*\d[0-9a-f]*\b", re.IGNORECASE)
_HABIT = 5
"""Key frames in a row that come with the same words: the camera's way, not damage."""


def missing(lines: Iterable[Line], demuxer: str) -> str:
    """Return what a demuxer tells of something missing; empty if nothing.

    The rest of its words stays here: there may be addresses in them.

    Args:
        lines: what was said while a packet was read.
        demuxer: its name; others speak meanwhile, too.
    """
    for level, name, words in lines:
        found = _MISSING.search(words)
        if found:
            return found[0]
        if level <= ERROR and name == demuxer:
            return "a part cannot be read"
    return ""


class DecoderWords:
    """Tells a decoder's words of damage from those with which it greets each of its key frames.

    A key frame lacks nothing from before it. What is said of so many of them in a row, none of
    which the decoder marks, is not damage: such cameras would never show a picture.
    """

    def __init__(self) -> None:
        self._in_a_row: dict[str, int] = {}

    def damage(self, lines: Iterable[Line], *, key: bool, marked: bool, lossless: bool) -> str:
        """Return the words that tell of damage to a packet's picture; empty if there are none.

        Args:
            lines: what was said while it was decoded.
            key: whether it is a key frame.
            marked: whether the decoder marked the picture as damaged.
            lossless: whether nothing was missing on the way to it.
        """
        grave = {
            _NUMBERS.sub("#", words.strip()): words.strip()
            for level, _, words in lines
            if level <= ERROR and not _TALK.search(words)
        }
        if key and not marked and lossless:
            self._in_a_row = {kind: self._in_a_row.get(kind, 0) + 1 for kind in grave}
        return next(
            (words for kind, words in grave.items() if self._in_a_row.get(kind, 0) < _HABIT), ""
        )
