"""Does a map lie on the object? Two measures against boxes, and maps to compare with.

All maps are (H, W), non-negative, at the resolution of the network's input; all boxes are given as
a mask (H, W) that is True inside any box.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


def box_mask(boxes: NDArray[np.float64], size: tuple[int, int]) -> Mask:
    """Mark the pixels of `size` whose centres lie in any box (x0, y0, x1, y1), in pixels."""
    y, x = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    mask = np.zeros(size, bool)
    for x0, y0, x1, y1 in boxes:
        mask |= np.outer((y >= y0) & (y < y1), (x >= x0) & (x < x1))
    return mask


def energy_inside(values: Map, mask: Mask) -> float:
    """Share of a map's sum that lies inside, 0..1; a map of zeros counts as a uniform one.

    Wang et al., "Score-CAM", CVPR workshops 2020, section 4.3 (the energy-based pointing game).
    """
    total = float(values.sum(dtype=np.float64))
    if total <= 0:
        return float(mask.mean())
    return float(values[mask].sum(dtype=np.float64)) / total


def pointing_hit(values: Map, mask: Mask) -> float:
    """1 if the maximum lies inside, else 0; among several maxima, the share that does.

    Zhang et al., "Top-down neural attention by excitation backprop", IJCV 2018, without their
    tolerance of 15 pixels around the box.
    """
    return float(mask[values == values.max()].mean())


def centre_gaussian(size: tuple[int, int]) -> Map:
    """A Gaussian on the middle of the picture, its standard deviation a quarter of each side."""

    def axis(n: int) -> NDArray[np.float64]:
        return np.exp(-0.5 * (((np.arange(n) + 0.5) / n - 0.5) / 0.25) ** 2)

    return np.outer(axis(size[0]), axis(size[1])).astype(np.float32)


def above_minimum(values: Map) -> Map:
    """The map less its smallest value.

    A gate between 0.4 and 0.6 weighs all places nearly alike, whatever its pattern; this measures
    the pattern alone, as Grad-CAM (whose minimum is 0 by its ReLU) is always measured.
    """
    return np.asarray(values - values.min(), dtype=np.float32)


def paired_interval(
    difference: NDArray[np.float64], seed: int = 0, draws: int = 2000
) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of per-image differences (N,)."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, len(difference), (draws, len(difference)))
    low, high = np.percentile(difference[index].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
