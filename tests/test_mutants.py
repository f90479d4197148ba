"""The table of faults fits the product, and its command tells a fault that survives from others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts import mutants
from tests.helpers import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("mutant", mutants.read_table(mutants.TABLE), ids=lambda one: one.name)
def test_each_fault_can_be_made_and_has_tests_that_should_notice(mutant: mutants.Mutant) -> None:
    text = (ROOT / mutant.file).read_text("utf-8")
    assert text.count(mutant.replace) == 1
    compile(text.replace(mutant.replace, mutant.by), mutant.file, "exec")
    assert mutant.tests
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / path).read_text("utf-8")


@pytest.mark.timeout(300)  # it starts pytest four times
def test_what_survives_or_does_not_match_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "thing.py").write_text("def twice(x: int) -> int:\n    return 2 * x\n")
    (tree / "test_thing.py").write_text(
        "from thing import twice\n\ndef test_twice() -> None:\n    assert twice(2) == 4\n"
    )
    row = (
        "[[mutant]]\nname='{}'\nfile='thing.py'\nreplace='{}'\nby='{}'\n"
        "tests=['test_thing.py']\nwhy='{}'\n"
    )
    rows = [
        row.format("killed", "2 * x", "3 * x", "wrong"),
        row.format("survives", "2 * x", "x + 2", "wrong for most"),
        row.format("stale", "4 * x", "x", "nothing"),
    ]
    table = tree / "mutants.toml"
    table.write_text("\n".join(rows))
    monkeypatch.setattr(mutants, "ROOT", tree)
    monkeypatch.setattr(mutants, "TABLE", table)
    assert mutants.main([]) == 1
    told = capsys.readouterr().out
    assert "1/3 killed: test_thing.py::test_twice" in told
    assert "survives: SURVIVED: wrong for most" in told
    assert "stale: DOES NOT MATCH: found 0 times in thing.py" in told
    assert "1 of 3 killed" in told
    assert (tree / "thing.py").read_text().endswith("2 * x\n")  # the tree itself is untouched
    assert mutants.main(["another"]) == 2
    (tree / "test_thing.py").write_text("def test_twice() -> None:\n    assert False\n")
    assert mutants.main(["killed"]) == 1
    assert "without any fault: test_thing.py::test_twice" in capsys.readouterr().err
