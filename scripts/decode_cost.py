"""CPU of capture and preprocessing of a frame of an encoded file: this commit against another.

Usage: python scripts/decode_cost.py BEFORE [--rounds 7] [--codec libx264] [--size 1920x1080]

Both commits read the same film through their own sources and preprocess each frame for a model of
300x300, in processes of their own that take turns. Printed: CPU milliseconds a frame, the median
of the rounds, and the ratio.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
FRAMES = 150
MEASURE = """
import sys, time
import cv2
import numpy as np
from appliance.clock import SystemClock
from appliance.config import Camera
from appliance.vision.preprocess import Preprocessor, View
from appliance.sources import create_source
cv2.setNumThreads(1)
source = create_source(
    Camera(source="video:" + sys.argv[1]), input_size=(300, 300), clock=SystemClock()
)
source.open()
preprocessor, out = Preprocessor(View(), 300, 300), np.empty((300, 300, 3), np.uint8)
preprocessor.run(source.read(), out)
began, frames = time.process_time(), 0
while (frame := source.read()) is not None:
    preprocessor.run(frame, out)
    frames += 1
print((time.process_time() - began) * 1000 / frames)
"""


def main() -> None:
    """Measure both and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--codec", default="libx264")
    parser.add_argument("--size", default="1920x1080")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder, "film.mp4")
        make(film, options.codec, width, height)
        old = Path(folder, "before")
        git("worktree", "add", "--detach", "--force", str(old), options.before)
        try:
            found: dict[Path, list[float]] = {old: [], ROOT: []}
            for _ in range(options.rounds):
                for tree, its in found.items():
                    its.append(measured(tree, film))
        finally:
            git("worktree", "remove", "--force", str(old))
    before, after = (statistics.median(its) for its in found.values())
    print(f"{cpu()}; {options.codec} {options.size}, {options.rounds} rounds, {FRAMES} frames")
    print(what_pyav_costs())
    print(f"CPU a frame, ms: before {before:.3f}, after {after:.3f}, ratio {after / before:.3f}")


def make(path: Path, codec: str, width: int, height: int) -> None:
    """Write a film with soft shapes, some noise and things that move."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    ground = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)
    ground = cv2.GaussianBlur(ground, (0, 0), 9)
    noise = rng.integers(0, 6, (height, width, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast"}
        for number in range(FRAMES):
            picture = ground + np.roll(noise, 97 * number, (0, 1))
            for which in range(6):
                centre = ((which * 300 + 9 * number) % width, height * (which + 1) // 7)
                cv2.circle(picture, centre, height // 12, (40 * which, 90, 220), -1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())


def measured(tree: Path, film: Path) -> float:
    """Return the CPU milliseconds a frame that a tree needs."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(film)],
        cwd=tree,
        env={"PYTHONPATH": str(tree), "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def what_pyav_costs() -> str:
    """Return what PyAV takes on disk, and of memory once it is imported."""
    import_it = (
        "from pathlib import Path; import numpy, cv2, appliance.daemon.wiring\n"
        "held = lambda: int(Path('/proc/self/statm').read_text().split()[1]) * 4096 / 1e6\n"
        "before = held(); import av; print(held() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", import_it], check=True, capture_output=True, text=True, cwd=ROOT
    )
    package = Path(av.__file__).parent
    folders = (package, package.with_name("av.libs"))
    files = [one for folder in folders for one in folder.rglob("*") if one.is_file()]
    size = sum(one.stat().st_size for one in files) / 1e6
    return f"PyAV {av.__version__}: {size:.0f} MB on disk, {float(done.stdout):.0f} MB of memory"


def git(*words: str) -> None:
    """Run git here."""
    subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True)


def cpu() -> str:
    """Return the CPU's name."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU"
    )


if __name__ == "__main__":
    main()
