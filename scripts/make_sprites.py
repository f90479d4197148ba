"""Cut the sprites of the synthetic camera out of scikit-image's public-domain photographs.

Usage: python scripts/make_sprites.py appliance/sources/sprites (needs scikit-image; see NOTICE).
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import skimage.data

# An outline where colours do not tell person and background apart.
PERSON = (
    *((155, 110), (160, 60), (195, 28), (245, 25), (285, 50), (302, 100), (295, 160), (320, 200)),
    *((365, 300), (375, 400), (350, 512), (10, 512), (20, 400), (60, 280), (110, 200), (170, 180)),
)
# name: (picture; x, y, width, height of the cut, or an outline; height of the sprite in pixels)
CUTS = {
    "person": (skimage.data.astronaut, PERSON, 300),
    "cat": (skimage.data.chelsea, (30, 0, 370, 300), 240),
    "cup": (skimage.data.coffee, (105, 25, 410, 345), 200),
}


def cut(picture: np.ndarray, where: tuple, height: int) -> np.ndarray:
    """Return BGRA (height, ?, 4): the foreground inside ``where``, the rest transparent."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    alpha = np.zeros(bgr.shape[:2], np.uint8)
    if isinstance(where[0], tuple):
        cv2.fillPoly(alpha, [np.asarray(where, np.int32)], 255)
    else:
        alpha = foreground(bgr, where)
    outlines, _ = cv2.findContours(alpha, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(outlines, key=cv2.contourArea)
    alpha = cv2.drawContours(np.zeros_like(alpha), [largest], -1, 255, cv2.FILLED)
    alpha = cv2.GaussianBlur(alpha, (5, 5), 0)
    ys, xs = np.nonzero(alpha > 127)
    bgra = np.dstack([bgr, alpha])[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    width = round(bgra.shape[1] * height / bgra.shape[0])
    return cv2.resize(bgra, (width, height), interpolation=cv2.INTER_AREA)


def foreground(bgr: np.ndarray, rect: tuple[int, int, int, int]) -> np.ndarray:
    """Return the mask of what stands out inside ``rect``."""
    mask = np.zeros(bgr.shape[:2], np.uint8)
    cv2.setRNGSeed(1)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(bgr, mask, rect, *models, 8, cv2.GC_INIT_WITH_RECT)
    found = (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)
    return np.where(found, 255, 0).astype(np.uint8)


def main() -> None:
    """Write one PNG a sprite."""
    folder = Path(sys.argv[1])
    for name, (load, rect, height) in CUTS.items():
        sprite = cut(load(), rect, height)
        cv2.imwrite(str(folder / f"{name}.png"), sprite, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        print(name, sprite.shape)


if __name__ == "__main__":
    main()
