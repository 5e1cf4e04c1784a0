"""What an ordinary installation needs before its packages import: two repairs, both lazy.

Importing this module imports nothing heavy; the functions do.
"""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType
from typing import Any

from cbam_viz.errors import CbamVizError

_MISSING_OPERATORS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

_lock = threading.Lock()
_libraries: list[Any] = []
"""The registrations live as long as their `torch.library.Library` object."""


def ensure_torchvision() -> None:
    """Make `import torchvision`, and so `import timm`, work beside any build of torch.

    PyPI's Linux torchvision is built for CUDA torch. Beside a CPU torch its C++ operators do not
    load, and its import fails with `operator torchvision::nms does not exist`, although nothing
    here calls that operator. Declaring the missing schemas cures the import. Where torchvision
    imports, this changes nothing.

    Raises
    ------
    CbamVizError
        torchvision is missing, or broken in another way.
    """
    with _lock:
        if "torchvision" not in sys.modules:
            _import_torchvision()


def _import_torchvision() -> None:
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _forget_half_imported()
        _declare_operators()
        importlib.import_module("torchvision")
    except ImportError as error:
        raise CbamVizError(
            f"torchvision cannot be imported ({error}). timm needs it: install the torchvision "
            "that belongs to your torch, see https://pytorch.org/get-started/."
        ) from error


def _forget_half_imported() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


def _declare_operators() -> None:
    import torch

    make: Any = torch.library.Library
    library = make("torchvision", "FRAGMENT")
    for name, schema in _MISSING_OPERATORS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + schema)
    _libraries.append(library)


def load_cv2() -> ModuleType:
    """Return OpenCV, or say in one sentence what keeps it from loading.

    Raises
    ------
    CbamVizError
        OpenCV is not installed, or one of the system's libraries that it links is not there.
    """
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        if "lib" in str(error) and ".so" in str(error):
            advice = (
                "replace opencv-python by opencv-python-headless, which needs no display libraries"
                " (pip uninstall opencv-python && pip install opencv-python-headless), or install"
                " the library (Debian, Ubuntu: apt-get install libgl1 libglib2.0-0)"
            )
        else:
            advice = "install it with pip install opencv-python-headless"
        raise CbamVizError(f"OpenCV cannot be loaded ({error}): {advice}.") from error
