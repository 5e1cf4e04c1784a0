"""The public names: all there, each documented, and none of them costs an import before its use."""

from __future__ import annotations

import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cbam_viz

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torchvision", "timm", "streamlit", "matplotlib", "cv2", "numpy", "PIL")


def modules_after(statement: str) -> set[str]:
    """Names of the modules that a fresh interpreter holds after `statement`."""
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not modules_after("import cbam_viz").intersection(HEAVY)


def test_the_core_loads_neither_streamlit_nor_matplotlib() -> None:
    loaded = modules_after(
        "from cbam_viz import create_model, capture, analyse, read_photo, save_npz"
    )
    assert "torch" in loaded
    assert not loaded.intersection({"streamlit", "matplotlib"})


@pytest.mark.parametrize("name", cbam_viz.__all__)
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(cbam_viz, name)
    assert value.__doc__
    assert value.__module__.startswith("cbam_viz")


def test_all_lists_exactly_the_lazy_names_and_the_errors() -> None:
    eager = {name for name, value in vars(cbam_viz.errors).items() if isinstance(value, type)}
    assert set(cbam_viz.__all__) == eager | set(cbam_viz._LAZY)
    assert set(cbam_viz.__all__) <= set(dir(cbam_viz))


def test_no_public_name_is_that_of_a_module_too() -> None:
    """Python sets a package's attribute to a submodule whenever that is imported."""
    modules = {module.name for module in pkgutil.iter_modules(cbam_viz.__path__)}
    assert "gates" in modules
    assert not modules.intersection(cbam_viz.__all__)


def test_submodules_come_on_first_use() -> None:
    statement = "import cbam_viz; cbam_viz.store"
    assert "cbam_viz.store" in modules_after(statement)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'grad_cam'"):
        cbam_viz.grad_cam  # noqa: B018


def test_type_checkers_see_the_same_names_as_users() -> None:
    """The `if TYPE_CHECKING` imports and the lazy table are written twice; they must agree."""
    import ast

    tree = ast.parse(Path(cbam_viz.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    # Seen by them, it would make any misspelt name one of Any.
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert "__getattr__" not in functions
    typed = {
        (node.module, alias.name, alias.asname or alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    lazy = {(home, original, name) for name, (home, original) in cbam_viz._LAZY.items()}
    rooms = {("cbam_viz", name, name) for name in cbam_viz._SUBMODULES}
    assert typed == lazy | rooms


def test_every_public_folder_comes_on_first_use() -> None:
    """All but the interfaces: `import cbam_viz` and a name of the documentation are enough."""
    folders = {one.name for one in pkgutil.iter_modules(cbam_viz.__path__) if one.ispkg}
    assert folders - {"cli", "ui", "inert"} <= {*cbam_viz._SUBMODULES}


NAMED = sorted(
    {
        name
        for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
        for name in re.findall(r"\bcbam_viz((?:\.[a-zA-Z_]\w*)+)", page.read_text("utf-8"))
        if not name.startswith(".ui.")
    }
)


@pytest.mark.parametrize("name", NAMED)
def test_names_of_the_documentation_are_reached_from_the_package(name: str) -> None:
    assert name.split(".")[1] in {*cbam_viz.__all__, *cbam_viz._SUBMODULES}
    pkgutil.resolve_name(f"cbam_viz{name}")
