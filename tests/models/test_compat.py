"""The repairs of an ordinary installation, each tried in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from cbam_viz import CbamVizError, _compat

MISSING_OPERATORS = """
import importlib, sys, torch
import cbam_viz._compat as compat
real, calls = importlib.import_module, []
def as_beside_a_cpu_torch(name, package=None):
    if name != "torchvision":
        return real(name, package)
    calls.append(name)
    if len(calls) == 1:
        sys.modules["torchvision"] = sys.modules["torchvision.half"] = object()
        raise RuntimeError("operator torchvision::nms does not exist")
    assert "torchvision.half" not in sys.modules
    return real(name)
importlib.import_module = as_beside_a_cpu_torch
compat.ensure_torchvision()
assert calls == ["torchvision"] * 2, calls
assert hasattr(torch.ops.torchvision, "nms")
import timm
compat.ensure_torchvision()
assert len(calls) == 2 and len(compat._libraries) == 1
"""


def test_missing_operators_are_declared_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MISSING_OPERATORS],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_nothing_is_done_where_torchvision_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    import cbam_viz.models  # noqa: F401  (loads it)

    monkeypatch.setattr(_compat.importlib, "import_module", None)
    _compat.ensure_torchvision()


def broken(text: str) -> object:
    def load(name: str) -> ModuleType:
        raise ImportError(text)

    return load


def test_missing_torchvision_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(_compat.importlib, "import_module", broken("No module named torchvision"))
    with pytest.raises(CbamVizError, match="install the torchvision that belongs to your torch"):
        _compat.ensure_torchvision()


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
