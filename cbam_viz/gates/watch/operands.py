"""The operands of a product: along which axes each varies, and its values reduced to those."""

from __future__ import annotations

import math
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..layout.axes import (
    BATCH,
    BRANCH,
    CHANNEL,
    COLUMN,
    MANY,
    OTHER,
    PIECE,
    ROW,
    Axis,
    Factor,
    Layout,
    as_image,
    axis_size,
    image_layout,
    labels,
)
from ..layout.same import varying
from .anatomy import anatomy
from .graph import Node

Kind = Literal["channel", "spatial"]

CONSTANT = 2e-6
"""A dense gate counts as constant along an axis if it varies by less, relative to its size."""

_PLACE = {BATCH: 0, PIECE: 0, CHANNEL: 1, ROW: 2, COLUMN: 3}


@dataclass(eq=False)
class Operand:
    """One of the two factors."""

    tensor: Tensor
    node: Node
    dims: set[int]
    """Dimensions of the result along which it varies, batch aside."""
    even: bool = False
    """True if it only happens to be the same along some, for all that is known."""


def readable(layout: Layout) -> Layout | None:
    """The layout in which a product is looked at; None where it tells nothing.

    Of a volume or a signal nothing may be known but that its first axis is the batch.
    """
    layout = _settled(_named(as_image(layout)))
    known = {label for axis in layout for label in labels(axis)}
    if known <= {OTHER} and len(layout) in (3, 5):
        return ((Factor(BATCH, axis_size(layout[0])),), *layout[1:])
    if known & {ROW, COLUMN, CHANNEL}:
        return layout
    if len(layout) == 4 and not known:
        return image_layout([1, 1, 1, 1], placed=False)
    return layout if known & {CHANNEL} else None


def _named(layout: Layout) -> Layout:
    """Parts of rows and columns by the name of what they are parts of."""
    return tuple(
        tuple(f if f.part is None else f._replace(label=f.part.of) for f in axis) for axis in layout
    )


def _settled(layout: Layout) -> Layout:
    """Parts of rows and columns where they lie: in front, the number of a window, frame or crop.

    Beside channels they are channels, as after a folding of space into depth.
    """
    known = [labels(axis) for axis in layout]
    result: list[Axis] = []
    for d, axis in enumerate(layout):
        others = frozenset().union(*known[:d], *known[d + 1 :])
        later = frozenset().union(*known[d + 1 :])
        parts = known[d] & {ROW, COLUMN}
        in_front = CHANNEL not in frozenset().union(*known[: d + 1])
        windows = parts and parts | {CHANNEL} <= later
        stacked = d == 0 and len(layout) == 4 and BRANCH in known[d]
        frames = (OTHER in known[d] or stacked) and {CHANNEL, ROW, COLUMN} <= later
        if in_front and (windows or frames):
            result.append(_renamed(axis, PIECE, {ROW, COLUMN, OTHER, BRANCH}))
        elif parts and parts <= others and CHANNEL in known[d]:
            result.append(_renamed(axis, CHANNEL, parts))
        else:
            result.append(axis)
    return tuple(result)


def _renamed(axis: Axis, label: str, which: Container[str]) -> Axis:
    return tuple(Factor(label, f.size) if f.label in which else f for f in axis)


def _varying_dims(tensor: Tensor, layout: Layout) -> set[int]:
    skip = len(layout) - tensor.ndim
    return {
        d + skip
        for d, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True))
        if size > 1 and stride != 0 and d + skip >= 0
    }


def _is_constant(tensor: Tensor, dims: Collection[int], ndim: int) -> bool:
    """Whether the values are the same along `dims`; what is not finite shows no difference."""
    skip = ndim - tensor.ndim
    start = probe = tensor
    for d in dims:
        start = start.narrow(d - skip, 0, 1)
        probe = probe.narrow(d - skip, tensor.shape[d - skip] - 1, 1)
    size = start.abs().max()
    if not math.isfinite(size):
        return True
    if not bool(((probe - start).abs() <= CONSTANT * size).all()):
        return not bool(probe.isfinite().all())
    same = bool(((tensor - start).abs() <= CONSTANT * size).all())
    return same or not bool(tensor.isfinite().all())


