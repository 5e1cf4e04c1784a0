"""Rows of a table in the order of hierarchical clustering, the same every time."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import StoreError

Real = npt.NDArray[np.float64]

IN_WORDS = (
    "by hierarchical clustering (average linkage of Euclidean distances; of two branches the one "
    "of the higher mean stands first)"
)


@dataclass(frozen=True)
class Merge:
    """Two branches of the tree become one. Places count rows in the order found, from 0; a branch
    of several rows stands in the middle of its two.
    """

    first: float
    """Place of the branch that stands first."""
    second: float
    first_height: float
    """Distance at which that branch was made; 0 for a single row."""
    second_height: float
    height: float
    """Distance of the two."""


@dataclass(frozen=True)
class Clusters:
    """N rows in the order of their tree."""

    order: npt.NDArray[np.intp]
    """(N,) rows."""
    merges: tuple[Merge, ...]
    """N - 1 of them, from the nearest pair to the last; empty for fewer than two rows."""


def cluster(values: npt.NDArray[Any]) -> Clusters:
    """Cluster rows (N, D) by average linkage of their Euclidean distances.

    Of two branches, the one whose values have the higher mean stands first; of equal ones, that of
    the first row. So the order follows from the values alone, unless distances are equal.

    Raises StoreError if a value is no finite number, or if SciPy is not installed.
    """
    rows = np.asarray(values, np.float64)
    if not np.isfinite(rows).all():
        raise StoreError(
            "Values that are no finite numbers have no distances, so they cannot be clustered. "
            "Order them by index or by weight."
        )
    count = len(rows)
    if count < 2:
        return Clusters(np.arange(count), ())
    linkage = _hierarchy().linkage(rows, "average", "euclidean")
    means = rows.mean(1)
    members = [[row] for row in range(count)]
    heights = [0.0] * count
    pairs: list[tuple[int, int]] = []
    for one, other, height, _ in linkage:
        a, b = sorted((int(one), int(other)), key=lambda branch: _rank(members[branch], means))
        pairs.append((a, b))
        members.append(members[a] + members[b])
        heights.append(float(height))
    order = np.array(members[-1], np.intp)
    places: list[float] = np.argsort(order).astype(float).tolist()
    merges = []
    for number, (a, b) in enumerate(pairs):
        merges.append(Merge(places[a], places[b], heights[a], heights[b], heights[count + number]))
        places.append((places[a] + places[b]) / 2)
    return Clusters(order, tuple(merges))


def _rank(members: list[int], means: Real) -> tuple[float, int]:
    return -float(means[members].mean()), min(members)


def _hierarchy() -> Any:
    try:
        return importlib.import_module("scipy.cluster.hierarchy")
    except ImportError as error:
        raise StoreError(
            f'Clustering needs SciPy ({error}). Install it: pip install "cbam-viz[batch]".'
        ) from error
