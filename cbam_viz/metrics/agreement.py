"""How far two maps of the same places agree. None where a measure says nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import MetricError
from cbam_viz.metrics._checks import Map, as_pair
from cbam_viz.metrics._highest import highest


def pearson(one: npt.ArrayLike, other: npt.ArrayLike) -> float | None:
    """Linear correlation over all places, -1..1; None if either map is constant."""
    first, second = as_pair(one, other)
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.linalg.norm(first) * np.linalg.norm(second))
    # What a mean leaves of a constant map is rounding and no pattern.
    tiny = np.finfo(np.float64).eps * first.size
    if scale <= tiny * float(np.abs(one).max() * np.abs(other).max()):
        return None
    return float(np.clip(first @ second / scale, -1, 1))


def spearman(one: npt.ArrayLike, other: npt.ArrayLike) -> float | None:
    """Correlation of ranks, -1..1, equal values at their mean rank; None if a map is constant."""
    first, second = as_pair(one, other)
    return pearson(_ranks(first), _ranks(second))


def top_overlap(one: npt.ArrayLike, other: npt.ArrayLike, share: float = 0.2) -> float:
    """Intersection over union of both maps' highest places, 0..1; `share` of all places each.

    Equally high places at the border of that area are taken in one order of chance, the same for
    both maps, so that a map agrees with itself in all: each is taken by either map as often as the
    share of them that still fits, and by both as often as the smaller of the two. A uniform map and
    one without ties get share / (2 - share), which is what chance gives too.

    Raises:
        MetricError: `share` is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise MetricError(f"The share of places must lie between 0 and 1; {share} does not.")
    pair = as_pair(one, other)
    first, second = (highest(values, max(1, round(share * values.size))) for values in pair)
    return float(np.minimum(first, second).sum() / np.maximum(first, second).sum())


def histogram_intersection(one: npt.ArrayLike, other: npt.ArrayLike) -> float | None:
    """Sum over places of the smaller of both maps, each brought to sum 1; 0..1.

    None if either map is zero everywhere. Swain and Ballard, "Color indexing", IJCV 1991, eq. 2.

    Raises:
        MetricError: a map has negative values.
    """
    first, second = as_pair(one, other)
    if min(first.min(), second.min()) < 0:
        raise MetricError("A map has negative values; take `above_minimum` of it first.")
    if first.sum() == 0 or second.sum() == 0:
        return None
    return float(np.minimum(first / first.sum(), second / second.sum()).sum())


def _ranks(values: Map) -> Map:
    """Ranks from 0; equal values get the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    mean: Map = last - (count + 1) / 2
    return mean[place]
