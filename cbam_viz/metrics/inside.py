"""Does a map lie on the object? Measures against a mask that is true on it."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from cbam_viz.errors import MetricError
from cbam_viz.metrics._checks import Map, as_map, as_mask
from cbam_viz.metrics._highest import highest


def energy_inside(values: npt.ArrayLike, mask: npt.NDArray[Any]) -> float:
    """Share of a map's sum that lies inside, 0..1. A uniform map gets the mask's share of the area.

    A map of zeros counts as a uniform one. Wang et al., "Score-CAM", CVPR workshops 2020, section
    4.3 (the energy-based pointing game).

    Raises:
        MetricError: the map has negative values, of which no share can be taken, or map and mask
            do not belong together.
    """
    found = as_map(values)
    inside = as_mask(mask, found.shape)
    if found.min() < 0:
        raise MetricError("The map has negative values; take `above_minimum` of it first.")
    total = float(found.sum())
    if total == 0:
        return float(inside.mean())
    return float(found[inside].sum()) / total


def above_minimum(values: npt.ArrayLike) -> Map:
    """The map less its smallest value.

    A gate between 0.4 and 0.6 weighs all places nearly alike, whatever its pattern; this measures
    the pattern alone, as Grad-CAM (whose minimum is 0 by its ReLU) is always measured.
    """
    found = as_map(values)
    lifted: Map = found - found.min()
    return lifted


def pointing_hit(values: npt.ArrayLike, mask: npt.NDArray[Any]) -> float:
    """1 if the maximum lies inside, else 0; among several maxima, the share that does.

    So a uniform map gets the mask's share of the area. Zhang et al., "Top-down neural attention by
    excitation backprop", IJCV 2018, without their tolerance of 15 pixels around the object.
    """
    found = as_map(values)
    inside = as_mask(mask, found.shape)
    return float(inside[found == found.max()].mean())


def overlap_at_area(values: npt.ArrayLike, mask: npt.NDArray[Any]) -> float:
    """Intersection over union of the object and the map's highest places, as many as it has, 0..1.

    Of equally high places at the border of that area, each counts as the share of them that still
    fits (the mean over all ways to choose among them); so a uniform map gets a / (2 - a) where the
    object covers the share a.
    """
    found = as_map(values)
    inside = as_mask(mask, found.shape)
    area = int(inside.sum())
    common = float(highest(found, area)[inside].sum())
    return common / (2 * area - common)
