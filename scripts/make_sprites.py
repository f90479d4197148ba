"""Cut the sprites of the synthetic camera out of scikit-image's public-domain photographs.

Usage: python scripts/make_sprites.py appliance/sources/sprites (needs scikit-image; see NOTICE).
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import skimage.data

# name: (picture, x, y, width, height of the cut, height of the sprite in pixels)
CUTS = {
    "person": (skimage.data.astronaut, (18, 2, 400, 508), 300),
    "cat": (skimage.data.chelsea, (30, 0, 370, 300), 240),
    "cup": (skimage.data.coffee, (105, 25, 410, 345), 200),
}


def cut(picture: np.ndarray, rect: tuple[int, int, int, int], height: int) -> np.ndarray:
    """Return BGRA (height, ?, 4): the foreground inside ``rect``, the rest transparent."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    mask = np.zeros(bgr.shape[:2], np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(1)
    cv2.grabCut(bgr, mask, rect, *models, 8, cv2.GC_INIT_WITH_RECT)
    alpha = np.where((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD), 255, 0).astype(np.uint8)
    outlines, _ = cv2.findContours(alpha, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(outlines, key=cv2.contourArea)
    alpha = cv2.drawContours(np.zeros_like(alpha), [largest], -1, 255, cv2.FILLED)
    alpha = cv2.GaussianBlur(alpha, (5, 5), 0)
    ys, xs = np.nonzero(alpha > 127)
    bgra = np.dstack([bgr, alpha])[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    width = round(bgra.shape[1] * height / bgra.shape[0])
    return cv2.resize(bgra, (width, height), interpolation=cv2.INTER_AREA)


def main() -> None:
    """Write one PNG a sprite."""
    folder = Path(sys.argv[1])
    for name, (load, rect, height) in CUTS.items():
        sprite = cut(load(), rect, height)
        cv2.imwrite(str(folder / f"{name}.png"), sprite, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        print(name, sprite.shape)


if __name__ == "__main__":
    main()
