"""What docs/architecture.md draws and pyproject.toml states is what the modules import.

Nothing here knows the name of a room: they are read from diagrams, table, contract and files.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = "cbam_viz"
TEXT = (ROOT / "docs" / "architecture.md").read_text("utf-8")
BOX = re.compile(r'(\w+)\["([^"]*)"\]')
CHARTS = re.findall(r"```mermaid\n(.*?)```", TEXT, re.DOTALL)


def rooms(folder: Path) -> set[str]:
    """The folders and modules in a package's folder, as imports have them."""
    found = {file.stem for file in folder.glob("*.py")}
    found |= {file.parent.name for file in folder.glob("*/__init__.py")}
    return found - {"__init__"}


def imported(node: ast.AST, package: list[str]) -> Iterator[str]:
    """What a piece of code imports, but for what only type checkers see; `package` holds it."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        yield from (f"{module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imported(child, package)


@cache
def imports(folder: Path) -> frozenset[tuple[str, str]]:
    """Pairs of rooms of a package, the first of which imports the second."""
    known, name = rooms(folder), ".".join(folder.relative_to(ROOT).parts)
    found = set()
    for file in folder.rglob("*.py"):
        of = file.relative_to(folder).with_suffix("").parts[0]
        if of not in known:
            continue  # the package's own face, and folders of other things
        package = list(file.relative_to(ROOT).parent.parts)
        for module in imported(ast.parse(file.read_text("utf-8")), package):
            what = module.removeprefix(f"{name}.").partition(".")[0]
            if module.startswith(f"{name}.") and what in known and what != of:
                found.add((of, what))
    return frozenset(found)


def arrows(chart: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]], set[str]]:
    """Arrows and dotted arrows of a diagram between what its boxes are called, and all boxes."""
    called = {key: label.partition("<br>")[0].rstrip("/") for key, label in BOX.findall(chart)}
    called = {key: label.removesuffix(".py") for key, label in called.items()}
    solid, dotted = [], []
    for line in chart.splitlines()[1:]:
        parts = re.split(r"\s*(-->|-\..*?\.->)\s*", BOX.sub(r"\1", line).strip())
        for left, arrow, right in zip(parts[::2], parts[1::2], parts[2::2], strict=False):
            pairs = [(called[a], called[b]) for a in left.split(" & ") for b in right.split(" & ")]
            (solid if arrow == "-->" else dotted).extend(pairs)
    return solid, dotted, set(called.values())


def folder_of(boxes: set[str]) -> Path:
    """The package whose rooms a diagram shows: the one that has most of its boxes."""
    packages = [ROOT / PACKAGE, *(file.parent for file in (ROOT / PACKAGE).glob("*/__init__.py"))]
    return max(packages, key=lambda folder: len(rooms(folder) & boxes))


def reached(start: str, edges: set[tuple[str, str]]) -> set[str]:
    """All that the edges lead to from there."""
    found, left = set(), [start]
    while left:
        here = left.pop()
        new = {b for a, b in edges if a == here} - found
        found |= new
        left += new
    return found


def layers() -> list[list[str]]:
    """The contract's layers, from the top."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = (
        one
        for one in settings["tool"]["importlinter"]["contracts"]
        if one["type"] == "layers" and one["containers"] == [PACKAGE]
    )
    return [layer.split(" | ") for layer in contract["layers"]]


def height() -> dict[str, int]:
    """Of every room: the number of its layer, from the top."""
    return {room: number for number, layer in enumerate(layers()) for room in layer}


def test_every_file_that_the_documentation_names_is_there() -> None:
    """Names with a folder in them; `pages/NAME/` and other patterns have capital letters."""
    for page in ("where-to-change.md", "architecture.md"):
        text = (ROOT / "docs" / page).read_text("utf-8")
        named = re.findall(r"`((?:[\w.-]+/)+(?:[\w-]+\.\w+)?)`", text)
        named = [name for name in named if name == name.lower()]
        assert len(named) > 3
        bases = (ROOT, ROOT / PACKAGE, ROOT / PACKAGE / "ui")
        missing = [name for name in named if not any((base / name).exists() for base in bases)]
        assert not missing, page


def test_ten_changes_are_answered_each_by_files_and_a_test() -> None:
    text = (ROOT / "docs" / "where-to-change.md").read_text("utf-8")
    rows = re.findall(r"^\| (?!to add|---)([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    assert len(rows) >= 10
    for change, answer in rows:
        assert re.search(r"`cbam_viz/|`\.streamlit/", answer), change
        assert re.search(r"`tests/[\w/]+\.py`$", answer), change


def test_imports_are_found_wherever_they_stand() -> None:
    code = """
import a.b
from c import d as other
from . import beside
from ..above import thing
if TYPE_CHECKING:
    from never import seen
def late():
    from e.f import g
"""
    found = set(imported(ast.parse(code), ["top", "inner"]))
    assert found == {"a.b", "c.d", "top.inner.beside", "top.above.thing", "e.f.g"}


@pytest.mark.parametrize("chart", CHARTS, ids=range(len(CHARTS)))
def test_every_arrow_is_an_import_and_every_import_follows_arrows(chart: str) -> None:
    solid, dotted, boxes = arrows(chart)
    folder = folder_of(boxes)
    known, real = rooms(folder) & boxes, imports(folder)
    assert len(known) > 3
    drawn = {(a, b) for a, b in solid if a in known and b in known}
    assert not [f"{b} does not import {a}" for a, b in sorted(drawn) if (b, a) not in real]
    for room in sorted(known):
        allowed = reached(room, {(b, a) for a, b in drawn})
        assert {b for a, b in real if a == room and b in known} <= allowed, room
    assert {room for pair in (*solid, *dotted) for room in pair} <= boxes


def test_every_folder_of_the_package_is_in_the_diagram() -> None:
    folders = {file.parent.name for file in (ROOT / PACKAGE).glob("*/__init__.py")}
    assert folders <= arrows(CHARTS[0])[2]


def test_the_contract_names_every_room_and_the_imports_keep_it() -> None:
    heights = height()
    assert set(heights) == rooms(ROOT / PACKAGE)
    for above, below in imports(ROOT / PACKAGE):
        assert heights[above] < heights[below], f"{above} imports {below}"


def test_the_table_has_the_contracts_layers_in_their_order() -> None:
    heights, rows = height(), re.findall(r"^\| (`[^|]*`) \|", TEXT, re.MULTILINE)
    named = [re.findall(r"`(\w+)`", row) for row in rows]
    layers_of = [
        sorted((heights[one], one) for one in row) for row in named if {*row} <= {*heights}
    ]
    assert sorted(one for row in layers_of for _, one in row) == sorted(heights)
    assert all(above[-1][0] < below[0][0] for above, below in pairwise(layers_of))
