"""The packaged program on emulated processors of the boards sees what it sees here.

Usage: python tests/image/parity.py PACKAGE_arm64.deb BASE.tar

Shows that nothing in the wheels needs instructions that a Raspberry Pi 3 (Cortex-A53) or 4 (A72)
does not have, and that the numbers agree. Times mean nothing: the processor is emulated.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from appliance.sources.pictures.scene import Scene

PROCESSORS = ("cortex-a53", "cortex-a72")
MOST_BOX, MOST_SCORE = 0.02, 0.03
WORDS = ("--accelerator", "cpu", "--threshold", "0.4", "--json")


def picture(path: Path) -> None:
    """Write an instant of the synthetic scene."""
    pixels = np.zeros((480, 640, 3), np.uint8)
    Scene(640, 480, seed=1).render(2.0, pixels)
    cv2.imwrite(str(path), pixels)


def seen(words: list[str], **environment: str) -> list[dict[str, Any]]:
    """Return what the program detects."""
    done = subprocess.run(
        words, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"FAILED: {done.returncode}: {done.stderr[-500:]}")
    found: list[dict[str, Any]] = json.loads(done.stdout)["detections"]
    return sorted(found, key=lambda one: (one["label"], one["box"]["x"]))


def differences(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[str]:
    """Return in what two results differ."""
    labels = [[one["label"] for one in found] for found in (ours, theirs)]
    if labels[0] != labels[1]:
        return [f"labels {labels[0]} here, {labels[1]} there"]
    faults = []
    for a, b in zip(ours, theirs, strict=True):
        if abs(a["score"] - b["score"]) > MOST_SCORE:
            faults.append(f"{a['label']}: score {a['score']} here, {b['score']} there")
        if any(abs(a["box"][key] - b["box"][key]) > MOST_BOX for key in "xywh"):
            faults.append(f"{a['label']}: box {a['box']} here, {b['box']} there")
    return faults


def main() -> None:
    """Compare on each processor."""
    package, base = Path(sys.argv[1]), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        subprocess.run(["tar", "-xf", base, "-C", root, "--exclude=./dev/*"], check=True)
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
        picture(root / "picture.png")
        ours = seen(
            [sys.executable, "-m", "appliance", "detect", str(root / "picture.png"), *WORDS]
        )
        assert ours, "nothing is seen here: the comparison would say nothing"
        for processor in PROCESSORS:
            words = ["chroot", str(root), "/usr/bin/appliance", "detect", "/picture.png", *WORDS]
            faults = differences(ours, seen(words, QEMU_CPU=processor))
            if faults:
                sys.exit(f"FAILED on {processor}: {'; '.join(faults)}")
            print(f"== {processor}: the same {len(ours)} objects as here", flush=True)


if __name__ == "__main__":
    main()
