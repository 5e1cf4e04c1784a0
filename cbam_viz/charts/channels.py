"""Channel weights as bars, and how they are spread: 64 or 2,048 of them, reachable by keyboard.

Vega-Lite cannot take the keyboard's focus and draws thousands of bars as a haze, so these charts
are drawn by the app's own component; here is what it is given. Two weights are called equal if they
are so to six decimals: differences below that come with the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cbam_viz.charts.common import ACCENT, MUTED, STRONG, channel_values, json_number
from cbam_viz.errors import RenderError

Order = Literal["index", "sorted"]

ORDERS: tuple[Order, ...] = ("index", "sorted")

BINS = 20
"""Of the histogram, from 0 to 1: so the outermost are what statistics call closed and open."""

_DECIMALS = 6


@dataclass(frozen=True)
class Spread:
    """How many weights lie in each of `BINS` equal bins from 0 to 1; the last includes 1."""

    counts: tuple[int, ...]
    below: int
    """How many are negative."""
    above: int
    """How many are greater than 1."""
    missing: int
    """How many are no finite numbers."""


@dataclass(frozen=True)
class Highest:
    """Which channels have the highest weights, and what to call them."""

    channels: tuple[int, ...]
    """In index order. More than asked for where the last places are equal: none of those is higher
    than the others. None where all weights are equal."""
    text: str
    """Such as `10 highest`; empty if none were asked for."""


@dataclass(frozen=True)
class Around:
    """What other photos' weights are, to be shown around those of one."""

    mean: npt.NDArray[Any]
    """(C,)"""
    spread: npt.NDArray[Any]
    """(C,) standard deviation."""
    z: npt.NDArray[Any]
    """(C,); NaN where the spread is zero."""
    text: str
    """What mean and spread are of."""


def channel_bars(
    weights: npt.NDArray[Any],
    *,
    order: Order = "index",
    top_k: int = 10,
    selected: int | None = None,
    title: str = "",
    around: Around | None = None,
) -> dict[str, Any]:
    """Describe one image's channel weights (C,) for the component that draws them, fit for JSON.

    The axis is absolute, 0 to 1, and extends only if values lie beyond. Weights have six decimals;
    those that are no finite number become null. `title` is what the layer is called. With `around`
    the `top_k` weights that are furthest from the mean, in spreads, are marked instead. Raises
    RenderError for values that are no (C,) and for options that do not exist.
    """
    values = channel_values(weights)
    if order not in ORDERS:
        raise RenderError(f"There is no order {order!r}. Choose one of {', '.join(ORDERS)}.")
    if selected is not None and not 0 <= selected < values.size:
        raise RenderError(
            f"There is no channel {selected}. This layer has channels 0 to {values.size - 1}."
        )
    if top_k < 0:
        raise RenderError(f"The {top_k} highest weights cannot be marked. Choose 0 or more.")
    finite = values[np.isfinite(values)]
    marked, spread = highest(values, top_k), spread_of(values)
    if around is not None:
        if not values.shape == around.mean.shape == around.spread.shape == around.z.shape:
            raise RenderError(
                f"{values.size} weights have means of {around.mean.size} around them."
            )
        marked = furthest(around.z, top_k)
    return {
        "weights": [json_number(weight) for weight in values.tolist()],
        "ranks": ranks(values).tolist(),
        "order": order,
        "marked": list(marked.channels),
        "markedText": marked.text,
        "selected": selected,
        "low": min(0.0, float(finite.min(initial=0))),
        "high": max(1.0, float(finite.max(initial=1))),
        "colors": {"strong": STRONG, "muted": MUTED, "accent": ACCENT},
        "label": _in_words(values, title),
        "histogram": _bins(spread),
        "missing": spread.missing,
        "histogramLabel": _spread_in_words(spread, title),
        "around": None if around is None else _around(around),
    }


def _around(around: Around) -> dict[str, Any]:
    return {
        "text": around.text,
        "mean": [json_number(value) for value in around.mean.tolist()],
        "spread": [json_number(value) for value in around.spread.tolist()],
        "z": [json_number(value) for value in around.z.tolist()],
    }


def furthest(z: npt.NDArray[Any], count: int) -> Highest:
    """The `count` channels of the largest |z| (C,), and what may be said of them."""
    size = np.where(np.isfinite(z), np.abs(z), -1.0)
    chosen = np.argsort(-size, kind="stable")[: min(count, int((size >= 0).sum()))]
    if not chosen.size:
        return Highest((), "")
    return Highest(tuple(sorted(chosen.tolist())), f"{chosen.size} furthest from the mean")


