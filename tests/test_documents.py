"""What the documents tell people to type works: commands, options, settings, files."""

from __future__ import annotations

import argparse
import re
from importlib import import_module
from pathlib import Path

import pytest

from appliance.cli import VERBS
from appliance.config import load

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "models/README.md",
]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split())
PLACES = ROOT, ROOT / "appliance"
MADE = "models/out/"
"""What a command makes."""
BLOCK = re.compile(r"^\s*```(\w*)\n(.*?)^\s*```", re.MULTILINE | re.DOTALL)


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code(path: Path) -> list[str]:
    """Return every line of a document that is code, inline or in a block."""
    text = path.read_text()
    blocks = [line for _, block in BLOCK.findall(text) for line in block.splitlines()]
    return [*blocks, *re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_make_is_a_target(path: Path) -> None:
    made = [re.match(r"(?:\$ )?make ([a-z][\w-]*)", line) for line in code(path)]
    assert {found[1] for found in made if found} <= TARGETS


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_verb_and_option_is_there(path: Path) -> None:
    for line in code(path):
        found = re.match(r"(?:\$ |sudo )*(?:\.venv/bin/)?appliance ([a-z]+)\b(.*)", line)
        if not found:
            continue
        verb, words = found[1], found[2].partition("#")[0]
        assert verb in VERBS, line
        parser = argparse.ArgumentParser()
        parser.add_argument("-v", "--verbose", action="store_true")
        import_module(VERBS[verb][0]).add_arguments(parser)
        options = {one for action in parser._actions for one in action.option_strings}
        subparsers = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
        for one in (inner for sub in subparsers for inner in sub.choices.values()):
            options |= {word for action in one._actions for word in action.option_strings}
        assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", words)) <= options, line


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_piece_of_configuration_is_taken(path: Path, tmp_path: Path) -> None:
    for number, block in enumerate(
        re.findall(r"^```toml\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    ):
        file = tmp_path / f"{number}.toml"
        file.write_text(block)
        load(file)


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_file_that_is_named_is_there(path: Path) -> None:
    text = path.read_text()
    linked = {one for one in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) if one}
    assert not [one for one in linked if not (path.parent / one).exists()]
    named = re.findall(r"`((?:config|deploy|docs|models|scripts|tests)/[\w./-]+\.\w+)`", text)
    missing = [one for one in named if not any((top / one).exists() for top in PLACES)]
    assert not [one for one in missing if not one.startswith(MADE)]


def test_the_commands_that_make_cards_are_those_that_the_boards_were_started_from() -> None:
    readme = (ROOT / "README.md").read_text()
    section = readme.split("## Flash it")[1].split("\n## ")[0]
    run = (ROOT / "tests/image/run.sh").read_text()
    commands = set(re.findall(r"`(make [^`]+)`", section))
    assert commands == {"make boot-kit", "make image BASE=FILE", "make image BASE=debian"}
    for command in commands:
        assert command.replace("FILE", "dist/standin/base.img") in run, command
