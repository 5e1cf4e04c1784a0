"""What every measure asks of its arrays."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz._text import quoted
from cbam_viz.errors import MetricError

Map = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def generator(seed: int) -> np.random.Generator:
    """Random numbers that a seed fixes.

    Raises:
        MetricError: it is no whole number from 0 on.
    """
    try:
        return np.random.default_rng(operator.index(seed))
    except (TypeError, ValueError) as error:
        raise MetricError(f"A seed is a whole number from 0 on, not {quoted(seed)}.") from error


def as_map(values: npt.ArrayLike) -> Map:
    """The values as floats.

    Raises:
        MetricError: there are none, or some are no finite numbers.
    """
    found: Map = np.asarray(values, dtype=np.float64)
    if found.size == 0:
        raise MetricError("There is no value to measure: the map is empty.")
    if not np.isfinite(found).all():
        count = int((~np.isfinite(found)).sum())
        raise MetricError(
            f"{count} of the map's {found.size} values are no finite numbers, so nothing can be "
            "said of it as a whole."
        )
    return found


def as_mask(mask: npt.NDArray[Any], shape: tuple[int, ...]) -> Mask:
    """The mask as booleans.

    Raises:
        MetricError: its shape is not the map's, it holds other values than true and false, or
            nothing of it is true, so that there is no object to find.
    """
    found = np.asarray(mask)
    if found.shape != shape:
        raise MetricError(f"The mask has shape {found.shape}, the map {shape}.")
    if found.dtype != bool:
        if not np.isin(found, (0, 1)).all():
            raise MetricError("A mask holds true and false, or 0 and 1, and nothing else.")
        found = found.astype(bool)
    if not found.any():
        raise MetricError(
            "The mask is empty: nothing of the object lies where the map is measured."
        )
    return found


def as_pair(one: npt.ArrayLike, other: npt.ArrayLike) -> tuple[Map, Map]:
    """Two maps of the same places, flat.

    Raises:
        MetricError: their shapes differ, or one of them is no map.
    """
    first, second = as_map(one), as_map(other)
    if first.shape != second.shape:
        raise MetricError(f"The maps have shapes {first.shape} and {second.shape}.")
    return first.ravel(), second.ravel()
