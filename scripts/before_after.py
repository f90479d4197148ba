"""What did a change bring? Benches two commits of this repository in turns and prints both sides.

Usage: python scripts/before_after.py BEFORE AFTER [bench options, default --preload --frames 300]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_run import bench

ROUNDS = 5
DEFAULT = ["--preload", "--frames", "300", "--workers", "2", "--threads", "1"]
KEYS = {
    "end-to-end FPS": ("e2e_fps", 1.0),
    "efficiency": ("efficiency", 1.0),
    "CPU ms a frame": ("cpu_seconds_per_frame", 1000.0),
}


def main() -> None:
    """Check both out, alternate, print."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sides = dict(zip(("before", "after"), sys.argv[1:3], strict=True))
    words = sys.argv[3:] or DEFAULT
    with tempfile.TemporaryDirectory() as folder:
        trees = {side: check_out(commit, Path(folder, side)) for side, commit in sides.items()}
        try:
            runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
            for _ in range(ROUNDS):
                for side, tree in trees.items():
                    runs[side].append(bench(*words, state=Path(folder), tree=tree))
        finally:
            for tree in trees.values():
                git("worktree", "remove", "--force", str(tree))
    print(f"| {' '.join(words)} | before ({sides['before']}) | after ({sides['after']}) | ratio |")
    print("|---|---|---|---|")
    for title, (key, factor) in KEYS.items():
        before, after = ([one[key] * factor for one in runs[side]] for side in ("before", "after"))
        ratio = statistics.median(b / a for a, b in zip(before, after, strict=True))
        shown = [f"{statistics.median(its):.3f}" for its in (before, after)]
        print(f"| {title} | {shown[0]} | {shown[1]} | {ratio:.3f} |")


def check_out(commit: str, folder: Path) -> Path:
    """Return a tree of ``commit``."""
    git("worktree", "add", "--quiet", "--detach", str(folder), commit)
    return folder


def git(*words: str) -> None:
    """Run git."""
    subprocess.run(["git", *words], check=True)


if __name__ == "__main__":
    main()
