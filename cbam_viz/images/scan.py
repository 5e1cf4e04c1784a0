"""What a file of raw numbers gave, and what its readers share."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from cbam_viz.errors import ImageError
from cbam_viz.images.depth import Depth

EXTRA = 'pip install "cbam-viz[scans]"'


@dataclass(frozen=True)
class Scan:
    """The numbers of a file, and what it declares of them."""

    array: npt.NDArray[Any]
    """(H, W) or (H, W, C)."""
    depth: Depth | None
    """None: what an array of this type declares."""
    format: str
    notes: tuple[str, ...] = ()
    index: int | None = None
    """Which slice of a volume it is, from 0; None where the file is none."""


def chosen_slice(index: int | None, count: int, title: str) -> int:
    """The slice that is meant; the middle one where none is named. Raises ImageError."""
    if index is not None and not 0 <= index < count:
        raise ImageError(f"{title} has no slice {index}: there are {count}, counted from 0.")
    return count // 2 if index is None else index


def check_size(size: tuple[int, ...], title: str, max_pixels: float) -> None:
    """Raise ImageError for more pixels than are allowed; nothing is decoded yet."""
    if math.prod(size) > max_pixels:
        raise ImageError(
            f"{title} has {math.prod(size) / 1e6:.1f} megapixels; the limit is "
            f"{max_pixels / 1e6:g} megapixels. Make the picture smaller."
        )


def package(name: str, title: str, kind: str) -> Any:
    """The package that reads such files. Raises ImageError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImageError(
            f"{title} is a {kind} file, which needs the package {name}: {EXTRA}."
        ) from None
