"""The serial messages of JeVois cameras ("standardised serial messages"), as pure functions.

Source: jevois/jevois, doc/UserCli.dox and src/jevois/Util/Coordinates.C. Coordinates run from -1000
to 1000 from left to right and from -750 to 750 from top to bottom, whatever the picture's size: the
A33 divides by a constant (JEVOIS_CAMERA_ASPECT, 4:3), not by the picture's proportion. Styles: N
normal (centre and size), D detail (four corners, may be turned), F fine (n corners); 2 for two
dimensions. ``id`` is ``category`` or ``category:score``.
"""

from __future__ import annotations

from dataclasses import dataclass

WIDE, TALL = 1000.0, 750.0
"""The furthest coordinates from the middle, to the right and down."""
MARKS = ("MARK START", "MARK STOP")


@dataclass(frozen=True, slots=True)
class JeVoisObject:
    """One object: label, score 0..1 (1 where none was given), xmin, ymin, xmax, ymax in 0..1."""

    label: str
    score: float
    box: tuple[float, float, float, float]


def parse_line(line: str) -> JeVoisObject | None:
    """Return the object a message tells of, or None for any other line.

    Args:
        line: without its end; a stamp in front is allowed.
    """
    words = line.split()
    while words and words[0] not in {"N2", "D2", "F2"}:
        words = words[1:]
    if not words:
        return None
    try:
        corners = _corners(words)
        label, score = _identity(words[1])
    except (IndexError, ValueError):
        return None
    xs = [(x / WIDE + 1) / 2 for x, _ in corners]
    ys = [(y / TALL + 1) / 2 for _, y in corners]
    return JeVoisObject(label, score, (min(xs), min(ys), max(xs), max(ys)))


def parse_mark(line: str) -> str:
    """Return the mark a line is, without the module's stamp in front of it; empty for others."""
    return next((mark for mark in MARKS if line == mark or line.endswith(f" {mark}")), "")


def _corners(words: list[str]) -> list[tuple[float, float]]:
    if words[0] == "N2":
        x, y, width, height = (float(word) for word in words[2:6])
        return [(x - width / 2, y - height / 2), (x + width / 2, y + height / 2)]
    first, count = (2, 4) if words[0] == "D2" else (3, int(words[2]))
    numbers = [float(word) for word in words[first : first + 2 * count]]
    if len(numbers) != 2 * count or count < 2:
        raise ValueError("a message is cut")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _identity(text: str) -> tuple[str, float]:
    """Return label and score of ``category`` or ``category:score`` (0..100); spaces are ``_``."""
    label, separator, score = text.rpartition(":")
    if not separator:
        return text.replace("_", " "), 1.0
    return label.replace("_", " "), min(max(float(score) / 100, 0.0), 1.0)