def reduced(gate: Tensor, kind: Kind, layout: Layout) -> tuple[Tensor, Tensor]:
    """A copy of what varies: as it broadcasts against the features, and as (B, C) or (B, h, w).

    B counts windows and frames too where each has a gate of its own.
    """
    skip = len(layout) - gate.ndim
    small = gate[(None,) * skip] if skip > 0 else gate
    keep = {CHANNEL, *MANY} if kind == "channel" else {ROW, COLUMN, *MANY}
    for d, axis in enumerate(layout):
        size = math.prod(factor.size for factor in axis)
        wanted = labels(axis) & keep
        if wanted - {PIECE} and small.shape[d] == 1 and size > 1:
            small = small.expand(*(size if k == d else n for k, n in enumerate(small.shape)))
        elif not wanted and small.shape[d] > 1:
            small = small.narrow(d, 0, 1)
    small = small.clone(memory_format=torch.contiguous_format)
    factors: list[tuple[str, int]] = []
    for d, axis in enumerate(layout):
        if small.shape[d] > 1 and labels(axis) & keep:
            factors.extend((f.label, f.size) for f in axis)
        else:
            factors.append(("", int(small.shape[d])))
    view = small.reshape([size for _, size in factors])
    order = sorted(range(len(factors)), key=lambda k: _PLACE.get(factors[k][0], -1))
    view = view.permute(order)
    rows, channels, height, width = _sizes(factors)
    shape = (rows, channels) if kind == "channel" else (rows, height, width)
    return small, view.reshape(shape)


def _sizes(factors: Sequence[tuple[str, int]]) -> list[int]:
    """How many pictures, channels, rows and columns."""
    return [math.prod(n for f, n in factors if _PLACE.get(f) == place) for place in range(4)]


def as_map(tensor: Tensor, layout: Layout) -> Tensor:
    """A tensor of any layout as (B, C, h, w)."""
    factors = [(f.label, f.size) for axis in layout for f in (axis or _UNIT)]
    view = tensor.reshape([size for _, size in factors])
    view = view.permute(sorted(range(len(factors)), key=lambda k: _PLACE.get(factors[k][0], -1)))
    return view.reshape(_sizes(factors))


class _One:
    label, size = "", 1


_UNIT: tuple[Any, ...] = (_One(),)


def find_dims(one: Operand, two: Operand, layout: Layout, every: set[int]) -> bool:
    """Say what each operand varies along; False if both are gates made as large as features."""
    fewer = []
    for operand in (one, two):
        operand.dims = _varying_dims(operand.tensor, layout) & every
        skip = len(layout) - operand.tensor.ndim
        made = {d + skip for d in varying(operand.node.shape, operand.node.same)}
        fewer.append(operand.dims & made)
    if fewer[0] | fewer[1] == every:
        one.dims, two.dims = fewer
        return True
    return not one.dims == two.dims == every


def are_halves(one: Operand, two: Operand, every: set[int]) -> bool:
    """Neither is as large as features, and both together are: a gate is put together."""
    return every not in (one.dims, two.dims) and one.dims | two.dims == every


def look_at_values(one: Operand, two: Operand, layout: Layout) -> None:
    """Both operands are dense: note if just one is constant over space, or just over channels.

    That is read from this forward's values, so only where the operations do not tell: a gate that
    can vary may be even by chance, on a black photo or before training.
    """
    dense = one.dims
    places = frozenset(d for d in dense if labels(layout[d]) <= {ROW, COLUMN})
    channels = frozenset(d for d in dense if labels(layout[d]) == {CHANNEL})
    if one.node.certain and two.node.certain:
        return
    flat_one, flat_two = (
        [
            dims
            for dims in (places, channels)
            if dims and dims != dense and _is_constant(operand.tensor, dims, len(layout))
        ]
        for operand in (one, two)
    )
    one.even = bool(flat_one) and not one.node.certain
    two.even = bool(flat_two) and not two.node.certain
    for gate, flat, other in ((two, flat_two, flat_one), (one, flat_one, flat_two)):
        if gate.even and len(flat) == 1 and flat[0] not in other:
            gate.dims = dense - flat[0]
            return


def the_gate(one: Operand, two: Operand, every: set[int]) -> Operand | None:
    """The operand that varies along fewer dimensions than the feature map."""
    if one.dims == every and two.dims < every:
        return two
    if two.dims == every and one.dims < every:
        return one
    if one.dims == two.dims == every and len(every) <= 1:
        for gate, feature in ((two, one), (one, two)):
            path = anatomy(gate.node, feature.node)
            if path.reaches and path.learned:
                return gate
    return None


def are_disjoint(one: Operand, two: Operand, every: set[int]) -> bool:
    return one.dims | two.dims == every and not one.dims & two.dims


def kind_of(dims: set[int], layout: Layout) -> Kind | None:
    """What a gate that varies along these dimensions is."""
    over = frozenset(label for d in dims for label in labels(layout[d])) - MANY
    places = {d for d, axis in enumerate(layout) if labels(axis) & {ROW, COLUMN}}
    channels = {d for d, axis in enumerate(layout) if CHANNEL in labels(axis)}
    if over == {CHANNEL} or (not over and places and not channels):
        return "channel"
    if over and over <= {ROW, COLUMN} and dims >= places:
        return "spatial"
    if not over and channels and not places:
        return "spatial"
    return None
