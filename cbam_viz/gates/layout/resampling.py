"""How interpolation, cutting, padding, shuffling and turning move rows and columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from .arguments import Rule, argument
from .axes import (
    CHANNEL,
    ROUNDING,
    Axis,
    Factor,
    Layout,
    axis_size,
    carries_places,
    line,
    resized,
    same_place,
    stepped,
)


def scaled(axis: Axis, size: int, scale: float, *, corners: bool, taps: int, fixed: bool) -> Axis:
    """The axis after interpolation between `taps` cells, `scale` input cells per output cell.

    With `corners` the outermost cells keep their centres; otherwise both grids cover one space.
    """
    old = line(axis)
    if old is None:
        return resized(axis, size)
    shift, widened = 0.0 if corners else None, (taps - 1) * max(1.0, scale)
    return (stepped(old, size, scale, shift=shift, widened=widened, fixed=fixed),)


def picked(axis: Axis, size: int, scale: float, source: Callable[[int], int], fixed: bool) -> Axis:
    """The axis whose cell `i` is the old cell `source(i)`, about `scale` times `i`.

    Whole copies of each cell, or every so-maniest, make an even grid; others deviate from it.
    """
    old = line(axis)
    if old is None or size < 1:
        return resized(axis, size)
    from_line = [min(source(i), old.size - 1) - i * scale for i in range(size)]
    low, high = min(from_line), max(from_line)
    copies = size % old.size == 0 and math.isclose(size * scale, old.size)
    even = copies or high - low < ROUNDING
    return (
        stepped(
            old, size, scale,
            shift=(low + high) / 2, apart=0.0 if even else (high - low) / 2, fixed=fixed,
        ),
    )  # fmt: skip


def rolled(axis: Axis, by: int) -> Axis:
    """The axis whose values wander by so many cells, those at the end to the beginning."""
    old = line(axis)
    return same_place(axis) if old is None else (old._replace(rolled=(old.rolled + by) % old.size),)


def interpolated(kind: str, *, exact: bool = False) -> Rule:
    """The rule of one kind of interpolation; `exact` for nearest-exact."""

    def rule(
        args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
    ) -> Layout:
        layout, corners = inputs[0], any(a is True for a in (*args, *kwargs.values()))
        result = list(layout[:-2])
        for d, factor in zip((-2, -1), _factors(args, kwargs), strict=True):
            old, new = axis_size(layout[d]), int(out.shape[d])
            given = factor is not None and not corners
            # An output of a stated size is another multiple of the input at other sizes.
            scale = 1 / factor if factor is not None else old / max(new, 1)
            if corners:
                scale = (old - 1) / (new - 1) if min(old, new) > 1 else old / max(new, 1)
            if kind == "nearest":
                axis = picked(layout[d], new, scale, _source(scale, exact), given)
            else:
                axis = scaled(layout[d], new, scale, corners=corners, taps=_TAPS[kind], fixed=given)
            result.append(axis)
        return tuple(result)

    return rule


def _source(scale: float, exact: bool) -> Callable[[int], int]:
    """Which cell nearest interpolation takes: the left one of a pair, the middle if `exact`."""
    return lambda i: math.floor((i + 0.5) * scale if exact else i * scale)


def _factors(args: Sequence[Any], kwargs: dict[str, Any]) -> list[float | None]:
    """By how much rows and columns are enlarged, where that was asked for and not a size."""
    given = [*args[2:], *kwargs.values()]
    flat = [v for item in given for v in (item if isinstance(item, (list, tuple)) else [item])]
    numbers = [float(v) for v in flat if isinstance(v, float) and v > 0]
    return [*numbers] if len(numbers) == 2 else [None, None]


_TAPS = {"nearest": 1, "bilinear": 2, "bicubic": 4}


def padded(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    layout, amounts = list(inputs[0]), list(args[1])
    for k in range(len(amounts) // 2):
        d = len(layout) - 1 - k
        layout[d] = _shifted(layout[d], -int(amounts[2 * k]), int(out.shape[d]))
    return tuple(layout)


def _shifted(axis: Axis, by: int, size: int, every: int = 1) -> Axis:
    """Padded or cut. Forwards work out from the size of the input how much; a stride they know."""
    old = line(axis)
    if old is None:
        return resized(axis, size)
    return (stepped(old, size, every, shift=by, fixed=every > 1 and 0 <= by < every),)


def sliced(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    layout = list(inputs[0])
    d = int(argument(args, kwargs, 1, "dim", 0)) % len(layout)
    size = axis_size(layout[d])
    start = argument(args, kwargs, 2, "start", 0) or 0
    start = max(0, start + size if start < 0 else start)
    every = int(argument(args, kwargs, 4, "step", 1))
    if start or every != 1 or int(out.shape[d]) != size:
        layout = picked_from(layout, d)
        layout[d] = _shifted(layout[d], int(start), int(out.shape[d]), every)
    return tuple(layout)


def picked_from(layout: Sequence[Axis], d: int) -> list[Axis]:
    """The axes when not all of one is used: of blocks whose cells are not all there, no more is
    known than roughly where they are.
    """
    cut = {factor.part.of for factor in layout[d] if factor.part is not None}
    return [
        same_place(axis) if any(f.part is not None and f.part.of in cut for f in axis) else axis
        for axis in layout
    ]


def shuffled(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    layout = inputs[0]
    result: list[Axis] = [*layout[:-3], (Factor(CHANNEL, int(out.shape[-3])),)]
    for d in (-2, -1):
        old, size = line(layout[d]), int(out.shape[d])
        if old is None:
            result.append(resized(layout[d], size))
        else:
            scale = old.size / size
            result.append((stepped(old, size, scale, widened=max(0, scale - 1)),))
    return tuple(result)


def flipped(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """The first cell comes last: steps go backwards."""
    layout = list(inputs[0])
    for d in args[1]:
        old = line(layout[d])
        if old is None or old.rolled:
            layout[d] = same_place(layout[d])
        else:
            end = old.centre + old.step * (old.size - 1)
            layout[d] = (old._replace(centre=end, step=-old.step, fixed=False),)
    return tuple(layout)


def rolled_values(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    layout = list(inputs[0])
    shifts, dims = argument(args, kwargs, 1, "shifts", []), argument(args, kwargs, 2, "dims", [])
    if not dims:
        return tuple(map(same_place, layout))
    for by, d in zip(shifts, dims, strict=True):
        layout[d] = rolled(layout[d], by) if carries_places((layout[d],)) else layout[d]
    return tuple(layout)
