"""Break the product in one line at a time and see that the tests notice: tests/mutants.toml.

Each fault is made alone in a copy of the tree, and the tests that should notice run there. One that
survives, or no longer matches exactly once, is a failure; so are tests that fail without any fault.

    python scripts/mutants.py [NAME ...]
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests" / "mutants.toml"
LEFT_OUT = shutil.ignore_patterns(
    ".*", "__pycache__", "dist", "build", "mutants", "node_modules", "*.egg-info"
)
LONGEST_SECONDS = 300.0
"""A fault that makes the tests hang is noticed too; each test has its own limit besides."""
SIDE_BY_SIDE = ("-n", "4", "--dist", "worksteal")
"""All tests at once, without any fault: they wait more than they compute."""
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?)(?: - .*)?$", re.MULTILINE)


class Mutant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fault.

    Attributes:
        name: short and unique.
        file: that it is made in, from the root of the repository.
        replace: the text that goes; it occurs exactly once.
        by: the text that comes instead.
        tests: files of tests, or single ones as pytest names them.
        why: what the product would do with it.
    """

    name: str
    file: str
    replace: str
    by: str
    tests: tuple[str, ...]
    why: str


class Mutants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table."""

    mutant: tuple[Mutant, ...]


@dataclass(frozen=True)
class Verdict:
    """What became of a fault: the first test that noticed it, or what is wrong."""

    mutant: Mutant
    killer: str = ""
    problem: str = ""


def main(names: list[str]) -> int:
    """Try the faults of these names, all without any; return the exit status."""
    mutants = read_table(TABLE)
    unknown = set(names) - {one.name for one in mutants}
    if unknown:
        print(f"no such mutant: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    chosen = [one for one in mutants if not names or one.name in names]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT, symlinks=True)
        sound = unbroken(tree, chosen)
        if sound:
            print(sound, file=sys.stderr)
            return 1
        verdicts = []
        for one in chosen:
            began = time.monotonic()
            verdicts.append(judge(tree, one))
            shown = verdicts[-1].killer or verdicts[-1].problem
            took = f"{time.monotonic() - began:.0f} s"
            print(f"{len(verdicts)}/{len(chosen)} {one.name}: {shown} ({took})", flush=True)
    show(verdicts)
    return any(one.problem for one in verdicts)


def read_table(path: Path) -> tuple[Mutant, ...]:
    """Return the faults of the table.

    Raises:
        ValueError: two have the same name.
    """
    mutants = msgspec.toml.decode(path.read_bytes(), type=Mutants).mutant
    names = [one.name for one in mutants]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{path}: more than one mutant is called {', '.join(sorted(twice))}")
    return mutants


def unbroken(tree: Path, mutants: list[Mutant]) -> str:
    """Return why the tests say nothing of these faults: they fail without them; else nothing."""
    tests = list(dict.fromkeys(test for one in mutants for test in one.tests))
    try:
        failed = run_tests(tree, tests, *SIDE_BY_SIDE)
    except RuntimeError as error:  # a test that is no longer there, for instance
        failed = str(error)
    return f"without any fault: {failed}" if failed else ""


def judge(tree: Path, mutant: Mutant) -> Verdict:
    """Make the fault, run its tests, undo it."""
    path = tree / mutant.file
    sound = path.read_text("utf-8")
    count = sound.count(mutant.replace)
    if count != 1:
        return Verdict(mutant, problem=f"DOES NOT MATCH: found {count} times in {mutant.file}")
    path.write_text(sound.replace(mutant.replace, mutant.by), "utf-8")
    try:
        failed = run_tests(tree, list(mutant.tests))
    finally:
        path.write_text(sound, "utf-8")
    return Verdict(mutant, killer=failed) if failed else Verdict(mutant, problem="SURVIVED")


def run_tests(tree: Path, tests: list[str], *words: str) -> str:
    """Return the first test that fails in the tree; nothing if all pass.

    Args:
        tree: copy of the repository.
        tests: files, or single tests.
        words: for pytest besides.

    Raises:
        RuntimeError: pytest could not run them.
    """
    common = ("-x", "-q", "-p", "no:cacheprovider", "-m", "not slow")
    command = [sys.executable, "-m", "pytest", *common, *words, *tests]
    # A copy's byte code of the same second and size would be taken for the changed file's.
    variables = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=tree,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"nothing within {LONGEST_SECONDS:g} s"
    if done.returncode == 0:
        return ""
    found = _FAILED.search(done.stdout)
    if found:
        return found.group(1)
    if "Timeout" in done.stdout + done.stderr:
        return "a test's limit of time"
    raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def show(verdicts: list[Verdict]) -> None:
    """Print the table."""
    table = Table("mutant", "file", "killed by", title="one-line faults")
    for one in verdicts:
        killer = one.killer.removeprefix("tests/") or f"[bold red]{one.problem}[/]"
        table.add_row(one.mutant.name, one.mutant.file.removeprefix("appliance/"), killer)
    Console(width=160).print(table)
    bad = [one for one in verdicts if one.problem]
    print(f"{len(verdicts) - len(bad)} of {len(verdicts)} killed")
    for one in bad:
        print(f"{one.mutant.name}: {one.problem}: {one.mutant.why}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
