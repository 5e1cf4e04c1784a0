"""The repairs of an ordinary installation, each tried in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import cbam_viz
from cbam_viz import CbamVizError, _compat

BROKEN = """
import torch
from . import half
if not hasattr(torch.ops.torchvision, "nms"):
    raise RuntimeError("operator torchvision::nms does not exist")
from . import transforms
value = half.value
"""
"""A torchvision that cannot be imported beside this torch, as PyPI's is beside a CPU build."""


@pytest.fixture
def beside_another_build(tmp_path: Path) -> Path:
    """A folder with such a torchvision, whatever the real one here does."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(BROKEN)
    (package / "half.py").write_text("value = 7\n")
    (package / "transforms.py").write_text("")
    return tmp_path


def run(code: str, *folders: Path) -> str:
    """What a fresh interpreter prints; its modules are looked for in `folders` first."""
    inserted = "".join(f"sys.path.insert(0, {str(folder)!r}); " for folder in folders)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {inserted}\n{code}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.parametrize(
    "imports",
    [
        "import cbam_viz, torchvision",
        "import torch, cbam_viz, torchvision",
        "import cbam_viz; from torchvision import transforms; import torchvision",
        "import cbam_viz, importlib; torchvision = importlib.import_module('torchvision')",
        "from cbam_viz._compat import ensure_torchvision; ensure_torchvision(); import torchvision",
    ],
)
def test_torchvision_imports_in_any_order(beside_another_build: Path, imports: str) -> None:
    assert run(f"{imports}\nprint(torchvision.value)", beside_another_build) == "7"


def test_a_failed_import_before_is_made_good(beside_another_build: Path) -> None:
    code = """
try:
    import torchvision
except RuntimeError:
    pass
import cbam_viz, torchvision
print(torchvision.value)
"""
    assert run(code, beside_another_build) == "7"


def test_no_trace_is_left(beside_another_build: Path) -> None:
    code = """
before = list(sys.meta_path)
import cbam_viz
assert sys.meta_path != before
import torchvision, inspect
assert sys.meta_path == before
loader = type(torchvision.__loader__).__name__
print(loader, torchvision.__spec__.loader is torchvision.__loader__)
assert "transforms" in inspect.getsource(torchvision)
from cbam_viz import _compat
_compat.repair_torchvision()
assert sys.meta_path == before and len(_compat._libraries) == 1
"""
    assert run(code, beside_another_build) == "SourceFileLoader True"


def test_other_failures_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    source = tmp_path / "torchvision" / "__init__.py"
    source.write_text("raise RuntimeError('something else')\n")
    code = """
import cbam_viz
for _ in range(2):
    try:
        import torchvision
    except RuntimeError as error:
        print(error)
"""
    assert run(code, tmp_path) == "something else\nsomething else"


def test_the_real_one_imports_after_the_package() -> None:
    assert run("import cbam_viz, timm; print(timm.layers.cbam.CbamModule.__name__)") == "CbamModule"


HOMES = sorted({home for home, _ in cbam_viz._LAZY.values()})


@pytest.mark.parametrize("home", HOMES)
def test_public_names_import_in_a_process_of_their_own(home: str) -> None:
    names = [name for name, (own, _) in cbam_viz._LAZY.items() if own == home]
    code = f"from cbam_viz import {', '.join(names)}\nprint({names[0]}.__name__ != '')"
    assert run(code) == "True"


@pytest.mark.parametrize("module", cbam_viz._SUBMODULES)
def test_submodules_import_in_a_process_of_their_own(module: str) -> None:
    assert run(f"import cbam_viz; print(cbam_viz.{module}.__name__)") == f"cbam_viz.{module}"


def test_missing_torchvision_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ModuleType:
        raise ImportError("No module named torchvision")

    monkeypatch.setattr(_compat.importlib, "import_module", missing)
    with pytest.raises(CbamVizError, match="install the torchvision that belongs to your torch"):
        _compat.ensure_torchvision()


def broken(text: str) -> object:
    def load(name: str) -> ModuleType:
        raise ImportError(text)

    return load


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        ("libGL.so.1: cannot open shared object file", "opencv-python-headless, which needs no"),
        ("No module named 'cv2'", "install it with pip install opencv-python-headless"),
    ],
)
def test_opencv_that_does_not_load(
    monkeypatch: pytest.MonkeyPatch, cause: str, advice: str
) -> None:
    monkeypatch.setattr(_compat.importlib, "import_module", broken(cause))
    with pytest.raises(CbamVizError, match=advice):
        _compat.load_cv2()


def test_opencv_that_loads() -> None:
    assert _compat.load_cv2().__name__ == "cv2"


def test_where_torch_cannot_keep_what_it_compiles_a_sentence_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code = f"""
import os
os.environ["TORCHINDUCTOR_CACHE_DIR"] = {str(tmp_path / "file")!r}
import cbam_viz
try:
    import torchvision
except cbam_viz.CbamVizError as error:
    print(error)
"""
    told = run(code)
    assert "Set TORCHINDUCTOR_CACHE_DIR to a folder that can be written" in told
    assert str(tmp_path / "file") in told
