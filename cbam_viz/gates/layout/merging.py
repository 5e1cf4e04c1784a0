"""Where the cells of what several tensors are combined to lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from .axes import (
    COLUMN,
    OTHER,
    ROUNDING,
    ROW,
    Axis,
    Factor,
    Layout,
    axis_size,
    carries_places,
    is_vague,
    line,
    same_place,
    unknown,
)


def merged(layouts: Iterable[Layout], shape: Sequence[int]) -> Layout:
    """The layout of what several tensors are combined to: a sum, a product, a concatenation.

    Broadcast axes give way to those that vary. A cell lies where the finest path puts it: that
    path's share of the cell is the most concentrated, so that a change of one pixel is answered
    most where it says. Finest is what never was in larger steps; of equals what never was enlarged;
    of equals again what has the smallest fields.
    """
    given = list(layouts)
    if given and all(one == given[0] for one in given) and _covers(given[0], shape):
        return given[0]
    ordered = sorted(given, key=lambda one: not _covers(one, shape))
    result: list[Axis] = []
    for d, size in enumerate(shape):
        axes: list[Axis] = []
        for layout in ordered:
            at = d - len(shape) + len(layout)
            if at < 0 or not layout[at] or axis_size(layout[at]) != size:
                continue
            if not axes or _covers(layout, shape) or _agrees(axes[0], layout[at]):
                axes.append(layout[at])
        result.append(_united(axes) if axes else unknown(size))
    return tuple(result)


def _covers(layout: Layout, shape: Sequence[int]) -> bool:
    """True if nothing of this operand is broadcast: it says best what the axes mean."""
    return [axis_size(axis) for axis in layout] == list(shape)


def _agrees(one: Axis, two: Axis) -> bool:
    same = [factor.label for factor in one] == [factor.label for factor in two]
    return same or (_nameless(two) and two[0].apart > 0)


def _nameless(axis: Axis) -> bool:
    return len(axis) == 1 and axis[0].label == OTHER and axis[0].part is None


def _united(axes: Sequence[Axis]) -> Axis:
    """One axis of several operands; those without meaning give way."""
    if any(len(axis) == 1 and axis[0].label in (ROW, COLUMN) for axis in axes):
        axes = [axis if (one := line(axis)) is None else (one,) for axis in axes]
    known = [axis for axis in axes if not _nameless(axis)]
    known = [axis for axis in known if not is_vague(axis)] or known
    gone = any(f.apart for axis in axes if axis not in known for f in axis)
    if not known:
        return unknown(axis_size(axes[0]), math.inf if gone else 0.0)
    alike = {tuple((f.label, f.size, f.part and f.part.of) for f in axis) for axis in known}
    if len(alike) > 1:
        return unknown(axis_size(axes[0]), math.inf if carries_places(known) else 0.0)
    axis = tuple(_joined(factors) for factors in zip(*known, strict=True))
    return same_place(axis) if gone else axis


def _joined(factors: Sequence[Factor]) -> Factor:
    """One factor of several operands: placed by the finest, as far apart as the others lie."""
    first = factors[0]
    position = first.label in (ROW, COLUMN) or first.part is not None
    if not position or all(one == first for one in factors):
        return first
    placed = [one for one in factors if one.step]
    if not placed:
        return first
    finest = _finest(placed)
    low = min(one.centre - one.reach / 2 for one in finest)
    high = max(one.centre + one.reach / 2 for one in finest)
    lead = finest[0]._replace(centre=(low + high) / 2, reach=high - low)
    told = len(placed) == len(factors) and all(one.rolled == lead.rolled for one in factors)
    apart = 0.0 if told else math.inf
    woven = _woven(finest)
    for one in placed:
        if math.isfinite(one.coarsest) or math.isinf(lead.coarsest):
            away = 0.0 if woven and one in finest else _distance(one, lead)
            apart = max(apart, one.apart + away)
    # Whoever merges an enlarged path crops or pads it to fit, at other sizes by other amounts.
    fixed = all(one.fixed for one in factors) and not any(one.raised for one in factors)
    return lead._replace(apart=apart, fixed=fixed)


def _finest(placed: Sequence[Factor]) -> list[Factor]:
    """The finest of several paths; more than one only if they are in all respects as fine."""
    fine = _least(placed, lambda one: one.coarsest)
    fine = [one for one in fine if not one.raised] or fine
    fine = _least(fine, lambda one: one.reach)
    return [one for one in fine if math.isclose(one.step, fine[0].step, rel_tol=ROUNDING)]


def _least(factors: Sequence[Factor], length: Callable[[Factor], float]) -> list[Factor]:
    least = min(map(length, factors)) * (1 + ROUNDING)
    return [one for one in factors if length(one) <= least]


def _woven(finest: Sequence[Factor]) -> bool:
    """True if they are all slices of one finer grid: what was a patch of it is one cell."""
    if finest[0].raised:
        return False
    starts = sorted({round(one.centre, 6) for one in finest})
    gap = abs(finest[0].step) / len(starts)
    return all(math.isclose(b - a, gap, abs_tol=1e-5) for a, b in pairwise(starts))


def _distance(one: Factor, two: Factor) -> float:
    """How far the cells of one lie from those of the other, at most."""
    start = one.centre - two.centre
    end = start + (one.step - two.step) * (one.size - 1)
    far = max(abs(start), abs(end))
    return far if far > ROUNDING * max(1.0, abs(two.step)) else 0.0
