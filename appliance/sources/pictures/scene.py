"""The synthetic scene: sprites that move on fixed paths, with the true boxes at any instant.

Positions are functions of time alone, so a scene with the same size and seed is the same film at
any frame rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.errors import MediaError

if TYPE_CHECKING:
    from appliance.values import Pixels

SPRITES = ("person", "cat", "cup")
SPRITE_SHARE = 0.6
"""Height of the tallest sprite as a share of the picture's height."""
_TALLEST = 300


@dataclass(frozen=True, slots=True)
class TrueBox:
    """Where an object really is: label, and x, y, w, h in 0..1 of the picture."""

    label: str
    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True, slots=True)
class _Actor:
    label: str
    colour: Pixels
    mask: Pixels
    phase: tuple[float, float]
    period: tuple[float, float]


class Scene:
    """Renders the scene at any time into a BGR picture.

    Args:
        width, height: of the picture, pixels.
        seed: chooses background and paths.
    """

    def __init__(self, width: int, height: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self._size = (width, height)
        self._background = _background(width, height, random)
        self._actors = tuple(self._actor(name, random) for name in SPRITES)

    def render(self, seconds: float, out: Pixels) -> tuple[TrueBox, ...]:
        """Draw the scene at ``seconds`` into ``out``, uint8 BGR (height, width, 3).

        Returns:
            The true boxes, nearest object last.
        """
        np.copyto(out, self._background)
        boxes = []
        width, height = self._size
        for actor in self._actors:
            x, y, w, h = self._place(actor, seconds)
            cv2.copyTo(actor.colour, actor.mask, dst=out[y : y + h, x : x + w])
            boxes.append(TrueBox(actor.label, x / width, y / height, w / width, h / height))
        return tuple(boxes)

    def _place(self, actor: _Actor, seconds: float) -> tuple[int, int, int, int]:
        h, w = actor.colour.shape[:2]
        width, height = self._size
        floor = round(height * 0.85)  # leaves the timecode free
        room = (max(0, width - w), max(0, floor - h))
        x, y = (
            round(free * (0.5 + 0.5 * np.sin(2 * np.pi * (seconds / period + phase))))
            for free, period, phase in zip(room, actor.period, actor.phase, strict=True)
        )
        return x, y, w, h

    def _actor(self, name: str, random: np.random.Generator) -> _Actor:
        bgra = _load_sprite(name)
        scale = SPRITE_SHARE * self._size[1] / _TALLEST
        w = min(self._size[0], max(2, round(bgra.shape[1] * scale)))
        h = min(round(self._size[1] * 0.85), max(2, round(bgra.shape[0] * scale)))
        small = cv2.resize(bgra, (w, h), interpolation=cv2.INTER_AREA)
        periods = random.uniform(7, 17, 2)
        phases = random.uniform(0, 1, 2)
        return _Actor(
            name,
            np.ascontiguousarray(small[..., :3]),
            np.where(small[..., 3] > 127, 255, 0).astype(np.uint8),
            (float(phases[0]), float(phases[1])),
            (float(periods[0]), float(periods[1])),
        )


def _background(width: int, height: int, random: np.random.Generator) -> Pixels:
    """Return soft clouds of muted colour: structure for the detector to ignore."""
    coarse = random.integers(90, 170, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _load_sprite(name: str) -> Pixels:
    content = files("appliance.sources").joinpath("sprites", f"{name}.png").read_bytes()
    bgra = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if bgra is None or bgra.ndim != 3 or bgra.shape[2] != 4:
        raise MediaError(f"sprite {name}.png is damaged", hint="reinstall the appliance")
    return np.asarray(bgra, np.uint8)
