"""What an ordinary installation needs before its packages import: two repairs, both lazy.

Importing this module imports nothing heavy.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cbam_viz.errors import CbamVizError

if TYPE_CHECKING:
    from torch import Tensor

_MISSING_OPERATORS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

_CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""Names torch's folder of compiled code; torch sets it where nobody has."""

_libraries: list[Any] = []
"""The registrations live as long as their `torch.library.Library` object."""


def repair_torchvision() -> None:
    """Make `import torchvision`, and so `import timm`, work beside any build of torch from now on.

    PyPI's Linux torchvision is built for CUDA torch. Beside a CPU torch its C++ operators do not
    load, and its import fails with `operator torchvision::nms does not exist`. Declaring the
    missing schemas cures the import. Detectors call `nms`, so it gets the same algorithm in torch;
    torchvision itself has a replacement for `roi_align`, the other one that its detectors need.

    This imports nothing itself: whoever imports torchvision first, in whatever order, finds it
    repaired. Where torchvision imports, nothing changes, and after its import no trace is left.
    """
    if "torchvision" not in sys.modules and _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


class _Finder(MetaPathFinder):
    """Finds torchvision where the other finders do, and has it loaded with the repair at hand."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Speak for torchvision only, and only as long as it is not loaded."""
        if fullname != "torchvision":
            return None
        for finder in [one for one in sys.meta_path if one is not self]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Repairing(spec.loader)
                return spec
        return None


class _Repairing(Loader):
    """Runs torchvision's own loader; once more, with operators declared, if some are missing."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As torchvision's own loader does."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Load torchvision, and leave its own loader in place."""
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        module.__loader__ = self.loader
        _forget_half_imported()  # by whoever tried before this package was there
        try:
            self._run(module)
        except OSError as error:
            if error.filename not in (None, os.environ.get(_CACHE)):
                raise
            raise CbamVizError(
                "torch needs a folder for what it compiles as soon as it is imported, and cannot "
                f"make it: {error}. Set {_CACHE} to a folder that can be written."
            ) from error
        if _finder in sys.meta_path:
            sys.meta_path.remove(_finder)

    def _run(self, module: ModuleType) -> None:
        try:
            self.loader.exec_module(module)
        except RuntimeError as error:
            if "torchvision::" not in str(error):
                raise
            _forget_half_imported()
            _declare_operators()
            self.loader.exec_module(module)
            _let_boxes_be_suppressed()


_finder = _Finder()


def _forget_half_imported() -> None:
    for name in [name for name in sys.modules if name.startswith("torchvision.")]:
        del sys.modules[name]


def _declare_operators() -> None:
    import torch

    make: Any = torch.library.Library
    library = make("torchvision", "FRAGMENT")
    for name, schema in _MISSING_OPERATORS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + schema)
            if name == "nms":
                library.impl(name, suppressed, "CPU")
    _libraries.append(library)


def _let_boxes_be_suppressed() -> None:
    """Let torchvision's `nms` ask for its operator alone, and not for all the others too."""
    boxes = sys.modules.get("torchvision.ops.boxes")
    if boxes is not None and hasattr(boxes, "_assert_has_ops"):
        vars(boxes)["_assert_has_ops"] = lambda: None


def suppressed(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Positions of the boxes (N, 4) to keep, best first: `torchvision.ops.nms` on the CPU.

    Greedy: a box goes if it overlaps a better one that stays by more than the threshold.
    """
    import torch

    order = scores.argsort(descending=True, stable=True)
    left, top, right, bottom = boxes.double()[order].unbind(1)
    areas = (right - left) * (bottom - top)
    alive = torch.ones(len(order), dtype=torch.bool, device=order.device)
    kept = []
    for place in range(len(order)):
        if not alive[place]:
            continue
        kept.append(place)
        width = (right.clamp(max=right[place]) - left.clamp(min=left[place])).clamp(min=0)
        height = (bottom.clamp(max=bottom[place]) - top.clamp(min=top[place])).clamp(min=0)
        common = width * height
        alive &= common / (areas + areas[place] - common) <= iou_threshold
    return order[torch.tensor(kept, dtype=torch.long, device=order.device)]


def ensure_torchvision() -> None:
    """Import torchvision, or say in one sentence what keeps it from loading.

    Raises:
        CbamVizError: torchvision is missing, or one of the system's libraries that it links is not
            there.
    """
    repair_torchvision()
    try:
        importlib.import_module("torchvision")
    except ImportError as error:
        raise CbamVizError(
            f"torchvision cannot be imported ({error}). timm needs it: install the torchvision "
            "that belongs to your torch, see https://pytorch.org/get-started/."
        ) from error


def load_cv2() -> ModuleType:
    """Return OpenCV, or say in one sentence what keeps it from loading.

    Raises:
        CbamVizError: OpenCV is not installed, or one of the system's libraries that it links is not
            there.
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
