"""How far two maps of one photo agree, and how far chance would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.attention import Cells
from cbam_viz.images import Geometry
from cbam_viz.metrics import (
    above_minimum,
    histogram_intersection,
    pearson,
    smooth_random,
    spearman,
    top_overlap,
)
from cbam_viz.render import fit_size, place

SIDE = 64
"""Maps are compared on the photo at this longer side: finer than most maps' cells."""
SHARE = 0.2
DRAWS = 100

Values = npt.NDArray[Any]
Range = tuple[float, float]


@dataclass(frozen=True)
class Agreement:
    """Measures of two maps, and the middle 95 % of what maps of chance get in place of the second.

    These have the second map's values and smoothness, in random places. None where a measure says
    nothing, as of a flat map.
    """

    pearson: float | None
    spearman: float | None
    overlap: float
    """IoU of the highest fifth of both."""
    intersection: float | None
    """Of both maps as shares of their sums, less their minima where these are below 0."""
    chance: dict[str, Range | None]
    """By the measures' names."""


def agreement(
    one: tuple[Values, Cells],
    other: tuple[Values, Cells],
    geometry: Geometry,
    *,
    of_other: Geometry | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Agreement:
    """Compare two maps (h, w), each with its cells, where the network looked at the photo.

    With `of_other`, the second map is of an input that lies there on the photo; what both saw is
    compared. Raises MetricError where that is nothing, or a value is no finite number.
    """
    beside = geometry if of_other is None else of_other
    both = _seen(geometry) & _seen(beside)
    first = _placed(*one, geometry)[both]
    found = _measures(first, _placed(*other, beside)[both])
    by_chance = [
        _measures(first, _placed(smooth_random(other[0], seed + k), other[1], beside)[both])
        for k in range(draws)
    ]
    chance = {name: _middle([drawn[name] for drawn in by_chance]) for name in found}
    overlap = found["overlap"]
    assert overlap is not None
    return Agreement(found["pearson"], found["spearman"], overlap, found["intersection"], chance)


def _placed(values: Values, cells: Cells, geometry: Geometry) -> Values:
    return place(values, cells, geometry, fit_size(geometry.photo_size, SIDE)).values


def _seen(geometry: Geometry) -> npt.NDArray[np.bool_]:
    """Which of those pixels the network saw: that does not depend on the map."""
    size = fit_size(geometry.photo_size, SIDE)
    return place(np.zeros((1, 1)), Cells(1, 1, 0, 0), geometry, size).seen


def _measures(one: Values, other: Values) -> dict[str, float | None]:
    lifted = [above_minimum(each) if each.min() < 0 else each for each in (one, other)]
    return {
        "pearson": pearson(one, other),
        "spearman": spearman(one, other),
        "overlap": top_overlap(one, other, SHARE),
        "intersection": histogram_intersection(*lifted),
    }


def _middle(values: list[float | None]) -> Range | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)
