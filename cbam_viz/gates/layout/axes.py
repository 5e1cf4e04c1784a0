"""What the axes of a tensor mean: batch, channels, and where its rows and columns lie on the input.

A tensor's layout is one tuple of factors per dimension. Views regroup the factors, so that an axis
keeps its meaning through NHWC, tokens (B, HW, C) and back. Rows and columns carry the placement of
their receptive fields: centre of the first one, step from one to the next, and reach.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

BATCH, CHANNEL, ROW, COLUMN = "batch", "channel", "row", "column"
BRANCH, PIECE, OTHER = "branch", "piece", "other"
"""Tensors stacked side by side; windows or frames, each a picture of its own; and the unknown."""
MANY = frozenset({BATCH, PIECE})
"""Along these, pictures lie beside each other."""


class Part(NamedTuple):
    """What a factor was before a view cut it: rows into blocks of rows and rows within a block."""

    of: str
    unit: float
    """Step of the whole."""
    inner: bool
    """True for the places within a block, False for the blocks."""


class Factor(NamedTuple):
    """One meaning along a dimension. Units of all lengths: input pixels.

    A tuple, as a first capture makes and compares hundreds of them.
    """

    label: str
    size: int
    centre: float = 0.0
    """Continuous coordinate of the middle of the first receptive field; pixel k is [k, k + 1)."""
    step: float = 0.0
    """From one cell to the next, negative if flipped; 0 where placement is not known."""
    reach: float = 0.0
    """Extent of one receptive field; on the finest path, where several merged."""
    coarsest: float = 0.0
    """The largest step on the way: what was seen in steps of 32 stays so, however it is enlarged.
    Infinite for what was enlarged from one cell, which says nothing of places."""
    raised: bool = False
    """True if steps became smaller somewhere on the way."""
    apart: float = 0.0
    """How far a path to a cell may be centred from where the cell is placed; infinite if not known.
    Rows and columns of `apart` 0 are exact."""
    rolled: int = 0
    """By how many cells the values are rolled (and must be rolled back to lie as is said here)."""
    fixed: bool = True
    """False if the numbers hold for this size of input only."""
    part: Part | None = None
    origin: tuple[float, float] | None = None
    """Of indices of a pooling: centre and step of the cells that they number."""


Axis = tuple[Factor, ...]
Layout = tuple[Axis, ...]
"""One axis per dimension; an empty axis has size 1 and no meaning."""


def axis_size(axis: Axis) -> int:
    return axis[0].size if len(axis) == 1 else math.prod([factor.size for factor in axis])


def image_layout(shape: Sequence[int], placed: bool) -> Layout:
    """(B, C, H, W); `placed` for the network's own input, whose pixels are where they are."""
    step, apart = (1.0, 0.0) if placed else (0.0, math.inf)
    return (
        (Factor(BATCH, shape[0]),),
        (Factor(CHANNEL, shape[1]),),
        (Factor(ROW, shape[2], 0.5, step, step, step, apart=apart),),
        (Factor(COLUMN, shape[3], 0.5, step, step, step, apart=apart),),
    )


def plain_layout(shape: Sequence[int]) -> Layout:
    """Axes of a tensor of which nothing is known."""
    return tuple(map(unknown, shape))


@lru_cache(maxsize=4096)  # asked for at each dimension of each tensor, of few sizes
def unknown(size: int, apart: float = 0.0) -> Axis:
    return (Factor(OTHER, size, apart=apart),) if size != 1 else ()


def carries_places(layout: Sequence[Axis]) -> bool:
    """True if its cells are, or were, places on the input."""
    return any(
        factor.size > 1 and (factor.label in (ROW, COLUMN) or factor.part or factor.apart)
        for axis in layout
        for factor in axis
    )


def lost(layout: Layout) -> Layout:
    """The layout where axes without meaning stand for places that can no longer be told."""
    return tuple(
        tuple(
            f._replace(apart=math.inf) if f.label == OTHER and f.part is None else f for f in axis
        )
        for axis in layout
    )


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
        factor._replace(apart=math.inf) if factor.label in (ROW, COLUMN) or factor.part else factor
        for factor in axis
    )


