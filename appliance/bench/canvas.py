"""Two papers to draw on, chosen by a file's ending: SVG, and PNG through OpenCV."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Literal, Protocol

import cv2
import numpy as np

from appliance.errors import UsageError
from appliance.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]
INK = "#212529"
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.38
"""OpenCV's letters at about the 11 pixels of the SVG."""
_DOUBLE = 2
"""A PNG is drawn at twice the size, for screens that show it so."""


class Canvas(Protocol):
    """A white sheet; coordinates in pixels from the top left, colours as #rrggbb."""

    def rectangle(self, corner: Point, size: Point, colour: str) -> None:
        """Fill a rectangle."""

    def line(self, points: Sequence[Point], colour: str, width: float = 1.0) -> None:
        """Draw a line through two or more points."""

    def text(self, at: Point, words: str, *, anchor: Anchor = "start", colour: str = INK) -> None:
        """Write, its base line at ``at``."""

    def save(self, path: Path) -> None:
        """Write the file."""


class SvgCanvas:
    """Draws SVG."""

    def __init__(self, width: int, height: int) -> None:
        self._parts = [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
                'font-family="sans-serif" font-size="11">'
            ),
            f'<rect width="{width}" height="{height}" fill="white"/>',
        ]

    def rectangle(self, corner: Point, size: Point, colour: str) -> None:
        """Fill a rectangle."""
        (x, y), (w, h) = corner, size
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" fill="{colour}"/>'
        )

    def line(self, points: Sequence[Point], colour: str, width: float = 1.0) -> None:
        """Draw a line."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>'
        )

    def text(self, at: Point, words: str, *, anchor: Anchor = "start", colour: str = INK) -> None:
        """Write."""
        self._parts.append(
            f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}" fill="{colour}">'
            f"{escape(words)}</text>"
        )

    def __str__(self) -> str:
        return "\n".join([*self._parts, "</svg>"]) + "\n"

    def save(self, path: Path) -> None:
        """Write the file."""
        write_whole(path, str(self), durable=False)


class PngCanvas:
    """Draws a picture with OpenCV, whose letters are ASCII."""

    def __init__(self, width: int, height: int) -> None:
        self._picture = np.full((height * _DOUBLE, width * _DOUBLE, 3), 255, np.uint8)

    def rectangle(self, corner: Point, size: Point, colour: str) -> None:
        """Fill a rectangle."""
        (x, y), (w, h) = corner, size
        ends = _whole((x, y)), _whole((x + w, y + h))
        cv2.rectangle(self._picture, *ends, _bgr(colour), cv2.FILLED)

    def line(self, points: Sequence[Point], colour: str, width: float = 1.0) -> None:
        """Draw a line."""
        path = np.asarray([_whole(point) for point in points], np.int32)
        thickness = max(1, round(width * _DOUBLE))
        cv2.polylines(
            self._picture, [path], isClosed=False, color=_bgr(colour), thickness=thickness
        )

    def text(self, at: Point, words: str, *, anchor: Anchor = "start", colour: str = INK) -> None:
        """Write."""
        plain = words.replace("°", " deg ").encode("ascii", "replace").decode()
        scale = _FONT_SCALE * _DOUBLE
        (width, _), _ = cv2.getTextSize(plain, _FONT, scale, 1)
        x, y = _whole(at)
        x -= {"start": 0, "middle": width // 2, "end": width}[anchor]
        cv2.putText(self._picture, plain, (x, y), _FONT, scale, _bgr(colour), 1, cv2.LINE_AA)

    def save(self, path: Path) -> None:
        """Write the file."""
        write_whole(path, cv2.imencode(".png", self._picture)[1].tobytes(), durable=False)


def canvas_for(path: Path, width: int, height: int) -> Canvas:
    """Return what draws a file of this ending.

    Raises:
        UsageError: neither .svg nor .png, or there is no such folder.
    """
    check_picture(path)
    return PngCanvas(width, height) if path.suffix == ".png" else SvgCanvas(width, height)


def check_picture(path: Path) -> None:
    """Raise UsageError unless a picture can be written to ``path``."""
    if path.suffix not in {".svg", ".png"}:
        raise UsageError(f"--plot {path}: expected a file ending in .svg or .png")
    if not path.parent.is_dir():
        raise UsageError(f"--plot {path}: {path.parent} is no folder")


def _whole(point: Point) -> tuple[int, int]:
    return round(point[0] * _DOUBLE), round(point[1] * _DOUBLE)


def _bgr(colour: str) -> tuple[int, int, int]:
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)
