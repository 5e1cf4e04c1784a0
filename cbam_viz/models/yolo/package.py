"""ultralytics, imported so that nothing else of the process changes.

At import it replaces `PIL.Image.open`, `torch.save` and functions of OpenCV, sets print options and
OpenCV's threads, asks the network whether there is one, writes a settings file, prints that, and
later would install packages that it misses.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cbam_viz.errors import CheckpointError

_lock = threading.Lock()
_QUIET = {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}
_FOLDERS = (".config", "Library/Application Support", "AppData/Roaming")
"""Where ultralytics keeps its settings on Linux, macOS and Windows."""


def ultralytics_module(name: str) -> Any:
    """Return a module of ultralytics, such as `nn.tasks`.

    Raises:
        CheckpointError: ultralytics is not installed, or cannot be imported.
    """
    full = f"ultralytics.{name}"
    if full not in sys.modules:
        with _lock, _unchanged():
            try:
                importlib.import_module(full)
            except ImportError as error:
                raise CheckpointError(
                    "The checkpoint is of ultralytics (YOLO), whose code is needed to run it and "
                    f'cannot be imported ({error}). Install it: pip install "cbam-viz[yolo]".'
                ) from error
    return sys.modules[full]


def loaded_module(name: str) -> Any:
    """Return a module of ultralytics if the process has it; None: no network can be of it."""
    return sys.modules.get(f"ultralytics.{name}")


@contextmanager
def _unchanged() -> Iterator[None]:
    """Undo what the import does to others; nothing if somebody has imported ultralytics before."""
    if "ultralytics" in sys.modules:
        yield
        return
    import cv2
    import numpy as np
    import PIL.Image
    import torch

    places: list[tuple[Any, str]] = [
        (PIL.Image, "open"), (torch, "save"),
        *((cv2, name) for name in ("imread", "imwrite", "imshow") if hasattr(cv2, name)),
    ]  # fmt: skip
    before = [(place, name, getattr(place, name)) for place, name in places]
    threads, printing = cv2.getNumThreads(), np.get_printoptions()
    tensors = vars(torch._tensor_str.PRINT_OPTS).copy()
    with ExitStack() as stack:
        stack.enter_context(_environment(stack))
        try:
            yield
        finally:
            for place, name, value in before:
                setattr(place, name, value)
            cv2.setNumThreads(threads)
            np.set_printoptions(**printing)
            vars(torch._tensor_str.PRINT_OPTS).update(tensors)


@contextmanager
def _environment(stack: ExitStack) -> Iterator[None]:
    """Let it find its settings where somebody has some, and write new ones nowhere that stays."""
    wanted = {name: value for name, value in _QUIET.items() if name not in os.environ}
    known = any((Path.home() / folder / "Ultralytics").is_dir() for folder in _FOLDERS)
    if "YOLO_CONFIG_DIR" not in os.environ and not known:
        wanted["YOLO_CONFIG_DIR"] = stack.enter_context(tempfile.TemporaryDirectory())
    missing = [name for name in wanted if name not in os.environ]
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