def ranks(weights: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Position of each channel by weight, 1 for the highest; equal ones in index order, NaN last.

    An order to draw in. What may be said of a channel is its place: `places`.
    """
    order = np.argsort(-np.asarray(weights, dtype=np.float64), kind="stable")
    positions = np.empty(order.size, np.intp)
    positions[order] = np.arange(1, order.size + 1)
    return positions


def places(weights: npt.NDArray[Any]) -> tuple[str, ...]:
    """What place each channel has by weight, such as `rank 3 of 64`; equal weights share one."""
    rounded = np.round(np.asarray(weights, dtype=np.float64), _DECIMALS)
    count = rounded.size
    finite = rounded[np.isfinite(rounded)]
    values, sizes = np.unique(-finite, return_counts=True)
    first = np.concatenate([[1], 1 + np.cumsum(sizes)[:-1]]) if sizes.size else sizes
    told = []
    for weight in rounded.tolist():
        if not np.isfinite(weight):
            told.append("no rank")
            continue
        at = int(np.searchsorted(values, -weight))
        others = int(sizes[at]) - 1
        if others and others + 1 == count:
            told.append(f"the same as all {count}")
        else:
            shared = f", shared with {others} more" if others else ""
            told.append(f"rank {first[at]} of {count}{shared}")
    return tuple(told)


def highest(weights: npt.NDArray[Any], count: int) -> Highest:
    """The channels of the `count` highest weights (C,), and what may be said of them."""
    rounded = np.round(np.asarray(weights, dtype=np.float64), _DECIMALS)
    known = np.flatnonzero(np.isfinite(rounded))
    if not count or not known.size:
        return Highest((), "")
    values = rounded[known]
    every = f"all {known.size}{'' if known.size == rounded.size else ' finite'} weights"
    if known.size > 1 and values.min() == values.max():
        return Highest((), f"{every} are equal ({values[0]:.3f})")
    if count >= known.size:
        return Highest(tuple(known.tolist()), every if known.size > 1 else "the only weight")
    last = np.sort(values)[-count]
    marked, above = known[values >= last], int(np.count_nonzero(values > last))
    text = f"{marked.size} highest"
    if marked.size > count and above == 0:
        text = f"{marked.size} that share the highest weight ({last:.3f})"
    elif marked.size > count:
        text += f": {count} asked for, places {above + 1} to {marked.size} are equal ({last:.3f})"
    return Highest(tuple(marked.tolist()), text)


def spread_of(weights: npt.NDArray[Any]) -> Spread:
    """Count the weights (C,) in bins on the absolute scale; one on a border is in the upper bin."""
    rounded = np.round(np.asarray(weights, dtype=np.float64), _DECIMALS)
    finite = rounded[np.isfinite(rounded)]
    counts, _ = np.histogram(finite, np.arange(BINS + 1) / BINS)
    return Spread(
        counts=tuple(counts.tolist()),
        below=int(np.count_nonzero(finite < 0)),
        above=int(np.count_nonzero(finite > 1)),
        missing=int(rounded.size - finite.size),
    )


def _bins(spread: Spread) -> list[dict[str, Any]]:
    """The bars of the histogram; beyond 0 and 1 only where values lie there."""
    bins = [
        {"text": f"{at / BINS:.2f} to {(at + 1) / BINS:.2f}", "count": count}
        for at, count in enumerate(spread.counts)
    ]
    before = [{"text": "below 0", "count": spread.below}] if spread.below else []
    behind = [{"text": "above 1", "count": spread.above}] if spread.above else []
    return [*before, *bins, *behind]


def _in_words(values: npt.NDArray[Any], title: str) -> str:
    """What a screen reader says of the whole."""
    of = f" of {title}" if title else ""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return f"Bars of {values.size} channel weights{of}, none of them a finite number."
    low, high = (round(float(end), _DECIMALS) for end in (finite.min(), finite.max()))
    if low == high:
        every = "all of them" if finite.size == values.size else "all finite ones"
        told = f"{every} {low:.3f}" if values.size > 1 else f"{low:.3f}"
        return f"Bars of {values.size} channel weights{of}, {told}. Arrow keys choose a bar."
    best = highest(values, 1)
    whose = (
        f"the highest is that of channel {best.channels[0]}"
        if len(best.channels) == 1
        else f"{len(best.channels)} channels share the highest"
    )
    return (
        f"Bars of {values.size} channel weights{of} from {finite.min():.3f} to {finite.max():.3f}; "
        f"{whose}. Arrow keys choose a bar."
    )


def _spread_in_words(spread: Spread, title: str) -> str:
    """The histogram for a screen reader: every number that it shows."""
    of = f" of {title}" if title else ""
    told = [f"{one['text']}: {one['count']}" for one in _bins(spread) if one["count"]]
    if spread.missing:
        told.append(f"no finite numbers: {spread.missing}")
    return f"How many channel weights{of} lie where: {'; '.join(told)}. Arrow keys go through it."
