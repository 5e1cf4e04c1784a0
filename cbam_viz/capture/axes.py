"""What the axes of a tensor mean: batch, channels, and where its rows and columns lie on the input.

A tensor's layout is one tuple of factors per dimension. Views regroup the factors, so that an axis
keeps its meaning through NHWC, tokens (B, HW, C) and back. Rows and columns carry the placement of
their receptive fields: centre of the first one, step from one to the next, and reach.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

BATCH, CHANNEL, ROW, COLUMN = "batch", "channel", "row", "column"
BRANCH, PIECE, OTHER = "branch", "piece", "other"
"""Tensors stacked side by side; windows or frames, each a picture of its own; and the unknown."""
MANY = frozenset({BATCH, PIECE})
"""Along these, pictures lie beside each other."""


@dataclass(frozen=True)
class Factor:
    """One meaning along a dimension. Units of `centre`, `step` and `reach`: input pixels."""

    label: str
    size: int
    centre: float = 0.0
    """Continuous coordinate of the middle of the first receptive field; pixel k is [k, k + 1)."""
    step: float = 0.0
    """From one cell to the next, negative if flipped; 0 where placement is not known."""
    reach: float = 0.0
    """Extent of one receptive field."""
    exact: bool = True
    fixed: bool = True
    """False if the numbers hold for this size of input only."""


Axis = tuple[Factor, ...]
Layout = tuple[Axis, ...]
"""One axis per dimension; an empty axis has size 1 and no meaning."""


def axis_size(axis: Axis) -> int:
    return math.prod(factor.size for factor in axis)


def image_layout(shape: Sequence[int], placed: bool) -> Layout:
    """(B, C, H, W); `placed` for the network's own input, whose pixels are where they are."""
    step = 1.0 if placed else 0.0
    return (
        (Factor(BATCH, shape[0]),),
        (Factor(CHANNEL, shape[1]),),
        (Factor(ROW, shape[2], 0.5, step, step, placed),),
        (Factor(COLUMN, shape[3], 0.5, step, step, placed),),
    )


def plain_layout(shape: Sequence[int]) -> Layout:
    """Axes of a tensor of which nothing is known."""
    return tuple((Factor(OTHER, size),) if size != 1 else () for size in shape)


def labels(axis: Axis) -> frozenset[str]:
    """The meanings along a dimension that has more than one entry."""
    return frozenset(factor.label for factor in axis if factor.size > 1)


def find(layout: Layout, label: str) -> Factor | None:
    """The one whole factor of this meaning; None if there is none or it is split."""
    found = [factor for axis in layout for factor in axis if factor.label == label]
    return found[0] if len(found) == 1 else None


def same_place(axis: Axis) -> Axis:
    """The axis where positions are kept only roughly (shifted or gathered)."""
    return tuple(
        replace(factor, exact=False) if factor.label in (ROW, COLUMN) else factor for factor in axis
    )


def window(
    axis: Axis, size: int, *, kernel: float, stride: float, padding: float, dilation: float = 1
) -> Axis:
    """The axis after a sliding window (convolution, pooling): `size` windows."""
    if len(axis) != 1 or axis[0].label not in (ROW, COLUMN):
        return resized(axis, size)
    old, span = axis[0], dilation * (kernel - 1)
    return (
        replace(
            old,
            size=size,
            centre=old.centre + old.step * (span / 2 - padding),
            step=old.step * stride,
            reach=old.reach + abs(old.step) * span,
        ),
    )


def transposed_window(
    axis: Axis, size: int, *, kernel: int, stride: int, padding: int, dilation: int
) -> Axis:
    """The axis after a transposed convolution: output `o` gets input `(o + p - d j) / s`."""
    if len(axis) != 1 or axis[0].label not in (ROW, COLUMN):
        return resized(axis, size)
    old, span = axis[0], dilation * (kernel - 1)
    return (
        replace(
            old,
            size=size,
            centre=old.centre + old.step * (padding - span / 2) / stride,
            step=old.step / stride,
            reach=old.reach + abs(old.step) * max(0, math.ceil(span / stride) - 1),
        ),
    )


def scaled(axis: Axis, size: int, scale: float, *, corners: bool = False, fixed: bool) -> Axis:
    """The axis after interpolation to `size` cells, `scale` input cells per output cell."""
    if len(axis) != 1 or axis[0].label not in (ROW, COLUMN):
        return resized(axis, size)
    old = axis[0]
    shift = 0.0 if corners else (scale - 1) / 2
    return (
        replace(
            old,
            size=size,
            centre=old.centre + old.step * shift,
            step=old.step * scale,
            fixed=old.fixed and fixed,
        ),
    )


def pooled_to(axis: Axis, size: int) -> Axis:
    """The axis after adaptive pooling to `size` cells."""
    old_size = axis_size(axis)
    if size == old_size:
        return axis
    if size == 0 or len(axis) != 1 or axis[0].label not in (ROW, COLUMN):
        return resized(axis, size)
    ratio = old_size / size
    even = old_size % size == 0
    (new,) = window(axis, size, kernel=ratio, stride=ratio, padding=0)
    return (replace(new, exact=new.exact and even, fixed=False),)


