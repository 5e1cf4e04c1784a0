"""By how much two maps differ, on the pixels of the photo.

Each map is placed by its own cells and its own geometry. Neither is stretched to the other's grid,
and what only one network saw of the photo counts nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.attention import Cells
from cbam_viz.errors import MetricError
from cbam_viz.evaluation.agreement import Agreement, agreement
from cbam_viz.images import Geometry
from cbam_viz.render import Method, Placed, fit_size, place

SIDE = 256
"""Differences are counted on a copy of the photo of this longer side at most."""


@dataclass(frozen=True, eq=False)
class Mapped:
    """A map with all that says where it lies on the photo."""

    values: npt.NDArray[Any]
    """(h, w)."""
    cells: Cells
    geometry: Geometry


@dataclass(frozen=True)
class MapDifference:
    """The second map minus the first, cell by cell, over the pixels that both networks saw."""

    mean: float
    mean_absolute: float
    largest: float
    """The difference that is farthest from 0, with its sign."""
    seen: float
    """Share of the photo that both networks saw, 0..1."""
    agreement: Agreement
    """Of the two maps as they are drawn smooth."""


def difference_on(
    first: Mapped, second: Mapped, size: tuple[int, int], method: Method = "bilinear"
) -> Placed:
    """Second minus first on a copy of the photo of height and width `size`.

    `seen` is what both networks saw; `values` say nothing elsewhere. Both maps must be of one
    photo, or of photos that show the same scene pixel by pixel.

    Raises:
        MetricError: the photos differ in size.
    """
    if first.geometry.photo_size != second.geometry.photo_size:
        raise MetricError(
            "The maps lie on photos of different sizes, so that no pixel of one belongs to one of "
            "the other. Compare maps of one photo."
        )
    one, other = (
        place(each.values, each.cells, each.geometry, size, method=method)
        for each in (first, second)
    )
    return Placed(other.values - one.values, one.seen & other.seen)


def difference(first: Mapped, second: Mapped, *, draws: int = 0) -> MapDifference:
    """Numbers of second minus first; `draws` maps of chance say what agreement chance would give.

    Raises:
        MetricError: the photos differ in size, values are no finite numbers, or the networks saw no
            place in common.
    """
    size = fit_size(first.geometry.photo_size, SIDE)
    placed = difference_on(first, second, size, "nearest")
    values = placed.values[placed.seen].astype(np.float64)
    if not values.size:
        raise MetricError("The networks saw no place of the photo in common.")
    if not np.isfinite(values).all():
        raise MetricError("A map holds values that are no finite numbers.")
    return MapDifference(
        mean=float(values.mean()),
        mean_absolute=float(np.abs(values).mean()),
        largest=float(values[np.abs(values).argmax()]),
        seen=float(placed.seen.mean()),
        agreement=agreement(
            (first.values, first.cells),
            (second.values, second.cells),
            first.geometry,
            of_other=second.geometry,
            draws=draws,
        ),
    )
