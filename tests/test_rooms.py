"""The plan of the house: its rooms, what they import, and that the documents draw it so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scripts import draw_rooms

ROOT = Path(__file__).resolve().parent.parent
MOST_FLAT = 8


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of what the drawing is made from."""
    for name in ("pyproject.toml", draw_rooms.DOCUMENT):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    left_out = shutil.ignore_patterns("__pycache__", "*.png")
    shutil.copytree(ROOT / "appliance", tmp_path / "appliance", ignore=left_out)
    return tmp_path


def test_the_drawing_of_the_rooms_is_what_the_imports_say() -> None:
    text = (ROOT / draw_rooms.DOCUMENT).read_text("utf-8")
    assert text == draw_rooms.drawn(text, ROOT), "the rooms have changed; run `make docs`"


@pytest.mark.parametrize(
    "line",
    [
        "import appliance.heat.governor\n",
        "from appliance import heat\n",
        "def late() -> None:\n    from appliance.heat import Governor\n",
    ],
)
def test_an_arrow_that_is_not_drawn_is_noticed(house: Path, line: str) -> None:
    text = (house / draw_rooms.DOCUMENT).read_text("utf-8")
    assert "heat" not in draw_rooms.imports(house)["sources"]
    path = house / "appliance/sources/synthetic.py"
    path.write_text(path.read_text("utf-8") + "\n\n" + line, "utf-8")
    assert "heat" in draw_rooms.imports(house)["sources"]
    assert draw_rooms.drawn(text, house) != text


def test_a_room_that_is_on_no_floor_is_refused(house: Path) -> None:
    (house / "appliance/cellar").mkdir()
    (house / "appliance/cellar/__init__.py").write_text('"""New."""\n', "utf-8")
    with pytest.raises(SystemExit, match="cellar"):
        draw_rooms.drawing(house)


def test_a_document_without_a_place_for_the_drawing_is_said(house: Path) -> None:
    with pytest.raises(ValueError, match="two comments"):
        draw_rooms.drawn("# Architecture\n", house)


def test_arrows_run_down_only() -> None:
    order = [name for floor in draw_rooms.floors(ROOT) for name in floor]
    level = {name: i for i, floor in enumerate(draw_rooms.floors(ROOT)) for name in floor}
    arrows = draw_rooms.imports(ROOT)
    assert arrows.keys() == set(order)
    assert [(a, b) for a in arrows for b in arrows[a] if level[a] >= level[b]] == []


def test_few_files_lie_flat() -> None:
    assert len(list((ROOT / "appliance").glob("*.py"))) <= MOST_FLAT
