"""Draw the rooms of the product and what each imports, into docs/architecture.md.

Usage: python scripts/draw_rooms.py [--check]

A room is a package below appliance/; the modules that lie flat there are the ground that all stand
on, and are not drawn as arrows. Floors are those of the import contract in pyproject.toml.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = "docs/architecture.md"
BEGIN, END = "<!-- rooms: make docs -->\n", "<!-- end of rooms -->\n"


def imports(root: Path) -> dict[str, set[str]]:
    """Return what each room or flat module imports of the others, at any depth of its files."""
    product = root / "appliance"
    known = {path.stem for path in product.glob("*.py")} - {"__init__", "__main__"}
    known |= {path.parent.name for path in product.glob("*/__init__.py")}
    found: dict[str, set[str]] = {name: set() for name in known}
    for path in product.rglob("*.py"):
        here = path.relative_to(product).with_suffix("").parts[0]
        if here not in known:
            continue
        for name in _imported(ast.parse(path.read_text("utf-8"))):
            parts = name.split(".")
            if parts[0] == "appliance" and len(parts) > 1 and parts[1] in known - {here}:
                found[here].add(parts[1])
    return found


def floors(root: Path) -> list[list[str]]:
    """Return the layers of the import contract, the uppermost first."""
    settings = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    return [[name.strip() for name in layer.split("|")] for layer in layers]


def drawing(root: Path) -> str:
    """Return the drawing: a line a room, floors apart, and its arrows."""
    arrows = imports(root)
    rooms = {path.parent.name for path in (root / "appliance").glob("*/__init__.py")}
    order = [name for floor in floors(root) for name in floor]
    missing = arrows.keys() - set(order)
    if missing:
        raise SystemExit(f"on no floor of the import contract: {', '.join(sorted(missing))}")
    blocks = []
    for floor in floors(root):
        lines = []
        for room in (name for name in floor if name in rooms):
            below = [name for name in order if name in arrows[room] & rooms]
            lines.append(f"{room:<12} ─► {' '.join(below)}".rstrip(" ─►"))
        if lines:
            blocks.append("\n".join(lines))
    flat = [name for name in order if name in arrows and name not in rooms]
    count = sum(len(arrows[room] & rooms) for room in rooms)
    return (
        "```\n" + "\n\n".join(blocks) + "\n```\n\n"
        f"{len(rooms)} rooms, {count} arrows. Below all of them lie flat: "
        + ", ".join(f"`{name}`" for name in flat)
        + ".\n"
    )


def drawn(text: str, root: Path) -> str:
    """Return the document with the drawing of today.

    Raises:
        ValueError: it has no place for one.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT} has lost the two comments that the drawing stands between")
    return f"{head}{BEGIN}\n{drawing(root)}\n{END}{tail}"


def _imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{one.name}" for one in node.names}
    return names


def main() -> int:
    """Return 1 if the drawing is out of date and only checking was asked."""
    path = ROOT / DOCUMENT
    text = path.read_text("utf-8")
    now = drawn(text, ROOT)
    if "--check" in sys.argv and text != now:
        print(f"{DOCUMENT}: the rooms have changed; run `make docs`", file=sys.stderr)
        return 1
    if text != now:
        path.write_text(now, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