def moved(before: Layout, after: Layout) -> bool:
    """True if rows and columns of the two layouts lie differently."""
    places = [
        [
            (f.label, f.size, round(f.centre, 6), round(f.step, 6), f.apart, f.rolled)
            for axis in layout
            for f in axis
            if f.label in (ROW, COLUMN)
        ]
        for layout in (before, after)
    ]
    return places[0] != places[1]


def line(axis: Axis) -> Factor | None:
    """The rows (or columns) that this axis is; None if it is anything else.

    Rows woven with channels, a row of each channel in turn, are the finer rows of a pixel shuffle.
    """
    if len(axis) == 1 and axis[0].label in (ROW, COLUMN):
        return axis[0]
    woven = len(axis) > 1 and all(f.label == CHANNEL or _repeats(f) for f in axis[1:])
    if woven and axis[0].label in (ROW, COLUMN):
        size = axis_size(axis)
        return stepped(axis[0], size, axis[0].size / size)
    if len(axis) == 1 and axis[0].part is not None and not axis[0].part.inner:
        return _unrolled(axis[0])._replace(label=axis[0].part.of, part=None)
    return None


def as_image(layout: Layout) -> Layout:
    """A 4-D layout whose axes, unknown as a whole or in part, are read as (B, C, H, W).

    Only where what is known of them does not forbid it.
    """
    if len(layout) != 4 or all(map(_is_one, layout, _IMAGE)):
        return layout
    layout = _laid_out(layout)
    rows, columns = line(layout[2]), line(layout[3])
    if rows is not None and columns is not None and (rows.label, columns.label) == (ROW, COLUMN):
        blocks = layout[2][0].part is not None
        channels = (Factor(CHANNEL, axis_size(layout[1])),) if blocks else layout[1]
        layout = (layout[0], channels, (rows,), (columns,))
    usual = image_layout(tuple(map(axis_size, layout)), placed=False)
    known = [labels(axis) - {OTHER} for axis in layout]
    known[0] -= {BRANCH}  # stacked pictures that a view has put into the batch
    if all(names <= {axis[0].label} for names, axis in zip(known, usual, strict=True)):
        return tuple(
            new if is_vague(axis) or (labels(axis) and not names) else axis
            for names, axis, new in zip(known, layout, usual, strict=True)
        )
    return layout


def _laid_out(layout: Layout) -> Layout:
    """The layout where tiles that went through the network as pictures lie beside each other again.

    Their rows are rows of one map, whose places are not known.
    """
    if labels(layout[0]) & {CHANNEL, ROW, COLUMN}:
        return layout
    return (layout[0], *map(_of_tiles, layout[1:]))


def _of_tiles(axis: Axis) -> Axis:
    names = labels(axis)
    if names in ({BATCH, ROW}, {BATCH, COLUMN}):
        return (Factor(ROW if ROW in names else COLUMN, axis_size(axis), apart=math.inf),)
    return axis


_IMAGE = (BATCH, CHANNEL, ROW, COLUMN)


def _is_one(axis: Axis, label: str) -> bool:
    return len(axis) == 1 and axis[0].label == label and axis[0].part is None


def is_image(layout: Layout) -> bool:
    """True if it is (B, C, H, W) as it stands, of more than one cell."""
    return (
        len(layout) == 4
        and all(
            len(axis) <= 1 and labels(axis) <= {label}
            for axis, label in zip(layout, _IMAGE, strict=True)
        )
        and bool(labels(layout[2]) and labels(layout[3]))
    )


def is_vague(axis: Axis) -> bool:
    """True if nothing is known of some of it."""
    return any(f.label == OTHER and f.part is None and f.size > 1 for f in axis)


def _unrolled(factor: Factor) -> Factor:
    """The factor where it can no longer be rolled back."""
    return factor._replace(rolled=0, apart=math.inf) if factor.rolled else factor


def _repeats(factor: Factor) -> bool:
    """Copies of one thing, side by side."""
    return factor.label == OTHER and factor.part is None and not factor.apart


