"""What is in the wheel: the product, and nothing of its laboratory."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parent.parent

# Rooms that are scanned for modules (appliance.extensions.kinds).
SCANNED = ("accelerators", "filters", "sinks", "sources", "telemetry")
# Files that run in a child process by their path, on Pythons that the wheel does not know.
BY_PATH = ("side_engines", "process.child")


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ast.Module]:
    """The modules of a wheel that has been built as `pip` does."""
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    found = {}
    with ZipFile(built) as wheel:
        for name in wheel.namelist():
            if name.endswith(".py"):
                parts = PurePosixPath(name).with_suffix("").parts
                dotted = ".".join(part for part in parts if part != "__init__")
                found[dotted] = ast.parse(wheel.read(name))
    return found


def imported(tree: ast.Module) -> Iterator[str]:
    """Every name that may be a module's: `from a import b` is `a` and `a.b`; so is text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value  # loaded when it is wanted: a verb, an engine in a child


def test_nothing_outside_the_product_is_in_the_wheel_or_imported_by_it(
    modules: dict[str, ast.Module],
) -> None:
    assert {name.partition(".")[0] for name in modules} == {"appliance"}
    laboratory = {"scripts", "tests", "pytest", "hypothesis"}
    borrowed = {
        name: packages
        for name, tree in modules.items()
        if (packages := laboratory & {one.partition(".")[0] for one in imported(tree)})
    }
    assert borrowed == {}


def test_no_module_is_in_the_wheel_that_the_product_does_not_use(
    modules: dict[str, ast.Module],
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project.get("scripts", {}), *project.get("entry-points", {}).values()]
    waiting = {"appliance.__main__"}
    waiting |= {target.partition(":")[0] for group in groups for target in group.values()}
    waiting |= {
        name
        for name in modules
        if name.rpartition(".")[0] in {f"appliance.{room}" for room in SCANNED}
        or any(part in name for part in BY_PATH)
    }
    used: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in modules and name not in used:
            used.add(name)
            waiting |= {*imported(modules[name]), name.rpartition(".")[0]}
    assert sorted(set(modules) - used) == []
