"""Pictures, videos and models that the tests use and the repository does not hold.

They are looked for in ``APPLIANCE_TEST_DATA``, else beside the repository (``../shared/data``),
else where ``make test-data`` puts what a public package has: labelled pictures only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from tests.helpers import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FETCHED = ROOT / "build/test-data"
FREE_PICTURES = "coco-free/val2017"
PEOPLE = f"{FREE_PICTURES}/000000474028.jpg"
"""A football match."""


@dataclass(frozen=True)
class Samples:
    """A folder of them; a test that asks for what it lacks is skipped with the file's name."""

    folder: Path

    def __truediv__(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            pytest.skip(f"{name} is not in {self.folder}; APPLIANCE_TEST_DATA may name another one")
        return path

    def first(self, *names: str) -> Path:
        """Return the first of these that is here."""
        for name in names:
            if (self.folder / name).exists():
                return self.folder / name
        return self / names[0]


def find_samples(environ: Mapping[str, str], root: Path) -> Samples:
    named = environ.get("APPLIANCE_TEST_DATA")
    places = [root / named] if named else [root.parent / "shared/data", root / "build/test-data"]
    for folder in places:
        if folder.is_dir():
            return Samples(folder)
    if named:
        pytest.skip(f"no test data: APPLIANCE_TEST_DATA={named} is no folder")
    pytest.skip("no test data: `make test-data` fetches labelled pictures")


def fetched_samples() -> Samples:
    """Return what ``make test-data`` fetched, whatever else there is."""
    if not FETCHED.is_dir():
        pytest.skip("no labelled pictures: `make test-data` fetches them")
    return Samples(FETCHED)


@dataclass(frozen=True)
class Video:
    path: Path
    frames: int
    width: int
    height: int
    frames_with_people: int
    """At least."""


def find_video(data: Samples, folder: Path) -> Video:
    """Return OpenCV's street with people, or one made of the labelled pictures."""
    street = data.folder / "video/vtest.avi"
    if street.exists():
        return Video(street, frames=795, width=768, height=576, frames_with_people=400)
    return pan(data / PEOPLE, folder / "pan.avi", frames=1200)


def pan(picture: Path, path: Path, *, frames: int, width: int = 480, height: int = 360) -> Video:
    """Let a camera swing to and fro over ``picture``, so that every frame differs from the last."""
    photograph = cv2.imread(str(picture))
    assert photograph is not None
    spare = np.asarray(photograph.shape[1::-1]) - (width, height)
    out = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (width, height))
    assert out.isOpened()
    for number in range(frames):
        swing = 1 - np.cos(number / 20)
        x, y = (spare * swing / 2).astype(int)
        out.write(np.ascontiguousarray(photograph[y : y + height, x : x + width]))
    out.release()
    return Video(path, frames, width, height, frames_with_people=frames * 9 // 10)
