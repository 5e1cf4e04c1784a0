"""Pictures that a network is given as something else than tensors, and tensors made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .axes import BATCH, CHANNEL, COLUMN, ROW, Layout, image_layout

_COLOURS = (1, 3, 4)


def picture_axes(shape: Sequence[int]) -> tuple[str, ...] | None:
    """What the axes of a picture's array are: (H, W), (H, W, C) or (C, H, W), or a batch of these.

    None if it has no axis of 1, 3 or 4 colours, or is no array of pictures at all.
    """
    if len(shape) == 2:
        return (ROW, COLUMN)
    batch = (BATCH,) if len(shape) == 4 else ()
    if len(shape) - len(batch) != 3:
        return None
    if shape[-1] in _COLOURS:
        return (*batch, ROW, COLUMN, CHANNEL)
    return (*batch, CHANNEL, ROW, COLUMN) if shape[-3] in _COLOURS else None


def picture_size(value: Any) -> tuple[int, int] | None:
    """Height and width of an array or a picture such as Pillow's; None if it is neither."""
    if isinstance(value, np.ndarray):
        axes = picture_axes(value.shape)
        if axes is None or value.dtype.kind not in "uif":
            return None
        return int(value.shape[axes.index(ROW)]), int(value.shape[axes.index(COLUMN)])
    sides = getattr(value, "height", None), getattr(value, "width", None)
    return sides if isinstance(sides[0], int) and isinstance(sides[1], int) else None  # type: ignore[return-value]


def picture_layout(shape: Sequence[int], size: tuple[int, int] | None) -> Layout | None:
    """The layout of a tensor that holds a picture, of height and width `size` where they are known.

    None if it does not look like one.
    """
    axes = picture_axes(shape)
    if axes is None or (size is None and len(shape) == 2):
        return None
    found = int(shape[axes.index(ROW)]), int(shape[axes.index(COLUMN)])
    if found != size if size is not None else min(found) < 2:
        return None
    sizes = dict(zip(axes, shape, strict=True))
    usual = (BATCH, CHANNEL, ROW, COLUMN)
    whole = image_layout([int(sizes.get(axis, 1)) for axis in usual], placed=True)
    return tuple(whole[usual.index(axis)] for axis in axes)
