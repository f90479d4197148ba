"""Run the mutation tool and hold its score, module by module, against what is kept.

Mutants that do not type-check are none: `make check` refuses them before any test runs. What the
tests let live is explained in tests/survivors.toml, or listed here as unexplained.

    python scripts/mutation.py [--report] [appliance.pipeline.exchange ...]

Options:
    --report: judge the results that are there, run nothing.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "mutants"
SURVIVORS = ROOT / "tests" / "survivors.toml"
LEAST = 0.85
"""Share of the mutants of each module that the tests must kill."""
AT_ONCE = 2
_KILLED = ("killed", "timeout", "segfault")
_NO_MUTANTS = ("caught by type check", "skipped")


@dataclass(frozen=True)
class Score:
    """What became of a module's mutants."""

    module: str
    killed: int
    total: int
    survivors: tuple[str, ...]

    @property
    def share(self) -> float:
        """Return the share that was killed; of none, all."""
        return self.killed / self.total if self.total else 1.0


def main() -> int:
    """Return the exit status: 1 if a module's score is too low."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("modules", nargs="*", help="appliance.heat.governor, appliance.heat.*, ...")
    arguments = parser.parse_args()
    os.chdir(ROOT)  # the tool looks for its configuration and results there
    if not arguments.report:
        wanted = [f"{module}.*" for module in arguments.modules]
        command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(AT_ONCE), *wanted]
        # Type checker and tests come from this environment.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        subprocess.run(command, check=True, env={**os.environ, "PATH": path})
    scores = list(read_scores(arguments.modules))
    reasons = read_reasons(SURVIVORS)
    for one in scores:
        print(f"{one.module:<34} {one.killed:5} of {one.total:5}  {one.share:7.1%}")
    killed, total = sum(one.killed for one in scores), sum(one.total for one in scores)
    everything = f"{killed / total:7.1%}" if total else "nothing was run"
    print(f"{'all':<34} {killed:5} of {total:5}  {everything}")
    alive = [one for score in scores for one in score.survivors]
    unexplained = [one for one in alive if one not in reasons]
    print(f"{len(alive)} survive, {len(unexplained)} of them unexplained:")
    print("\n".join(unexplained))
    low = [one.module for one in scores if one.share < LEAST]
    if low:
        print(f"below {LEAST:.0%}: {', '.join(low)}")
    return bool(low) or not total


def read_scores(wanted: list[str]) -> list[Score]:
    """Return the scores of the modules that were run to their end."""
    scores = []
    for path in sorted(RESULTS.glob("appliance/**/*.meta")):
        module = ".".join(path.relative_to(RESULTS).with_suffix("").with_suffix("").parts)
        if wanted and not any(fnmatch.fnmatch(module, one) for one in wanted):
            continue
        codes = json.loads(path.read_text("utf-8"))["exit_code_by_key"]
        statuses = {key: status_by_exit_code[code] for key, code in codes.items()}
        counts = Counter(statuses.values())
        if not counts or counts["not checked"]:
            continue
        total = counts.total() - sum(counts[status] for status in _NO_MUTANTS)
        killed = sum(counts[status] for status in _KILLED)
        others = {*_KILLED, *_NO_MUTANTS}
        file = path.relative_to(RESULTS).with_suffix("")
        survivors = [shown(key, file) for key, status in statuses.items() if status not in others]
        scores.append(Score(module, killed, total, tuple(survivors)))
    return scores


def shown(key: str, file: Path) -> str:
    """Return a mutant as one line: the function, and what was changed in it into what."""
    place = re.sub(r"\.x_?(.*)__mutmut_\d+$", r".\1", key.replace("ǁ", "."))
    place = place.replace("..", ".").removeprefix("appliance.")
    diff = get_diff_for_mutant(key, path=file).splitlines()[2:]
    gone = " ".join(line[1:].strip() for line in diff if line.startswith("-"))
    come = " ".join(line[1:].strip() for line in diff if line.startswith("+"))
    return f"{place}: {gone} -> {come}"


def read_reasons(path: Path) -> dict[str, str]:
    """Return why each known survivor may live."""
    table = tomllib.loads(path.read_text("utf-8"))
    return {one: group["why"] for group in table["reason"] for one in group["survivors"]}


if __name__ == "__main__":
    sys.exit(main())