def resized(axis: Axis, size: int) -> Axis:
    """An axis of another length with the same meaning."""
    if axis_size(axis) == size:
        return axis
    if len(axis) == 1 and axis[0].label == CHANNEL:
        return (Factor(CHANNEL, size),)
    return (Factor(OTHER, size),) if size != 1 else ()


def merged(layouts: Iterable[Layout], shape: Sequence[int]) -> Layout:
    """The layout of an elementwise result: broadcast axes give way to those that vary."""
    result: list[Axis] = [()] * len(shape)
    for layout in sorted(layouts, key=lambda one: not _covers(one, shape)):
        skip = len(shape) - len(layout)
        covers = _covers(layout, shape)
        for d, axis in enumerate(layout, start=skip):
            if d >= 0 and axis_size(axis) == shape[d] and (covers or _agrees(result[d], axis)):
                result[d] = _united(result[d], axis)
    return tuple(
        axis if axis_size(axis) == size else ((Factor(OTHER, size),) if size != 1 else ())
        for axis, size in zip(result, shape, strict=True)
    )


def _covers(layout: Layout, shape: Sequence[int]) -> bool:
    """True if nothing of this operand is broadcast: it says best what the axes mean."""
    return [axis_size(axis) for axis in layout] == list(shape)


def _agrees(one: Axis, two: Axis) -> bool:
    return not one or [factor.label for factor in one] == [factor.label for factor in two]


def _united(one: Axis, two: Axis) -> Axis:
    if not one or one == two:
        return two
    if not two:
        return one
    first, second = [f.label for f in one], [f.label for f in two]
    if first == second and [f.size for f in one] == [f.size for f in two]:
        return tuple(_union(a, b) for a, b in zip(one, two, strict=True))
    if OTHER in first and OTHER not in second:
        return two
    if OTHER in second and OTHER not in first:
        return one
    return (Factor(OTHER, axis_size(one)),)


def _union(one: Factor, two: Factor) -> Factor:
    """Two receptive fields of one cell: their bounding interval."""
    if one.label not in (ROW, COLUMN) or one == two:
        return one
    if one.step == 0:
        return replace(two, exact=False)
    if two.step == 0 or not math.isclose(one.step, two.step, rel_tol=1e-6):
        return replace(one, exact=False)
    low = min(one.centre - one.reach / 2, two.centre - two.reach / 2)
    high = max(one.centre + one.reach / 2, two.centre + two.reach / 2)
    return replace(
        one,
        centre=(low + high) / 2,
        reach=high - low,
        exact=one.exact and two.exact,
        fixed=one.fixed and two.fixed,
    )


def regrouped(layout: Layout, shape: Sequence[int]) -> Layout:
    """The layout after a view to `shape`: factors are dealt out again, in order."""
    waiting = [factor for axis in layout for factor in axis if factor.size != 1]
    result: list[Axis] = []
    for size in shape:
        axis: list[Factor] = []
        room = size
        while room > 1 and waiting:
            factor = waiting.pop(0)
            if room % factor.size == 0:
                axis.append(factor)
                room //= factor.size
            elif factor.size % room == 0:
                outer, inner = _parted(factor, room)
                axis.append(outer)
                waiting.insert(0, inner)
                room = 1
            else:
                return plain_layout(shape)
        if room != 1:
            return plain_layout(shape)
        result.append(_whole(axis))
    return tuple(result)


def _parted(factor: Factor, count: int) -> tuple[Factor, Factor]:
    """A factor as `count` blocks and what each of them holds: rows as windows of rows."""
    size = factor.size // count
    if factor.label in (ROW, COLUMN):
        span = factor.step * (size - 1)
        blocks = replace(
            factor,
            size=count,
            centre=factor.centre + span / 2,
            step=factor.step * size,
            reach=factor.reach + abs(span),
            fixed=False,
        )
        return blocks, replace(factor, size=size, fixed=False)
    label = factor.label if factor.label in (BATCH, CHANNEL) else OTHER
    return Factor(label, count), Factor(label, size)


def _whole(axis: list[Factor]) -> Axis:
    """Parts that lie together again as they were: channels, the batch, windows of rows."""
    result: list[Factor] = []
    for factor in axis:
        joined = _joined(result[-1], factor) if result else None
        result[-1:] = [joined] if joined is not None else [*result[-1:], factor]
    return tuple(result)


def _joined(blocks: Factor, inner: Factor) -> Factor | None:
    """The factor of which these are the blocks and what each of them holds."""
    if blocks.label != inner.label:
        return None
    size = blocks.size * inner.size
    if inner.label in (BATCH, CHANNEL):
        return Factor(inner.label, size)
    if inner.label in (ROW, COLUMN) and math.isclose(blocks.step, inner.step * inner.size):
        exact = inner.exact and blocks.exact
        return replace(inner, size=size, exact=exact, fixed=False)
    return None
