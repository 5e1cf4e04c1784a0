"""Along which axes an operand varies, and its values reduced to those."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from .axes import BATCH, CHANNEL, COLUMN, ROW, Layout, as_image, image_layout, labels

Kind = Literal["channel", "spatial"]

CONSTANT = 2e-6
"""A dense gate counts as constant along an axis if it varies by less, relative to its size."""

_PLACE = {BATCH: 0, CHANNEL: 1, ROW: 2, COLUMN: 3}


def readable(layout: Layout) -> Layout | None:
    layout = as_image(layout)
    known = {label for axis in layout for label in labels(axis)}
    if known & {ROW, COLUMN, CHANNEL}:
        return layout
    if len(layout) == 4 and not known:
        return image_layout([1, 1, 1, 1], placed=False)
    return layout if known & {CHANNEL} else None


def varying_dims(tensor: Tensor, layout: Layout) -> set[int]:
    skip = len(layout) - tensor.ndim
    return {
        d + skip
        for d, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True))
        if size > 1 and stride != 0 and d + skip >= 0
    }


def is_constant(tensor: Tensor, dims: set[int], ndim: int) -> bool:
    skip = ndim - tensor.ndim
    start = probe = tensor
    for d in dims:
        start = start.narrow(d - skip, 0, 1)
        probe = probe.narrow(d - skip, tensor.shape[d - skip] - 1, 1)
    size = start.abs().max()
    if not bool(((probe - start).abs() <= CONSTANT * size).all()):
        return False
    return bool(((tensor - start).abs() <= CONSTANT * size).all()) and bool(size > 0)


def reduced(gate: Tensor, kind: Kind, layout: Layout) -> tuple[Tensor, Tensor]:
    """A copy of what varies: as it broadcasts against the features, and as (B, C) or (B, h, w)."""
    skip = len(layout) - gate.ndim
    small = gate[(None,) * skip] if skip > 0 else gate
    keep = {CHANNEL} if kind == "channel" else {ROW, COLUMN}
    for d, axis in enumerate(layout):
        size = math.prod(factor.size for factor in axis)
        wanted = labels(axis) & (keep | {BATCH})
        if wanted and small.shape[d] == 1 and size > 1:
            small = small.expand(*(size if k == d else n for k, n in enumerate(small.shape)))
        elif not wanted and small.shape[d] > 1:
            small = small.narrow(d, 0, 1)
    small = small.clone(memory_format=torch.contiguous_format)
    factors: list[tuple[str, int]] = []
    for d, axis in enumerate(layout):
        if labels(axis) & (keep | {BATCH}):
            factors.extend((f.label, f.size) for f in axis)
        else:
            factors.append(("", int(small.shape[d])))
    view = small.reshape([size for _, size in factors])
    order = sorted(range(len(factors)), key=lambda k: _PLACE.get(factors[k][0], -1))
    view = view.permute(order)
    sizes = {label: math.prod(n for f, n in factors if f == label) for label in _PLACE}
    if kind == "channel":
        return small, view.reshape(sizes[BATCH], sizes[CHANNEL])
    return small, view.reshape(sizes[BATCH], sizes[ROW], sizes[COLUMN])


def as_map(tensor: Tensor, layout: Layout) -> Tensor:
    """A tensor of any layout as (B, C, h, w)."""
    factors = [(f.label, f.size) for axis in layout for f in (axis or _UNIT)]
    view = tensor.reshape([size for _, size in factors])
    view = view.permute(sorted(range(len(factors)), key=lambda k: _PLACE.get(factors[k][0], -1)))
    sizes = [math.prod(n for f, n in factors if f == label) for label in _PLACE]
    return view.reshape(sizes)


class _One:
    label, size = "", 1


_UNIT: tuple[Any, ...] = (_One(),)