ROUNDING = 1e-6


def stepped(
    old: Factor,
    size: int,
    scale: float,
    *,
    shift: float | None = None,
    widened: float = 0.0,
    apart: float = 0.0,
    fixed: bool = True,
) -> Factor:
    """`size` cells at every `scale`-th of the old ones, the first `shift` old cells on.

    Without a `shift` they share the space of the old ones evenly. `widened` and `apart`, by which
    fields grow and may be off, are in old cells too.
    """
    if size != old.size or scale != 1:
        old = _unrolled(old)
    shift = (scale - 1) / 2 if shift is None else shift
    step, unit = old.step * scale, abs(old.step)
    raised = abs(step) < unit * (1 - ROUNDING)
    constant = old.size == 1 and size > 1
    return old._replace(
        size=size,
        centre=old.centre + old.step * shift,
        step=step,
        reach=old.reach + unit * widened,
        coarsest=math.inf if constant else max(old.coarsest, abs(step)),
        raised=old.raised or raised,
        apart=old.apart + unit * apart,
        fixed=old.fixed and fixed,
    )


def resized(axis: Axis, size: int) -> Axis:
    """An axis of another length with the same meaning."""
    if axis_size(axis) == size:
        return axis
    if len(axis) == 1 and axis[0].label == CHANNEL:
        return (Factor(CHANNEL, size),)
    return unknown(size, math.inf if carries_places((axis,)) else 0.0)


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
                outer, inner = _cut(factor, room)
                axis.append(outer)
                waiting.insert(0, inner)
                room = 1
            else:
                return plain_layout(shape)
        if room != 1:
            return plain_layout(shape)
        result.append(_whole(axis))
    return tuple(result)


def _cut(factor: Factor, blocks: int) -> tuple[Factor, Factor]:
    """A factor as so many blocks, and the places within a block."""
    size = factor.size // blocks
    if factor.label in (BATCH, CHANNEL):
        return Factor(factor.label, blocks), Factor(factor.label, size)
    if factor.label not in (ROW, COLUMN) and factor.part is None:
        apart = factor.apart
        return Factor(OTHER, blocks, apart=apart), Factor(OTHER, size, apart=apart)
    part = factor.part or Part(factor.label, factor.step, inner=False)
    outer = stepped(factor._replace(rolled=0), blocks, size, widened=size - 1)
    return (
        outer._replace(label=OTHER, part=part, coarsest=factor.coarsest, rolled=factor.rolled),
        factor._replace(label=OTHER, size=size, part=part._replace(inner=True)),
    )


def _whole(axis: list[Factor]) -> Axis:
    """Parts that lie together again are what they were."""
    joined: list[Factor] = []
    for factor in axis:
        joined.append(factor)
        while len(joined) > 1 and (both := _rejoined(*joined[-2:])) is not None:
            joined[-2:] = [both]
    if len(joined) == 2 and joined[0].label in (ROW, COLUMN) and _repeats(joined[1]):
        return (stepped(joined[0], axis_size(tuple(joined)), 1 / joined[1].size),)
    return tuple(joined)


def _rejoined(outer: Factor, inner: Factor) -> Factor | None:
    """Blocks and, right behind them, the places within: the finer places."""
    if outer.label == inner.label and inner.label in (BATCH, CHANNEL):
        return Factor(inner.label, outer.size * inner.size)
    if outer.part is None or inner.part is None or not inner.part.inner:
        return None
    if (outer.part.of, outer.rolled) != (inner.part.of, inner.rolled):
        return None
    if not math.isclose(outer.step, inner.step * inner.size):
        return None
    back = (inner.size - 1) / 2
    both = outer._replace(
        size=outer.size * inner.size,
        centre=outer.centre - inner.step * back,
        step=inner.step,
        reach=max(outer.reach - abs(inner.step) * 2 * back, inner.reach),
        apart=max(outer.apart, inner.apart),
        fixed=outer.fixed and inner.fixed,
    )
    if both.part is not None and not both.part.inner and math.isclose(both.step, both.part.unit):
        return both._replace(label=both.part.of, part=None)
    return both
